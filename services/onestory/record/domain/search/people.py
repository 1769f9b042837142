"""A search for people by name and birth date, across everybody.

A name alone would list strangers, and a birth date alone all who share it: both are needed, the date as a day. Where a
person is named by an NHS number the rest only narrows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onestory.record.domain.patient_name import dates_of
from onestory.record.domain.search.asked import Search
from onestory.record.domain.search.dates import span
from onestory.record.domain.search.escapes import plain, split
from onestory.record.domain.search.names import words
from onestory.record.domain.search.question import one
from onestory.shared.errors import Malformed

MOST = 20
"""People in an answer. Whoever would see more must ask more narrowly."""
_NAMES = ("name", "family", "given", "name:exact", "family:exact", "given:exact")
_BIRTH_DATE = "birthdate"
_LEAST_LETTERS = 2
_MOST_NAMES = 20
_DAY = re.compile(r"(eq)?(?P<day>\d{4}-\d\d-\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class People:
    """Who is asked for: what a source may have stated as birth date, and how one of the names begins.

    `search` has everything but the birth date.
    """

    birth_dates: Sequence[str]
    beginnings: Sequence[str]
    search: Search

    def is_met(self, patient: Mapping[str, Any]) -> bool:
        """Whether a Patient is as asked."""
        return patient.get("birthDate") in self.birth_dates and self.search.is_met(patient)


def people(search: Search) -> People:
    """Who is asked for by name and birth date. Raises `Malformed`."""
    asked = [value for name, value in search.used if name in _NAMES]
    day = _DAY.fullmatch(one(search.used, _BIRTH_DATE) or "")
    if not asked or day is None or span(day["day"]) is None:
        raise Malformed(
            "Patients are found by identifier=<NHS number>, or by name, family or given together with the day of "
            "birth, as in family=Smith&birthdate=1990-12-31.",
            code="required",
        )
    if search.order is not None:
        raise Malformed("Patients who are found by name are not sorted.", code="not-supported")
    rest = tuple(each for each in search.filters if each.name != _BIRTH_DATE)
    return People(dates_of(day["day"]), _beginnings(asked[0]), replace(search, filters=rest))


def _beginnings(name: str) -> list[str]:
    """Each alternative by its first word, and by all of its words as one."""
    alternatives = [words(plain(each)) for each in split(name, ",")]
    if len(alternatives) > _MOST_NAMES:
        raise Malformed(f"At most {_MOST_NAMES} names may be alternatives.", code="too-costly")
    if not all(sum(map(len, each)) >= _LEAST_LETTERS for each in alternatives):
        raise Malformed(f"A name is given with at least {_LEAST_LETTERS} letters.", code="value")
    return sorted({form for each in alternatives for form in (each[0], "".join(each))})
