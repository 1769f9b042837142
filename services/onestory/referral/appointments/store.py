"""SQL of slots of teams, and of the bookings in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from onestory.shared.events import Party
from onestory.shared.postgres.database import Queries, Transaction

_SLOTS = """
select slot_id, organisation, team_id, dos_service_id, schedule_id, starts_at, ends_at, content, schedule_content,
    status
from referral.slot
"""
MAX_SLOTS = 500
_MAX_CHANGED = 500
# The columns of a booking that change.
_CHANGING = (
    "slot_id",
    "status",
    "content",
    "event_id",
    "changed_at",
    "starts_at",
    "ends_at",
    "version",
    "slot_withdrawn",
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A time that a team offers. `content` and `schedule_content` are FHIR JSON. A booked slot has the status busy."""

    slot_id: str
    organisation: str
    team_id: str
    dos_service_id: str
    schedule_id: str
    starts_at: datetime
    ends_at: datetime
    content: bytes
    schedule_content: bytes
    status: str


@dataclass(frozen=True, slots=True)
class Booking:
    """An appointment that was made by message. `organisation` booked it with a team of `with_organisation`.

    `version` counts its changes. `slot_withdrawn`: the team does not offer its Slot any more.
    """

    person_key: str
    appointment_id: str
    local_id: str
    organisation: str
    with_organisation: str
    team_id: str
    slot_id: str
    referral_id: str
    status: str
    content: bytes
    event_id: UUID
    changed_at: datetime
    starts_at: datetime
    ends_at: datetime
    version: int = 1
    slot_withdrawn: bool = False

    @property
    def booker(self) -> Party:
        """The party that booked it."""
        return Party(self.organisation)

    @property
    def team(self) -> Party:
        """The party that sees the person."""
        return Party(self.with_organisation, self.team_id)


_BOOKINGS = f"select {', '.join(field.name for field in fields(Booking))} from referral.booking"  # noqa: S608


async def find_slot(queries: Queries, slot_id: str) -> Slot | None:
    """The slot of this directory id, free or not."""
    row = await queries.fetchrow(f"{_SLOTS} where slot_id = $1", slot_id)
    return Slot(*row) if row else None


async def find_slots(
    queries: Queries,
    service_id: str,
    statuses: Sequence[str],
    earliest: datetime | None,
    latest: datetime | None,
    now: datetime,
) -> list[Slot]:
    """A team's slots that start within these times, and after `now`, in order, at most one more than `MAX_SLOTS`.

    `service_id` is a directory id or a DoS id. Empty `statuses` stand for all.
    """
    rows = await queries.fetch(
        f"""{_SLOTS} where starts_at > $5 and (team_id = $1 or dos_service_id = $1)
            and (cardinality($2::text[]) = 0 or status = any($2))
            and ($3::timestamptz is null or starts_at >= $3) and ($4::timestamptz is null or starts_at <= $4)
            order by starts_at, slot_id limit {MAX_SLOTS + 1}""",
        service_id,
        list(statuses),
        earliest,
        latest,
        now,
    )
    return [Slot(*row) for row in rows]


async def insert_booking(transaction: Transaction, booking: Booking) -> bool:
    """Insert a booking; False where its slot is booked already."""
    columns = [field.name for field in fields(booking)]
    appointment_id = await transaction.fetchval(
        f"""insert into referral.booking ({", ".join(columns)})
           values ({", ".join(f"${place}" for place in range(1, len(columns) + 1))})
           on conflict (slot_id) where status = 'booked' do nothing
           returning appointment_id""",  # noqa: S608 - the columns are our own
        *[getattr(booking, name) for name in columns],
    )
    return appointment_id is not None


async def update_booking(transaction: Transaction, booking: Booking) -> bool:
    """Update a booking; False where its slot is booked already. Then the transaction can only be rolled back."""
    changes = ", ".join(f"{name} = ${place}" for place, name in enumerate(_CHANGING, start=3))
    try:
        await transaction.execute(
            f"update referral.booking set {changes} where person_key = $1 and appointment_id = $2",  # noqa: S608
            booking.person_key,
            booking.appointment_id,
            *[getattr(booking, name) for name in _CHANGING],
        )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def find_booking(queries: Queries, appointment_id: str) -> Booking | None:
    """The booking with this shared id; None without one."""
    row = await queries.fetchrow(
        f"{_BOOKINGS} where person_key = $1 and appointment_id = $2", appointment_id[:26], appointment_id
    )
    return _booking(row) if row else None


async def bookings_of_person(queries: Queries, person_key: str) -> list[Booking]:
    """A person's bookings, the latest first."""
    rows = await queries.fetch(f"{_BOOKINGS} where person_key = $1 order by changed_at desc", person_key)
    return [_booking(row) for row in rows]


async def bookings_with_changed_slot(queries: Queries, now: datetime) -> list[Booking]:
    """Bookings to come whose `slot_withdrawn` does not hold any more, the next one first.

    A Slot is offered while the directory has it, and its Schedule, at the time of the booking, and not as unavailable.
    A Slot that the directory has never had says nothing: it may not have been read yet.
    """
    rows = await queries.fetch(
        f"""with booked as ({_BOOKINGS} where status = 'booked' and starts_at > $1)
            select b.* from booked b
            join referral.directory_slot s on s.shared_id = b.slot_id
            left join referral.directory_schedule c on c.shared_id = s.schedule_id
            where b.slot_withdrawn = (
                s.active and coalesce(c.active, true) and s.status <> 'busy-unavailable'
                and s.starts_at <= b.starts_at and b.ends_at <= s.ends_at
            )
            order by b.starts_at, b.appointment_id limit {_MAX_CHANGED}""",  # noqa: S608 - the SQL is our own
        now,
    )
    return [_booking(row) for row in rows]


async def mark_slot(transaction: Transaction, booking: Booking, *, withdrawn: bool) -> None:
    """Store whether the Slot of a booking is not offered any more."""
    await transaction.execute(
        """update referral.booking set slot_withdrawn = $3, version = version + 1
           where person_key = $1 and appointment_id = $2""",
        booking.person_key,
        booking.appointment_id,
        withdrawn,
    )


def _booking(row: Any) -> Booking:
    return Booking(*row)
