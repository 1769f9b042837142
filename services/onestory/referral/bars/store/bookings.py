"""Slots that teams offer, and the appointments that were made in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from onestory.shared.database import Queries, Transaction

_SLOT = """
select slot_id, organisation, team_id, dos_service_id, schedule_id, starts_at, ends_at, content, schedule_content,
    status
from referral.slot
"""
_BOOKING = """
select person_key, appointment_id, local_id, organisation, with_organisation, team_id, slot_id, referral_id, status,
    content, event_id, changed_at
from referral.booking
"""
MOST_SLOTS = 500


@dataclass(frozen=True, slots=True)
class Slot:
    """A time that a team offers. `content` and `schedule_content` are FHIR JSON; `status` counts bookings too."""

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
    """An appointment that was made by message. `organisation` booked it with the other."""

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


async def slot(queries: Queries, slot_id: str) -> Slot | None:
    """The slot of this directory id, free or not."""
    row = await queries.fetchrow(f"{_SLOT} where slot_id = $1", slot_id)
    return Slot(*row) if row else None


async def slots(
    queries: Queries, service: str, statuses: Sequence[str], earliest: datetime | None, latest: datetime | None
) -> list[Slot]:
    """A team's slots that begin within these times, in their order. `service` is a directory or DoS service id."""
    rows = await queries.fetch(
        f"""{_SLOT} where (team_id = $1 or dos_service_id = $1) and (cardinality($2::text[]) = 0 or status = any($2))
            and ($3::timestamptz is null or starts_at >= $3) and ($4::timestamptz is null or starts_at <= $4)
            order by starts_at, slot_id limit {MOST_SLOTS + 1}""",
        service,
        list(statuses),
        earliest,
        latest,
    )
    return [Slot(*row) for row in rows]


async def take(transaction: Transaction, booking: Booking) -> bool:
    """Make a booking; False where its slot has one already."""
    made = await transaction.fetchval(
        """insert into referral.booking (person_key, appointment_id, local_id, organisation, with_organisation, team_id,
               slot_id, referral_id, status, content, event_id, changed_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           on conflict (slot_id) where status = 'booked' do nothing
           returning appointment_id""",
        *[getattr(booking, each.name) for each in fields(booking)],
    )
    return made is not None


async def change(transaction: Transaction, booking: Booking) -> bool:
    """The booking as it is now; False where another one has its slot: then the transaction can only be given up."""
    try:
        await transaction.execute(
            """update referral.booking set slot_id = $3, status = $4, content = $5, event_id = $6, changed_at = $7
               where person_key = $1 and appointment_id = $2""",
            booking.person_key,
            booking.appointment_id,
            booking.slot_id,
            booking.status,
            booking.content,
            booking.event_id,
            booking.changed_at,
        )
    except asyncpg.UniqueViolationError:
        return False
    return True


async def booking(queries: Queries, appointment_id: str) -> Booking | None:
    """The booking of this id."""
    row = await queries.fetchrow(
        f"{_BOOKING} where person_key = $1 and appointment_id = $2", appointment_id[:26], appointment_id
    )
    return _booking(row) if row else None


async def bookings(queries: Queries, person_key: str) -> list[Booking]:
    """A person's bookings, the latest first."""
    rows = await queries.fetch(f"{_BOOKING} where person_key = $1 order by changed_at desc", person_key)
    return [_booking(row) for row in rows]


def _booking(row: Any) -> Booking:
    return Booking(*row)
