"""English working days: Monday to Friday, but for the bank holidays of England. The clocks are those of London."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

LONDON = ZoneInfo("Europe/London")


def end_of_working_day(at: datetime, number: int, ends: time) -> datetime:
    """When the `number`th working day after the day of `at` ends, in UTC.

    The day of `at` itself never counts, whatever the hour: what comes on a Friday, by day or by night, or at the
    weekend, has Monday as its first day.
    """
    day = at.astimezone(LONDON).date()
    for _ in range(number):
        day = _next(day)
    return datetime.combine(day, ends, LONDON).astimezone(UTC)


def is_working_day(day: date) -> bool:
    """Whether teams that keep office hours work on this day."""
    return day.weekday() < 5 and day not in _bank_holidays(day.year)


def _next(day: date) -> date:
    day += timedelta(days=1)
    while not is_working_day(day):
        day += timedelta(days=1)
    return day


@cache
def _bank_holidays(year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays("GB", subdiv="ENG", years=year))
