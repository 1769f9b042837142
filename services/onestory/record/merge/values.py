"""Reads the values that merge rules compare: codes, numbers, ids, words and spans of time.

As in `shared/fhir/json.py`, a value that does not have the form that FHIR gives it counts as absent. Older versions
accepted such resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from onestory.shared.fhir.dates import parse_date
from onestory.shared.fhir.json import Code, first_object, objects, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def codes(concepts: object, system_aliases: Mapping[str, str]) -> list[Code]:
    """The codes of CodeableConcepts, with one name for each code system. Displays are ignored: words join nothing.

    Unlike `shared.fhir.json.codes_of`, a code without a system does not count, because it cannot join two statements.
    """
    found = []
    for concept in objects(concepts):
        codings = concept.get("coding")
        # Most of the time of reading a record is spent in this loop.
        for coding in codings if isinstance(codings, list) else (codings,):
            if isinstance(coding, dict):
                system, code = coding.get("system"), coding.get("code")
                if isinstance(system, str) and isinstance(code, str) and system and code:
                    found.append((system_aliases.get(system, system), code))
    return found


def exclude(one: frozenset[Code], other: frozenset[Code]) -> bool:
    """Whether codes show two different things: each has a code of one system that the other does not have.

    A shared general code, of another system or of the same one, does not change that.
    """
    if one == other:
        return False
    mine = {system for system, _ in one - other}
    return any(system in mine for system, _ in other - one)


def bare_codes(concepts: object) -> list[str]:
    """The codes of CodeableConcepts whose code system does not matter, such as those of a status."""
    stated = [coding.get("code") for concept in objects(concepts) for coding in objects(concept.get("coding"))]
    return [code for code in stated if isinstance(code, str) and code]


def number(value: object) -> int | float | None:
    """The value if it is a number, else None; a boolean is no number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def reference_id(reference: object) -> str:
    """The id that a Reference points to, with its `#` if it is contained; "" if it points to nothing."""
    path = text(first_object(reference).get("reference")).partition("/_history/")[0]
    return path.rpartition("/")[2]


def worded(value: object) -> str:
    """Text in the form in which it is compared: case folded, single spaces."""
    return " ".join(text(value).casefold().split())


class ClinicalSpan(NamedTuple):
    """A span of time from `since` (included) to `before` (excluded), in microseconds since 1970 UTC.

    `day` is the number of the UK day of `since`; None if the date is not known to the day. `moment`: the time is known
    to the minute or better.
    """

    since: int
    before: int
    day: int | None
    moment: bool

    def overlaps(self, other: ClinicalSpan) -> bool:
        """Whether the two spans have a moment in common."""
        return self.since < other.before and other.since < self.before


def span(value: object) -> ClinicalSpan | None:
    """The span of time of a FHIR date or dateTime; None for anything else."""
    return _span(value) if isinstance(value, str) else None


@lru_cache(maxsize=8192)
def _span(text: str) -> ClinicalSpan | None:
    date = parse_date(text)
    if date is None:
        return None
    day = date.uk_day
    return ClinicalSpan(
        microseconds(date.begin), microseconds(date.end), day.toordinal() if day else None, date.is_time
    )


def microseconds(moment: datetime) -> int:
    """A date-time with a time zone, in microseconds since 1970 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
