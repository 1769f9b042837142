"""The time of the synthetic network. It ends on a fixed day, so that a seed gives the same bytes on any day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from random import Random

TODAY = date(2026, 6, 1)
"""The last day of the synthetic network; everything that it records is earlier."""

_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
_BRITISH_SUMMER_TIME = timezone(timedelta(hours=1))


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def moment(day: date, chance: Random) -> datetime:
    """A minute of the working day of `day`, never later than noon of `TODAY`."""
    at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC) + timedelta(minutes=chance.randrange(540))
    return min(at, _NOON)


def instant(at: datetime, system: str) -> str:
    """A FHIR instant as this system writes it: systems differ in offset and in fractions, and all are right."""
    match system:
        case "rio" | "pds":
            return at.strftime("%Y-%m-%dT%H:%M:%SZ")
        case "mosaic":
            return at.astimezone(_BRITISH_SUMMER_TIME).isoformat()
        case "millennium":
            return at.strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
        case _:
            return at.isoformat()
