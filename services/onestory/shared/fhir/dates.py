"""FHIR dates of every precision as spans of time (http://hl7.org/fhir/R4/datatypes.html#dateTime).

This is the only place that reads a date. A date, or a time without a time zone, is UK time: `Europe/London`, with the
rules of that year. Second 60 is the last instant of its minute. A Period without an end is open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

UK = ZoneInfo("Europe/London")
NEVER = datetime.max.replace(tzinfo=UTC)
"""Later than every date that a calendar holds."""
_FIRST = datetime.min.replace(tzinfo=UTC)
_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<minute>\d\d:\d\d)(:(?P<second>[0-5]\d|60)(\.(?P<fraction>\d+))?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_LONGEST = 40
_CACHED = 32_768
_LAST_INSTANT = timedelta(microseconds=1)


class DateSpan(NamedTuple):
    """The time that a written date may mean: from `begin` (included) to `end` (excluded), both in UTC.

    `is_time` is False for a year, a month or a day. `text` is the date as it was written.
    """

    begin: datetime
    end: datetime
    is_time: bool
    text: str

    @property
    def uk_day(self) -> date | None:
        """The day in the UK; None when only the month or the year is known."""
        return uk_day(self.begin) if len(self.text) >= len("2026-11-22") else None


class PeriodSpan(NamedTuple):
    """The time of a FHIR Period: from `begin` (included) to `end` (excluded), both in UTC; None: open on that side."""

    begin: datetime | None
    end: datetime | None


def parse_date(value: object) -> DateSpan | None:
    """The span of a FHIR date, dateTime or instant; None for anything else, and for days that no calendar has."""
    return _parse_date(value) if isinstance(value, str) and len(value) <= _LONGEST else None


def parse_instant(text: str) -> datetime:
    """The moment of an instant, in UTC. Raises `ValueError` for a date without seconds or without a time zone."""
    match = _DATE.fullmatch(text) if len(text) <= _LONGEST else None
    if not match or not match["second"] or not match["zone"]:
        raise ValueError("not an instant")
    try:
        return _time_span(match, text).begin
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def format_instant(moment: datetime) -> str:
    """A FHIR instant in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_period(period: Mapping[str, Any]) -> PeriodSpan:
    """The time of a FHIR Period (http://hl7.org/fhir/R4/datatypes.html#Period). Raises `ValueError`.

    A day, month or year belongs to the period as a whole, at its start and at its end.
    """
    spans: dict[str, DateSpan | None] = {}
    for name in ("start", "end"):
        spans[name] = parse_date(period[name]) if name in period else None
        if name in period and spans[name] is None:
            raise ValueError(f"{name} is not a date")
    start, end = spans["start"], spans["end"]
    return PeriodSpan(
        start.begin if start else None,
        None if end is None or end.end == NEVER else end.begin if end.is_time else end.end,
    )


def uk_day(moment: datetime) -> date:
    """The day in the UK at this moment."""
    try:
        return moment.astimezone(UK).date()
    except OverflowError:
        # The first and the last hour of the calendar.
        return moment.date()


def uk_midnight(day: date) -> datetime:
    """The beginning of a day in the UK, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UK).astimezone(UTC)


@lru_cache(maxsize=_CACHED)
def _parse_date(text: str) -> DateSpan | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return _time_span(match, text) if match["minute"] else _day_span(match, text)
    except ValueError:
        return None
    except OverflowError:
        # In UTC this time is before the first or after the last day of the calendar.
        begin = _FIRST if match["year"] == "0001" else NEVER - _LAST_INSTANT
        return DateSpan(begin, begin + _LAST_INSTANT, True, text)


def _day_span(match: re.Match[str], text: str) -> DateSpan:
    year, month, day = match["year"], match["month"], match["day"]
    first = date(int(year), int(month or 1), int(day or 1))
    return DateSpan(uk_midnight(first), _end_of_days(first, month, day), False, text)


def _end_of_days(first: date, month: str | None, day: str | None) -> datetime:
    try:
        if day:
            return uk_midnight(first + timedelta(days=1))
        if month:
            return uk_midnight((first + timedelta(days=31)).replace(day=1))
        return uk_midnight(first.replace(year=first.year + 1))
    except (ValueError, OverflowError):
        # The last day, month or year of the calendar, which many systems write for "no end".
        return NEVER


def _time_span(match: re.Match[str], text: str) -> DateSpan:
    minute = datetime.fromisoformat(f"{match['year']}-{match['month']}-{match['day']}T{match['minute']}")
    zone = datetime.fromisoformat(f"2000-01-01T00:00{match['zone']}").tzinfo if match["zone"] else UK
    begin = minute.replace(tzinfo=zone).astimezone(UTC)
    if match["second"] == "60":
        end = _later(begin, timedelta(minutes=1))
        return DateSpan(end - _LAST_INSTANT, end, True, text)
    if not match["second"]:
        return DateSpan(begin, _later(begin, timedelta(minutes=1)), True, text)
    fraction = (match["fraction"] or "")[:6]
    begin += timedelta(seconds=int(match["second"]), microseconds=int(fraction.ljust(6, "0")))
    return DateSpan(begin, _later(begin, timedelta(microseconds=10 ** (6 - len(fraction)))), True, text)


def _later(moment: datetime, by: timedelta) -> datetime:
    return moment + by if NEVER - moment > by else NEVER
