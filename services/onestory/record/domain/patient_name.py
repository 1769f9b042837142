"""The names and the birth date of a Patient statement, as they are searched for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from onestory.record.domain.search.names import forms_of_all
from onestory.shared.fhir.elements import elements, value

_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)
# Nobody has more names than this, or longer ones; what is beyond is not searched.
_MOST_FORMS = 200
_LONGEST = 100


class PatientName(NamedTuple):
    """A row of `patient_name`."""

    person_key: str
    shared_id: str
    event_id: UUID
    birth_date: str
    forms: list[str]


def patient_name(person_key: str, shared_id: str, event_id: UUID, content: bytes) -> PatientName | None:
    """The row of a Patient statement; None for one that has no name or no birth date, or that cannot be read."""
    try:
        said = elements(content)
        birth_date, names = (value(said.get(name, {}), name) for name in ("birthDate", "name"))
    except msgspec.DecodeError:
        return None
    forms = forms_of_all(_texts(names))
    if not isinstance(birth_date, str) or not _DATE.fullmatch(birth_date) or not forms:
        return None
    kept = sorted(form for form in forms if len(form) <= _LONGEST)[:_MOST_FORMS]
    return PatientName(person_key, shared_id, event_id, birth_date, kept)


def dates_of(day: str) -> list[str]:
    """What a source may have stated of somebody who was born on this day: the day, or its month or year alone."""
    return [day, day[: len("2026-11")], day[: len("2026")]]


def _texts(names: Any) -> Iterator[str]:
    # What comes from Kafka was not all written by our own door.
    for name in names if isinstance(names, list) else ():
        if isinstance(name, dict):
            given = name.get("given")
            parts = [name.get("family"), name.get("text"), *(given if isinstance(given, list) else ())]
            yield from (part for part in parts if isinstance(part, str))
