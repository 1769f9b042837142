"""How long a referral may wait for its next actor, before that is somebody else's business too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import holidays

from onestory.shared.settings import duration

# English working days: Monday to Friday, but for the bank holidays of England. The clocks are those of London.

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


KINDS = ("referral", "validation", "advice")
PRIORITIES = ("routine", "urgent", "asap", "stat")
"""From the least to the most urgent (http://hl7.org/fhir/R4/valueset-request-priority.html)."""
WAITING = ("draft", "requested", "received", "accepted", "in-progress", "on-hold", "rejected", "failed")
"""The states of a Task in which somebody has to do something."""
BOOKED = "booked"
"""How long an appointment may keep a referral from being looked at."""
DAY_ENDS = "day-ends"

# A referral that nobody need look at for longer has died in silence.
_LONGEST = timedelta(days=366)
_WORKING_DAYS = re.compile(r"([1-9]\d{0,2}) working days?")


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """A wait that ends with a working day."""

    number: int


Wait = timedelta | WorkingDays
Waits = Mapping[tuple[str, str, str], Wait]


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wait for each (kind, priority, status of the Task), and the hour at which a working day ends in London."""

    waits: Waits
    day_ends: time

    def due(self, kind: str, priority: str, status: str, at: datetime) -> datetime:
        """Until when the next actor has time, in UTC, if the wait began at `at`. It is later than `at`."""
        wait = self.waits[kind, priority, status]
        if isinstance(wait, WorkingDays):
            return end_of_working_day(at, wait.number, self.day_ends)
        return at.astimezone(UTC) + wait

    def seen(self, kind: str, priority: str, status: str, appointment: datetime, at: datetime) -> datetime:
        """Until when it is said what came of an appointment, if it is made at `at`: the time of the state begins with
        it. It never gives less time than the state alone, and not more than `BOOKED`, or an error in a date would be
        silence.
        """
        latest = self.due(kind, priority, BOOKED, at)
        return max(
            self.due(kind, priority, status, at), min(self.due(kind, priority, status, max(at, appointment)), latest)
        )

    def review(self, kind: str, priority: str, until: datetime | None, at: datetime) -> datetime:
        """When a referral that is put on hold at `at` is looked at again: when the holder said, but never later than
        the clock of a hold.
        """
        latest = self.due(kind, priority, "on-hold", at)
        return latest if until is None else min(latest, until.astimezone(UTC))


def clocks(table: Mapping[str, object]) -> Clocks:
    """Clocks of a table `{day-ends: "17:00", kind: {priority: {status: wait}}}`, where a wait is an ISO 8601 duration,
    which runs by night and on holidays too, or `2 working days`.

    Raises `ValueError` with one sentence that says what is wrong: something missing or unknown, a wait of more than a
    year, working days for what is more urgent than routine, or a longer wait than that of what is less urgent.
    """
    found: dict[tuple[str, str, str], Wait] = {}
    for kind, priorities in _named(table, "", (DAY_ENDS, *KINDS)):
        if kind != DAY_ENDS:
            for priority, statuses in _named(priorities, kind, PRIORITIES):
                for status, text in _named(statuses, f"{kind}.{priority}", (*WAITING, BOOKED)):
                    found[kind, priority, status] = _wait(f"{kind}.{priority}.{status}", priority, text)
    for kind in KINDS:
        for status in (*WAITING, BOOKED):
            _refuse_disorder(kind, status, found)
    return Clocks(found, _hour(table[DAY_ENDS]))


def _named(table: object, where: str, names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The entries of a table that has exactly these names."""
    at = where or "The table of clocks"
    if not isinstance(table, Mapping):
        raise ValueError(f"{at} is no table of {', '.join(names)}.")
    if unknown := sorted(str(name) for name in table if name not in names):
        raise ValueError(f"{at} has {', '.join(unknown)}; it can have {', '.join(names)}.")
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"{at} lacks {', '.join(missing)}.")
    yield from table.items()


def _wait(where: str, priority: str, text: object) -> Wait:
    days = _WORKING_DAYS.fullmatch(text) if isinstance(text, str) else None
    if days is None:
        try:
            wait: Wait = duration(str(text))
        except ValueError:
            raise ValueError(
                f"{where} is {text!r}; write an ISO 8601 duration (PT4H, P1D) or 2 working days."
            ) from None
    elif priority != "routine":
        raise ValueError(f"{where} is {text!r}: only what is routine may rest by night and on holidays.")
    else:
        wait = WorkingDays(int(days[1]))
    if _length(wait) > _LONGEST:
        raise ValueError(f"{where} is {text!r}: nothing may wait for more than a year.")
    return wait


def _refuse_disorder(kind: str, status: str, waits: Waits) -> None:
    for calmer, keener in pairwise(PRIORITIES):
        if _length(waits[kind, keener, status]) > _length(waits[kind, calmer, status]):
            raise ValueError(f"{kind}.{keener}.{status} is a longer wait than {kind}.{calmer}.{status}.")


def _length(wait: Wait) -> timedelta:
    """At least so long, within a day."""
    return timedelta(days=wait.number) if isinstance(wait, WorkingDays) else wait


def _hour(text: object) -> time:
    if not isinstance(text, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"{DAY_ENDS} is {text!r}; write an hour of the day, such as 17:00.")
    return time.fromisoformat(text)
