"""Reads FHIR dates of any precision: the time that they cover, how long they count, and how they are shown.

http://hl7.org/fhir/R4/datatypes.html#dateTime. Text that is no date is shown as it is, and counts as no date.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

NEVER = datetime.max.replace(tzinfo=UTC)
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_LONGEST = 40
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Moment(NamedTuple):
    """The time that a date covers: from `begin` to before `end`, both aware. `text` is the date as it was written."""

    begin: datetime
    end: datetime
    text: str


def moment(written: object) -> Moment | None:
    """The time that a FHIR date, dateTime or instant covers; None if it is none. A time without a zone is UTC."""
    return _moment(written) if isinstance(written, str) and len(written) <= _LONGEST else None


@lru_cache(maxsize=8192)
def _moment(written: str) -> Moment | None:
    match = _DATE.fullmatch(written)
    if not match:
        return None
    year, month, day, clock, _, zone = match.groups()
    try:
        if clock:
            begin = datetime.fromisoformat(f"{year}-{month}-{day}T{clock}{zone or 'Z'}").astimezone(UTC)
            return Moment(begin, begin + timedelta(seconds=1), written)
        first = date(int(year), int(month or 1), int(day or 1))
        last = first if day else date(first.year, int(month or 12), _days(first.year, int(month or 12)))
        return Moment(_midnight(first), _midnight(last) + timedelta(days=1), written)
    except (ValueError, OverflowError):
        return None


def at(instant: datetime) -> Moment:
    """A moment that is known exactly."""
    return Moment(instant, instant, instant.astimezone(UTC).isoformat())


def months_after(instant: datetime, months: int) -> datetime:
    """The same day and time so many months later; the last day of the month if that month is shorter."""
    years, month = divmod(instant.month - 1 + months, 12)
    year = instant.year + years
    if year > NEVER.year:
        return NEVER
    return instant.replace(year=year, month=month + 1, day=min(instant.day, _days(year, month + 1)))


def shown(written: object) -> str:
    """A FHIR date in words (`3 Mar 2025`, `Mar 2025`, `2025`); any other text as it is."""
    if not isinstance(written, str):
        return ""
    return _shown(written) if len(written) <= _LONGEST else written


@lru_cache(maxsize=8192)
def _shown(written: str) -> str:
    match = _DATE.fullmatch(written)
    if not match:
        return written
    year, month, day, clock, _, zone = match.groups()
    if month and not 1 <= int(month) <= 12:
        return written
    words = [str(int(day)) if day else "", _MONTHS[int(month) - 1] if month else "", year]
    if not clock:
        return " ".join(word for word in words if word)
    # In summer the reader's clock is an hour ahead, so a time with a zone is always shown with it.
    told = " UTC" if zone in ("Z", "+00:00") else f" ({zone})" if zone else ""
    return f"{' '.join(words)}, {clock[:5]}{told}"


def day(value: date) -> str:
    """A day in words, such as `3 Mar 2025`."""
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def clock(instant: datetime) -> str:
    """A moment in words, in UTC."""
    utc = instant.astimezone(UTC)
    return f"{day(utc.date())}, {utc:%H:%M} UTC"


def midnight(value: date) -> datetime:
    """The beginning of a day, in UTC."""
    return _midnight(value)


def _midnight(value: date) -> datetime:
    return datetime.combine(value, time.min, UTC)


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]
