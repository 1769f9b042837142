"""SQL of BaRS messages that were processed, so that none is processed twice."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from onestory.referral.bars.deletion import StatedResource
from onestory.referral.lifecycle.store import SqlStatement
from onestory.shared.errors import Conflict, TooEarly
from onestory.shared.postgres.database import Queries, Transaction

_COLUMNS = "organisation, meaning, person_key, referral_id, appointment_id, names"
_MESSAGES = f"select {_COLUMNS} from referral.bars_message"  # noqa: S608 - the columns are our own
# The messages, and whether the referral of each is still open, or its appointment still booked.
_WITH_STATE = f"""
select {_COLUMNS},
    coalesce(
        (select b.status = 'booked' from referral.booking b
         where b.person_key = m.person_key and b.appointment_id = m.appointment_id),
        (select r.is_open from referral.referral r
         where r.person_key = m.person_key and r.referral_id = m.referral_id),
        false
    ) as is_current,
    m.at
from referral.bars_message m
"""  # noqa: S608 - the columns are our own
_MAX_MESSAGES = 20


@dataclass(frozen=True, slots=True)
class ProcessedMessage:
    """A processed message of an organisation, and the referral or appointment that it is about.

    `local_ids` are the ids that its entries got, by fullUrl. `is_current`: the referral is still open, or the
    appointment still booked.
    """

    organisation: str
    meaning: str
    person_key: str
    referral_id: str
    appointment_id: str
    local_ids: Mapping[str, str]
    is_current: bool = True


async def begin_processing(transaction: Transaction, organisation: str, request_id: UUID) -> None:
    """Lock this X-Request-Id until the transaction ends.

    Raises `TooEarly` while another transaction has the lock, and `Conflict` once the message is processed.
    """
    is_free = await transaction.fetchval(
        "select pg_try_advisory_xact_lock(hashtextextended('bars ' || $1 || ' ' || $2, 0))",
        organisation,
        str(request_id),
    )
    if not is_free:
        error = TooEarly("This X-Request-Id is being processed: send it again in a moment to learn its result.")
        error.headers["Retry-After"] = "1"
        raise error
    row = await transaction.fetchrow(
        f"{_MESSAGES} where organisation = $1 and request_id = $2", organisation, request_id
    )
    if row is not None:
        earlier = ProcessedMessage(*row)
        made = (
            f"Appointment/{earlier.appointment_id}"
            if earlier.appointment_id
            else f"ServiceRequest/{earlier.referral_id}"
        )
        raise Conflict(
            f"This X-Request-Id was processed before ({earlier.meaning}): see {made}, and do not send it again. "
            "Another message needs an X-Request-Id of its own.",
            code="duplicate",
            expression="http.X-Request-Id",
        )


async def messages_sent(queries: Queries, organisation: str, message_id: str) -> list[ProcessedMessage]:
    """The messages that an organisation has sent with this Bundle id, the latest first."""
    rows = await queries.fetch(
        f"{_MESSAGES} where message_id = $1 and organisation = $2 order by at desc", message_id, organisation
    )
    return [_message_from_row(row) for row in rows]


async def referral_messages(
    queries: Queries, message_id: str, organisation: str, person_keys: Collection[str]
) -> list[ProcessedMessage]:
    """The messages about referrals with this Bundle id, the latest first.

    Any sender may use a Bundle id again. So the messages about referrals that involve the organisation come before
    all others, and among them those about one of these persons.
    """
    rows = await queries.fetch(
        f"""with message as ({_WITH_STATE} where message_id = $1 and referral_id <> '')
            select *, exists (
                select from referral.referral r
                where r.person_key = message.person_key and r.referral_id = message.referral_id
                    and $2 in (r.recipient_organisation, r.sender_organisation, r.requester_organisation)
            ) as is_involved
            from message order by is_involved desc, at desc limit {_MAX_MESSAGES}""",  # noqa: S608 - the SQL is our own
        message_id,
        organisation,
    )
    messages = [_message_from_row(row) for row in rows if row["is_involved"]] or [*map(_message_from_row, rows)]
    return [message for message in messages if message.person_key in person_keys] or messages


async def messages_about(
    queries: Queries, organisation: str, focus_url: str, person_keys: Collection[str], *, bookings: bool
) -> list[ProcessedMessage]:
    """The messages of an organisation whose focus has this fullUrl, about one of these persons, the latest first.

    They are about bookings, or else about referrals.
    """
    column = "appointment_id" if bookings else "referral_id"
    rows = await queries.fetch(
        f"""{_WITH_STATE} where organisation = $1 and focus_url = $2 and person_key = any($3::text[]) and {column} <> ''
            order by at desc limit {_MAX_MESSAGES}""",
        organisation,
        focus_url,
        sorted(person_keys),
    )
    return [_message_from_row(row) for row in rows]


async def stated_ids(queries: Queries, organisation: str, referral_id: str) -> dict[str, str]:
    """By fullUrl, the local ids that an organisation's messages about a referral have stated."""
    rows = await queries.fetch(
        "select names from referral.bars_message where referral_id = $1 and organisation = $2 order by at",
        referral_id,
        organisation,
    )
    return {url: local_id for row in rows for url, local_id in orjson.loads(row["names"]).items()}


def insert_message(
    request_id: UUID, message_id: str, focus_url: str, message: ProcessedMessage, stated: Sequence[StatedResource]
) -> SqlStatement:
    """The statement that stores a processed message, with the resources that are retracted if it was a mistake."""
    return SqlStatement(
        """insert into referral.bars_message (organisation, request_id, message_id, focus_url, meaning, person_key,
               referral_id, appointment_id, names, stated)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        [
            message.organisation,
            request_id,
            message_id,
            focus_url,
            message.meaning,
            message.person_key,
            message.referral_id,
            message.appointment_id,
            orjson.dumps(message.local_ids).decode(),
            orjson.dumps([list(each) for each in stated]).decode(),
        ],
    )


async def stated_resources(
    queries: Queries, organisation: str, referral_id: str, appointment_id: str
) -> list[StatedResource]:
    """The resources that an organisation's messages about a referral, or about a booking alone, have stated."""
    column, wanted = ("referral_id", referral_id) if referral_id else ("appointment_id", appointment_id)
    rows = await queries.fetch(
        f"select stated from referral.bars_message where {column} = $1 and organisation = $2 order by at",  # noqa: S608
        wanted,
        organisation,
    )
    return [StatedResource(*each) for row in rows for each in orjson.loads(row["stated"])]


async def foreign_ids(queries: Queries, organisation: str, system: str, shared_ids: Collection[str]) -> set[str]:
    """The ones of these shared ids that are not ids of resources that this source has stated."""
    if not shared_ids:
        return set()
    rows = await queries.fetch(
        """select shared_id from record.known_resource
           where person_key = any($1::text[]) and shared_id = any($2::text[]) and organisation = $3 and system = $4""",
        sorted({shared_id[:26] for shared_id in shared_ids}),
        sorted(shared_ids),
        organisation,
        system,
    )
    return set(shared_ids) - {row["shared_id"] for row in rows}


def _message_from_row(row: Any) -> ProcessedMessage:
    return ProcessedMessage(
        row["organisation"],
        row["meaning"],
        row["person_key"],
        row["referral_id"],
        row["appointment_id"],
        orjson.loads(row["names"]),
        row.get("is_current", True),
    )
