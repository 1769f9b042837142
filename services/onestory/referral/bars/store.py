"""Messages that were processed: that none is done twice, and what each was about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from onestory.referral.lifecycle.change_store import SqlStatement
from onestory.shared.errors import Conflict, TooEarly
from onestory.shared.postgres.database import Queries, Transaction

_COLUMNS = "organisation, meaning, person_key, referral_id, appointment_id, names"
_KNOWN = f"select {_COLUMNS} from referral.bars_message"  # noqa: S608 - the columns are our own
# With whether what it was about still stands: an open referral, a booked appointment.
_STANDING = f"""
select {_COLUMNS},
    coalesce(
        (select b.status = 'booked' from referral.booking b
         where b.person_key = m.person_key and b.appointment_id = m.appointment_id),
        (select r.is_open from referral.referral r
         where r.person_key = m.person_key and r.referral_id = m.referral_id),
        false
    ) as stands
from referral.bars_message m
"""  # noqa: S608 - the columns are our own
_MOST = 20


@dataclass(frozen=True, slots=True)
class Processed:
    """A message: who sent it, what for, what it was about, and as what its entries were stated, by fullUrl.

    `stands`: the referral is still open, or the appointment booked.
    """

    organisation: str
    meaning: str
    person_key: str
    referral_id: str
    appointment_id: str
    names: Mapping[str, str]
    stands: bool = True


async def claim(transaction: Transaction, organisation: str, request_id: UUID) -> None:
    """Be the only one who processes this message, until the transaction ends.

    Raises `TooEarly` while somebody else does, `Conflict` once somebody has.
    """
    free = await transaction.fetchval(
        "select pg_try_advisory_xact_lock(hashtextextended('bars ' || $1 || ' ' || $2, 0))",
        organisation,
        str(request_id),
    )
    if not free:
        early = TooEarly("This X-Request-Id is being processed: send it again in a moment, to hear what came of it.")
        early.headers["Retry-After"] = "1"
        raise early
    row = await transaction.fetchrow(f"{_KNOWN} where organisation = $1 and request_id = $2", organisation, request_id)
    if row is not None:
        before = Processed(*row)
        made = (
            f"Appointment/{before.appointment_id}" if before.appointment_id else f"ServiceRequest/{before.referral_id}"
        )
        raise Conflict(
            f"This X-Request-Id was processed before ({before.meaning}), and is {made}: nothing is to be sent again. "
            "Another message needs an X-Request-Id of its own.",
            code="duplicate",
            expression="http.X-Request-Id",
        )


async def sent(queries: Queries, organisation: str, message_id: str) -> list[Processed]:
    """What an organisation has sent under this Bundle id, the latest first."""
    rows = await queries.fetch(
        f"{_KNOWN} where message_id = $1 and organisation = $2 order by at desc", message_id, organisation
    )
    return [_processed(row) for row in rows]


async def answered(queries: Queries, message_id: str, person_keys: Collection[str]) -> list[Processed]:
    """The messages about referrals that have this Bundle id, the latest first: of these people, if there are any."""
    rows = await queries.fetch(
        f"{_STANDING} where message_id = $1 and referral_id <> '' order by at desc limit {_MOST}", message_id
    )
    found = [_processed(row) for row in rows]
    return [each for each in found if each.person_key in person_keys] or found


async def about(
    queries: Queries, organisation: str, focus_url: str, person_keys: Collection[str], *, bookings: bool
) -> list[Processed]:
    """What an organisation has sent about a referral, or a booking, of this fullUrl and one of these people, the latest
    first.
    """
    kind = "appointment_id" if bookings else "referral_id"
    rows = await queries.fetch(
        f"""{_STANDING} where organisation = $1 and focus_url = $2 and person_key = any($3::text[]) and {kind} <> ''
            order by at desc limit {_MOST}""",
        organisation,
        focus_url,
        sorted(person_keys),
    )
    return [_processed(row) for row in rows]


async def names(queries: Queries, organisation: str, referral_id: str) -> dict[str, str]:
    """By fullUrl, as what an organisation has stated the entries of its messages about a referral."""
    rows = await queries.fetch(
        "select names from referral.bars_message where referral_id = $1 and organisation = $2 order by at",
        referral_id,
        organisation,
    )
    return {url: name for row in rows for url, name in orjson.loads(row["names"]).items()}


def adding(request_id: UUID, message_id: str, focus_url: str, processed: Processed) -> SqlStatement:
    """Keep that a message was processed."""
    return SqlStatement(
        """insert into referral.bars_message (organisation, request_id, message_id, focus_url, meaning, person_key,
               referral_id, appointment_id, names)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        [
            processed.organisation,
            request_id,
            message_id,
            focus_url,
            processed.meaning,
            processed.person_key,
            processed.referral_id,
            processed.appointment_id,
            orjson.dumps(processed.names).decode(),
        ],
    )


async def foreign(queries: Queries, organisation: str, system: str, shared_ids: Collection[str]) -> set[str]:
    """Those of these ids in our own form that do not stand for what this source itself has said."""
    if not shared_ids:
        return set()
    rows = await queries.fetch(
        """select shared_id from record.known_resource
           where person_key = any($1::text[]) and shared_id = any($2::text[]) and organisation = $3 and system = $4""",
        sorted({each[:26] for each in shared_ids}),
        sorted(shared_ids),
        organisation,
        system,
    )
    return set(shared_ids) - {row["shared_id"] for row in rows}


def _processed(row: Any) -> Processed:
    return Processed(
        row["organisation"],
        row["meaning"],
        row["person_key"],
        row["referral_id"],
        row["appointment_id"],
        orjson.loads(row["names"]),
        row.get("stands", True),
    )


# Slots that teams offer, and the appointments that were made in them.

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
