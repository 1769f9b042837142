"""Messages that were processed: that none is done twice, and what each was about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from onestory.referral.store.at_once import Statement
from onestory.shared.database import Queries, Transaction
from onestory.shared.errors import Conflict, TooEarly

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


def adding(request_id: UUID, message_id: str, focus_url: str, processed: Processed) -> Statement:
    """Keep that a message was processed."""
    return Statement(
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
