"""How referrals stand, when they were sent, and which Tasks were theirs."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import psycopg

from onestory.record.projector.referral import InForce, ReferralRow, Sent, hands
from onestory.shared.policy import OpenReferral
from onestory.shared.postgres.database import Queries


class Sending(NamedTuple):
    """A referral, when it was sent, and when Kafka had that: what the record had by then is what was sent along.

    A draft has not been sent.
    """

    referral_id: str
    sent_at: datetime | None
    broker_time: datetime | None


_STAND = """
insert into referral as r (person_key, referral_id, version, event_id, requester, recipient, holder, status, is_open)
select * from unnest(%b::text[], %b::text[], %b::bigint[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[],
                     %b::bool[])
on conflict (person_key, referral_id) do update set
    version = excluded.version, event_id = excluded.event_id, requester = excluded.requester,
    recipient = excluded.recipient, holder = excluded.holder, status = excluded.status, is_open = excluded.is_open
where (excluded.version, excluded.event_id) > (r.version, r.event_id)
"""

_SEND = """
insert into referral_sent as r (person_key, referral_id, version, event_id, sent_at, broker_time)
select * from unnest(%b::text[], %b::text[], %b::bigint[], %b::uuid[], %b::timestamptz[], %b::timestamptz[])
on conflict (person_key, referral_id) do update set
    version = excluded.version, event_id = excluded.event_id, sent_at = excluded.sent_at,
    broker_time = excluded.broker_time
where (excluded.version, excluded.event_id, excluded.broker_time) < (r.version, r.event_id, r.broker_time)
"""

_OPEN = """
select requester, recipient, holder, status from referral
where person_key = any($1) and is_open order by person_key, referral_id
"""

# A Task leads to its referral.
_SENT = """
select referral_id, sent_at, broker_time
from (select coalesce(
    (select min(referral_id) from referral_task where person_key = $1 and task_id = $2), $2) as referral_id) as asked
join referral using (referral_id)
left join referral_sent using (person_key, referral_id)
where person_key = $1
"""


def stand(connection: psycopg.Connection, latest: Collection[ReferralRow]) -> None:
    """Let referrals stand so, where no greater change is known."""
    if latest:
        connection.execute(_STAND, [list(column) for column in zip(*[each[:9] for each in latest], strict=True)])


def send(connection: psycopg.Connection, sent: Collection[Sent]) -> None:
    """Note when referrals were sent, where no earlier change is known that did it."""
    if sent:
        connection.execute(_SEND, [list(column) for column in zip(*sent, strict=True)])


def add_tasks(connection: psycopg.Connection, tasks: Collection[InForce]) -> None:
    """Note whose these Tasks are."""
    if tasks:
        connection.execute(
            """insert into referral_task (person_key, task_id, referral_id)
               select * from unnest(%b::text[], %b::text[], %b::text[]) on conflict do nothing""",
            [list(column) for column in zip(*tasks, strict=True)],
        )


async def standing_open(queries: Queries, person_keys: Collection[str]) -> list[OpenReferral]:
    """The open referrals of a person, as policy asks for them."""
    rows = await queries.fetch(_OPEN, list(person_keys))
    return [OpenReferral(row["requester"], hands(row["recipient"], row["holder"], row["status"])) for row in rows]


async def sending(queries: Queries, person_key: str, resource_id: str) -> Sending | None:
    """The referral of this person with this ServiceRequest, or with a Task of this id."""
    row = await queries.fetchrow(_SENT, person_key, resource_id)
    return None if row is None else Sending(*row)
