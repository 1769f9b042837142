"""Search by time: FHIR dates of any precision, and what a comparison with one means.

FHIR R4, http://hl7.org/fhir/R4/search.html#date.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from onestory.shared.errors import Malformed

_DATE = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"(T(?P<time>\d\d:\d\d(:\d\d(\.\d{1,9})?)?)(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
_COMPARISON = re.compile(r"(?P<comparison>eq|gt|ge|lt|le|sa|eb)?(?P<date>\d.*)")


class Span(NamedTuple):
    """From `since` (included) to `before` (excluded); None: open."""

    since: datetime | None = None
    before: datetime | None = None

    def and_also(self, other: Span) -> Span:
        """The time that lies in both."""
        since = max((each for each in (self.since, other.since) if each), default=None)
        before = min((each for each in (self.before, other.before) if each), default=None)
        return Span(since, before)

    def holds(self, at: datetime | None) -> bool:
        """Whether this moment lies in it; what has no time lies in the open span only."""
        if at is None:
            return self.since is None and self.before is None
        return (self.since is None or at >= self.since) and (self.before is None or at < self.before)


ANY_TIME = Span()


def last_updated(value: str) -> Span:
    """What `_lastUpdated=<value>` asks for, such as `ge2026-11-22`. Raises `Malformed`."""
    match = _COMPARISON.fullmatch(value)
    if match is None:
        raise _unreadable("_lastUpdated")
    begin, end = _span(match["date"], "_lastUpdated")
    match match["comparison"]:
        case "gt" | "sa":
            return Span(since=end)
        case "ge":
            return Span(since=begin)
        case "lt" | "eb":
            return Span(before=begin)
        case "le":
            return Span(before=end)
        case _:
            return Span(begin, end)


def since(value: str) -> Span:
    """What `_since=<instant>` asks for. Raises `Malformed`."""
    return Span(since=_span(value, "_since")[0])


def _span(value: str, parameter: str) -> tuple[datetime, datetime]:
    # A plus sign that nobody escaped arrives as a space.
    match = _DATE.fullmatch(value.replace(" ", "+"))
    if match is None:
        raise _unreadable(parameter)
    try:
        begin = _begin(match)
        return begin, _end(begin, match)
    except (ValueError, OverflowError) as error:
        raise _unreadable(parameter) from error


def _begin(match: re.Match[str]) -> datetime:
    day = f"{match['year']}-{match['month'] or '01'}-{match['day'] or '01'}"
    # Python reads microseconds at most; FHIR allows nanoseconds.
    time = re.sub(r"(\.\d{6})\d+", r"\1", match["time"] or "00:00")
    moment = datetime.fromisoformat(f"{day}T{time}{match['zone'] or 'Z'}")
    return moment.astimezone(UTC)


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
    return Malformed(f"{parameter} takes a FHIR date or instant, such as 2026-11-22T09:00:00Z.", code="value")
