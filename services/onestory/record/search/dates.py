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


def span(text: str) -> TimeRange | None:
    """The time that a FHIR date, dateTime or instant means. None for any other text."""
    date = parse_date(text)
    return TimeRange(date.begin, date.end) if date else None


def _asked(value: str, parameter: str) -> tuple[datetime, datetime]:
    # A plus sign that was not escaped arrives as a space.
    found = span(value.replace(" ", "+"))
    if found is None or found.since is None or found.before is None:
        raise _unreadable(parameter)
    return found.since, found.before


def _unreadable(parameter: str) -> Malformed:
    return Malformed(
        f"{parameter}: it is not a FHIR date or instant. Send one, such as 2026-11-22T09:00:00Z.", code="value"
    )
