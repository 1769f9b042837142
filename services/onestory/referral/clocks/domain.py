"""Clocks: how long a referral may wait for its next actor before it is escalated. Pure.

A wait is a duration or a number of working days. English working days are Monday to Friday without the bank holidays of
England; days begin and end in UK time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise

import holidays

from onestory.shared.durations import parse_duration
from onestory.shared.fhir.dates import UK, uk_day


def end_of_working_day(at: datetime, number: int, ends: time) -> datetime:
    """The instant, in UTC, at which the `number`th working day after the day of `at` ends.

    The day of `at` never counts, whatever the hour. A referral that comes on a Friday, by day or by night, or at the
    weekend, has Monday as its first day.
    """
    day = uk_day(at)
    for _ in range(number):
        day = _next_working_day(day)
    return datetime.combine(day, ends, UK).astimezone(UTC)


def is_working_day(day: date) -> bool:
    """Whether teams that keep office hours work on this day."""
    return day.weekday() < 5 and day not in _bank_holidays(day.year)


def _next_working_day(day: date) -> date:
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
WAITING_STATUSES = ("draft", "requested", "received", "accepted", "in-progress", "on-hold", "rejected", "failed")
"""The statuses of a Task in which a party has to act."""
BOOKED = "booked"
"""The entry for the longest time that an appointment may delay the due time."""
DAY_ENDS = "day-ends"

# A longer wait would let a referral be forgotten.
_MAX_WAIT = timedelta(days=366)
_WORKING_DAYS = re.compile(r"([1-9]\d{0,2}) working days?")


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """A wait that ends with a working day."""

    number: int


Wait = timedelta | WorkingDays
Waits = Mapping[tuple[str, str, str], Wait]


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wait for each (kind, priority, status of the Task), and the UK time at which a working day ends."""

    waits: Waits
    day_ends: time

    def due(self, kind: str, priority: str, status: str, at: datetime) -> datetime:
        """The due time of the next actor, in UTC, for a wait that begins at `at`. It is later than `at`."""
        wait = self.waits[kind, priority, status]
        if isinstance(wait, WorkingDays):
            return end_of_working_day(at, wait.number, self.day_ends)
        return at.astimezone(UTC) + wait

    def due_after_appointment(
        self, kind: str, priority: str, status: str, appointment: datetime, at: datetime
    ) -> datetime:
        """The due time for the result of an appointment that is booked at `at`.

        The wait of the status begins with the appointment. It is never shorter than the wait of the status from `at`,
        and never longer than `BOOKED`: otherwise a wrong date would stop the escalation.
        """
        latest = self.due(kind, priority, BOOKED, at)
        # A time after `latest` is not computed with: with a date such as 9999 it cannot be.
        begins = min(max(at, appointment), latest)
        return max(self.due(kind, priority, status, at), min(self.due(kind, priority, status, begins), latest))

    def due_on_hold(self, kind: str, priority: str, until: datetime | None, at: datetime) -> datetime:
        """The due time of a referral that is put on hold at `at`: the planned end of the hold (`until`).

        It is never later than the wait for `on-hold` allows.
        """
        latest = self.due(kind, priority, "on-hold", at)
        return latest if until is None else min(latest, until.astimezone(UTC))


def parse_clocks(table: Mapping[str, object]) -> Clocks:
    """Clocks from a table `{day-ends: "17:00", kind: {priority: {status: wait}}}`.

    A wait is an ISO 8601 duration, which runs by night and on holidays too, or `2 working days`. Raises `ValueError`
    with one sentence for an entry that is missing or unknown, a wait of more than a year, working days for a priority
    other than routine, or a wait that is longer than the one of a less urgent priority.
    """
    waits: dict[tuple[str, str, str], Wait] = {}
    for kind, priorities in _entries(table, "", (DAY_ENDS, *KINDS)):
        if kind != DAY_ENDS:
            for priority, statuses in _entries(priorities, kind, PRIORITIES):
                for status, text in _entries(statuses, f"{kind}.{priority}", (*WAITING_STATUSES, BOOKED)):
                    waits[kind, priority, status] = _parse_wait(f"{kind}.{priority}.{status}", priority, text)
    for kind in KINDS:
        for status in (*WAITING_STATUSES, BOOKED):
            _refuse_longer_when_urgent(kind, status, waits)
    return Clocks(waits, _parse_hour(table[DAY_ENDS]))


def _entries(table: object, where: str, names: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The entries of a table. Raises `ValueError` unless it has exactly these names."""
    at = where or "The table of clocks"
    if not isinstance(table, Mapping):
        raise ValueError(f"{at} is no table of {', '.join(names)}.")
    if unknown := sorted(str(name) for name in table if name not in names):
        raise ValueError(f"{at} has {', '.join(unknown)}; it can have {', '.join(names)}.")
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"{at} lacks {', '.join(missing)}.")
    yield from table.items()


def _parse_wait(where: str, priority: str, text: object) -> Wait:
    days = _WORKING_DAYS.fullmatch(text) if isinstance(text, str) else None
    if days is None:
        try:
            wait: Wait = parse_duration(str(text))
        except ValueError:
            raise ValueError(
                f"{where} is {text!r}; write an ISO 8601 duration (PT4H, P1D) or 2 working days."
            ) from None
    elif priority != "routine":
        raise ValueError(f"{where} is {text!r}: only routine may have working days.")
    else:
        wait = WorkingDays(int(days[1]))
    if _minimum_length(wait) > _MAX_WAIT:
        raise ValueError(f"{where} is {text!r}: a wait is at most a year.")
    return wait


def _refuse_longer_when_urgent(kind: str, status: str, waits: Waits) -> None:
    for less_urgent, urgent in pairwise(PRIORITIES):
        if _minimum_length(waits[kind, urgent, status]) > _minimum_length(waits[kind, less_urgent, status]):
            raise ValueError(f"{kind}.{urgent}.{status} is a longer wait than {kind}.{less_urgent}.{status}.")


def _minimum_length(wait: Wait) -> timedelta:
    """The length of a wait; for working days the shortest one that is possible, to within a day."""
    return timedelta(days=wait.number) if isinstance(wait, WorkingDays) else wait


def _parse_hour(text: object) -> time:
    if not isinstance(text, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"{DAY_ENDS} is {text!r}; write an hour of the day, such as 17:00.")
    return time.fromisoformat(text)
