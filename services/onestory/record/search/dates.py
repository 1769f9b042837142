"""Dates in search: FHIR dates of any precision, and comparisons with them.

FHIR R4, http://hl7.org/fhir/R4/search.html#date. A date means a range of time. A date without a zone is UK time.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from onestory.shared.errors import Malformed
from onestory.shared.fhir.dates import parse_date

_COMPARISON = re.compile(r"(?P<prefix>[a-z]{2})?(?P<date>\d.*)", re.ASCII)
_PREFIXES = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb")


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

    def matches(self, stated: TimeRange) -> bool:
        """Whether the time of a resource matches."""
        match self.prefix:
            case "ne":
                return not self._contains(stated)
            case "gt":
                return self._ends_later(stated)
            case "ge":
                return self._ends_later(stated) or self._contains(stated)
            case "lt":
                return self._begins_earlier(stated)
            case "le":
                return self._begins_earlier(stated) or self._contains(stated)
            case "sa":
                return stated.since is not None and stated.since >= self.end
            case "eb":
                return stated.before is not None and stated.before <= self.begin
            case _:
                return self._contains(stated)

    def _contains(self, stated: TimeRange) -> bool:
        return not self._begins_earlier(stated) and not self._ends_later(stated)

    def _begins_earlier(self, stated: TimeRange) -> bool:
        return stated.since is None or stated.since < self.begin

    def _ends_later(self, stated: TimeRange) -> bool:
        return stated.before is None or stated.before > self.end


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
    return Comparison(match["prefix"] or "eq", *_wanted_range(match["date"], parameter))


def last_updated(value: str) -> TimeRange:
    """The time range that `_lastUpdated=<value>` selects, such as `ge2026-11-22`. Raises `Malformed`."""
    wanted = comparison(value, "_lastUpdated")
    match wanted.prefix:
        case "gt" | "sa":
            return TimeRange(since=wanted.end)
        case "ge":
            return TimeRange(since=wanted.begin)
        case "lt" | "eb":
            return TimeRange(before=wanted.begin)
        case "le":
            return TimeRange(before=wanted.end)
        case "ne":
            raise Malformed(
                "_lastUpdated: ne is not supported. Send eq, gt, ge, lt, le, sa or eb.", code="not-supported"
            )
        case _:
            return TimeRange(wanted.begin, wanted.end)


def since(value: str) -> TimeRange:
    """The time range that `_since=<instant>` selects. Raises `Malformed`."""
    return TimeRange(since=_wanted_range(value, "_since")[0])


def span(text: str) -> TimeRange | None:
    """The time that a FHIR date, dateTime or instant means. None for any other text."""
    date = parse_date(text)
    return TimeRange(date.begin, date.end) if date else None


def _wanted_range(value: str, parameter: str) -> tuple[datetime, datetime]:
    # A plus sign that was not escaped arrives as a space.
    found = span(value.replace(" ", "+"))
    if found is None or found.since is None or found.before is None:
        raise _unreadable(parameter)
    return found.since, found.before


def _unreadable(parameter: str) -> Malformed:
    return Malformed(
        f"{parameter}: it is not a FHIR date or instant. Send one, such as 2026-11-22T09:00:00Z.", code="value"
    )
