"""Reads FHIR dates of any precision as spans of time (http://hl7.org/fhir/R4/datatypes.html#dateTime).

A date without a time zone is a day, month or year in the United Kingdom; a time without one is UK clock time.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9:.]{5,24}(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?")
_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - spans are numbers; no moment here has a zone
_FIRST = date(1970, 1, 1).toordinal()


class ClinicalSpan(NamedTuple):
    """A span of time from `since` (included) to `before` (excluded), in microseconds since 1970 UTC.

    `day` is the UK day of `since`, counted in days from 1970; None if the date is not known to the day. `moment`: the
    time is known to the minute or better.
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
    return _span(value) if isinstance(value, str) and len(value) <= 40 else None


def microseconds(moment: datetime) -> int:
    """A date-time with a time zone, in microseconds since 1970 UTC."""
    offset = moment.utcoffset() or timedelta()
    return (moment.replace(tzinfo=None) - _EPOCH - offset) // timedelta(microseconds=1)


@lru_cache(maxsize=8192)
def _span(value: str) -> ClinicalSpan | None:
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    try:
        return _moment(value) if "T" in value else _days(value)
    except ValueError:
        return None


def _days(value: str) -> ClinicalSpan:
    year, month, day = int(value[:4]), int(value[5:7] or 1), int(value[8:10] or 1)
    begin = date(year, month, day).toordinal() - _FIRST
    if len(value) == len("2026-11-22"):
        return ClinicalSpan(_midnight(begin, year), _midnight(begin + 1, year), begin, False)
    later = 12 if len(value) == len("2026") else month
    last = (date(year, later, 28) + timedelta(days=4)).replace(day=1) if year < 9999 else date.max
    return ClinicalSpan(_midnight(begin, year), _midnight(last.toordinal() - _FIRST, year), None, False)


def _moment(value: str) -> ClinicalSpan:
    stated = datetime.fromisoformat(value)
    begin = microseconds(stated)
    if stated.tzinfo is None and _is_summer(begin, stated.year):
        begin -= _HOUR
    # The length of the span is the precision of the clock time: a minute, a second, or a microsecond.
    clock = value.partition("T")[2].rstrip("Z").partition("+")[0].partition("-")[0]
    length = 60 * _SECOND if len(clock) == len("09:00") else _SECOND if len(clock) == len("09:00:00") else 1
    local = begin + (_HOUR if _is_summer(begin, stated.year) else 0)
    return ClinicalSpan(begin, begin + length, local // _DAY, True)


def _midnight(day: int, year: int) -> int:
    begin = day * _DAY
    return begin - _HOUR if _is_summer(begin - _HOUR, year) else begin


@lru_cache(maxsize=512)
def _summer(year: int) -> tuple[int, int]:
    ends = (date(year, month, 31) for month in (3, 10))
    begin, end = ((last.toordinal() - last.isoweekday() % 7 - _FIRST) * _DAY + _HOUR for last in ends)
    return begin, end


def _is_summer(moment: int, year: int) -> bool:
    begin, end = _summer(year)
    return begin <= moment < end
