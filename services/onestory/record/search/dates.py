"""Dates in search: FHIR dates of any precision, and comparisons with them.

FHIR R4, http://hl7.org/fhir/R4/search.html#date. A date means a range of time. A date without a zone is UK time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from onestory.shared.errors import Malformed

_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<time>\d\d:\d\d(:\d\d(\.\d{1,9})?)?)(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
_COMPARISON = re.compile(r"(?P<prefix>[a-z]{2})?(?P<date>\d.*)", re.ASCII)
_PREFIXES = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb")
_UK = ZoneInfo("Europe/London")
_DATES_KEPT = 32_768


class TimeRange(NamedTuple):
    """The time from `since` (included) to `before` (excluded). None means open."""

    since: datetime | None = None
    before: datetime | None = None

    def and_also(self, other: TimeRange) -> TimeRange:
        """The time that is in both ranges."""
        since = max((each for each in (self.since, other.since) if each), default=None)
        before = min((each for each in (self.before, other.before) if each), default=None)
        return TimeRange(since, before)

    def holds(self, at: datetime | None) -> bool:
        """Whether the moment is in the range. No moment (None) is in the open range only."""
        if at is None:
            return self.since is None and self.before is None
        return (self.since is None or at >= self.since) and (self.before is None or at < self.before)


ANY_TIME = TimeRange()


class Comparison(NamedTuple):
    """A value such as `ge2026-11`: a prefix, and the time from `begin` (included) to `end` (excluded)."""

    prefix: str
    begin: datetime
    end: datetime

    def is_met(self, said: TimeRange) -> bool:
        """Whether the time of a resource matches."""
        match self.prefix:
            case "ne":
                return not self._contains(said)
            case "gt":
                return self._ends_later(said)
            case "ge":
                return self._ends_later(said) or self._contains(said)
            case "lt":
                return self._begins_earlier(said)
            case "le":
                return self._begins_earlier(said) or self._contains(said)
            case "sa":
                return said.since is not None and said.since >= self.end
            case "eb":
                return said.before is not None and said.before <= self.begin
            case _:
                return self._contains(said)

    def _contains(self, said: TimeRange) -> bool:
        return not self._begins_earlier(said) and not self._ends_later(said)

    def _begins_earlier(self, said: TimeRange) -> bool:
        return said.since is None or said.since < self.begin

    def _ends_later(self, said: TimeRange) -> bool:
        return said.before is None or said.before > self.end


def comparison(value: str, parameter: str) -> Comparison:
    """The comparison in a parameter's value. Raises `Malformed`."""
    match = _COMPARISON.fullmatch(value)
    if match is None:
        raise _unreadable(parameter)
    if (match["prefix"] or "eq") not in _PREFIXES:
        raise Malformed(
            f"{parameter}: this prefix is not supported. Send one of {', '.join(_PREFIXES)}, or none.",
            code="not-supported",
        )
    return Comparison(match["prefix"] or "eq", *_asked(match["date"], parameter))


def last_updated(value: str) -> TimeRange:
    """The time range that `_lastUpdated=<value>` selects, such as `ge2026-11-22`. Raises `Malformed`."""
    asked = comparison(value, "_lastUpdated")
    match asked.prefix:
        case "gt" | "sa":
            return TimeRange(since=asked.end)
        case "ge":
            return TimeRange(since=asked.begin)
        case "lt" | "eb":
            return TimeRange(before=asked.begin)
        case "le":
            return TimeRange(before=asked.end)
        case "ne":
            raise Malformed(
                "_lastUpdated: ne is not supported. Send eq, gt, ge, lt, le, sa or eb.", code="not-supported"
            )
        case _:
            return TimeRange(asked.begin, asked.end)


def since(value: str) -> TimeRange:
    """The time range that `_since=<instant>` selects. Raises `Malformed`."""
    return TimeRange(since=_asked(value, "_since")[0])


@lru_cache(maxsize=_DATES_KEPT)
def span(text: str) -> TimeRange | None:
    """The time that a FHIR date, dateTime or instant means. None for any other text."""
    match = _DATE.fullmatch(text)
    try:
        return TimeRange(*_ends(match)) if match else None
    except (ValueError, OverflowError):
        return None


def _asked(value: str, parameter: str) -> tuple[datetime, datetime]:
    # A plus sign that was not escaped arrives as a space.
    found = span(value.replace(" ", "+"))
    if found is None or found.since is None or found.before is None:
        raise _unreadable(parameter)
    return found.since, found.before


def _ends(match: re.Match[str]) -> tuple[datetime, datetime]:
    day = f"{match['year']}-{match['month'] or '01'}-{match['day'] or '01'}"
    # FHIR allows nanoseconds and second 60. Python reads neither.
    time = re.sub(r"(\.\d{6})\d+", r"\1", match["time"] or "00:00").replace(":60", ":59")
    zone = datetime.fromisoformat(f"{day}T00:00{match['zone']}").tzinfo if match["zone"] else _UK
    begin = datetime.fromisoformat(f"{day}T{time}")
    end = _end(begin, match)
    return begin.replace(tzinfo=zone).astimezone(UTC), end.replace(tzinfo=zone).astimezone(UTC)


def _end(begin: datetime, match: re.Match[str]) -> datetime:
    if match["month"] is None:
        return begin.replace(year=begin.year + 1)
    if match["day"] is None:
        return (begin + timedelta(days=31)).replace(day=1)
    return begin + _precision(match["time"])


def _precision(time: str | None) -> timedelta:
    if time is None:
        return timedelta(days=1)
    if len(time) == len("00:00"):
        return timedelta(minutes=1)
    fraction = time.partition(".")[2]
    return timedelta(microseconds=max(1, 10 ** (6 - len(fraction)) if len(fraction) < 6 else 1))


def _unreadable(parameter: str) -> Malformed:
    return Malformed(
        f"{parameter}: it is not a FHIR date or instant. Send one, such as 2026-11-22T09:00:00Z.", code="value"
    )
