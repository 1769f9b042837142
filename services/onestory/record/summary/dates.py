"""Writes FHIR dates and moments for the reader of a summary, and counts months.

Text that is no date is shown as it is, and counts as no date.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from onestory.shared.fhir.dates import NEVER, DateSpan, parse_date
from onestory.shared.fhir.json import values_at

_UK = ZoneInfo("Europe/London")
_EARLIEST = datetime.min.replace(tzinfo=UTC)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def at(instant: datetime) -> DateSpan:
    """A date that is known exactly."""
    return DateSpan(instant, instant, True, instant.astimezone(UTC).isoformat())


def months_after(instant: datetime, months: int) -> datetime:
    """The same day and time so many months later; the last day of the month if that month is shorter."""
    years, month = divmod(instant.month - 1 + months, 12)
    year = instant.year + years
    if year > NEVER.year:
        return NEVER
    return instant.replace(year=year, month=month + 1, day=min(instant.day, calendar.monthrange(year, month + 1)[1]))


def shown(written: object) -> str:
    """A FHIR date as people write it (`3 Mar 2025`, `Mar 2025`, `2025`); anything else as it is.

    A time is by the UK clock.
    """
    return _shown(written) if isinstance(written, str) else ""


@lru_cache(maxsize=8192)
def _shown(written: str) -> str:
    known = parse_date(written)
    if known is None:
        return written
    year, month, day_of_month, clock_time = written[:4], written[5:7], written[8:10], written[11:16]
    words = [str(int(day_of_month)) if day_of_month else "", _MONTHS[int(month) - 1] if month else "", year]
    date_words = " ".join(word for word in words if word)
    if not known.is_time:
        return date_words
    # A time without a zone is the clock of its source: it is shown as it is.
    has_zone = written[16:].lstrip("0123456789:.")
    return clock(known.begin) if has_zone else f"{date_words}, {clock_time}"


def day(value: date) -> str:
    """A day as people write it."""
    return f"{value.day} {_MONTHS[value.month - 1]} {value.year}"


def clock(instant: datetime) -> str:
    """An instant as people in the UK write it, by their clock."""
    try:
        local = instant.astimezone(_UK)
    except OverflowError:
        local = instant
    return f"{day(local.date())}, {local:%H:%M}"


def events(timing: Any) -> list[str]:
    """The events of a Timing, newest first; text that is no date comes last."""
    events = [event for event in values_at(timing, "event") if isinstance(event, str)]
    return sorted(events, key=lambda event: known.begin if (known := parse_date(event)) else _EARLIEST, reverse=True)
