"""SQL of referrals in the record: their current states, when they were sent, and their Tasks.

The projector writes them. Readers need them for the policy, and to show what was known when a referral was sent.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

import psycopg

from onestory.record.person.journeys import StoredReferral, person_referrals
from onestory.record.projector.referral import ReferralCarriedRow, ReferralRow, ReferralSentRow, ReferralTaskRow
from onestory.shared.policy import PersonReferral
from onestory.shared.postgres.database import Queries

_UPDATE_REFERRALS = """
insert into referral as r
    (person_key, referral_id, version, event_id, requester, recipient, holder, status, is_open, based_on)
select * from unnest(%b::text[], %b::text[], %b::bigint[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[],
                     %b::bool[], %b::text[])
on conflict (person_key, referral_id) do update set
    version = excluded.version, event_id = excluded.event_id, requester = excluded.requester,
    recipient = excluded.recipient, holder = excluded.holder, status = excluded.status, is_open = excluded.is_open,
    based_on = excluded.based_on
where (excluded.version, excluded.event_id) > (r.version, r.event_id)
"""


def update_referrals(connection: psycopg.Connection, rows: Collection[ReferralRow]) -> None:
    """Write the states of referrals, where no later change is stored."""
    if rows:
        connection.execute(
            _UPDATE_REFERRALS, [list(column) for column in zip(*[row[:10] for row in rows], strict=True)]
        )


_UPDATE_SENT = """
insert into referral_sent as r (person_key, referral_id, version, event_id, sent_at, broker_time)
select * from unnest(%b::text[], %b::text[], %b::bigint[], %b::uuid[], %b::timestamptz[], %b::timestamptz[])
on conflict (person_key, referral_id) do update set
    version = excluded.version, event_id = excluded.event_id, sent_at = excluded.sent_at,
    broker_time = excluded.broker_time
where (excluded.version, excluded.event_id, excluded.broker_time) < (r.version, r.event_id, r.broker_time)
"""


def update_sent(connection: psycopg.Connection, rows: Collection[ReferralSentRow]) -> None:
    """Write when referrals were sent, where no earlier change that sent them is stored."""
    if rows:
        connection.execute(_UPDATE_SENT, [list(column) for column in zip(*rows, strict=True)])


def add_tasks_and_carried(
    connection: psycopg.Connection, tasks: Collection[ReferralTaskRow], carried: Collection[ReferralCarriedRow]
) -> None:
    """Add the Tasks, each with its referral, and what the referrals carry."""
    if tasks:
        connection.execute(
            """insert into referral_task (person_key, task_id, referral_id)
               select * from unnest(%b::text[], %b::text[], %b::text[]) on conflict do nothing""",
            [list(column) for column in zip(*tasks, strict=True)],
        )
    if carried:
        connection.execute(
            """insert into referral_carried (person_key, referral_id, shared_id, organisation)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[]) on conflict do nothing""",
            [list(column) for column in zip(*carried, strict=True)],
        )


_REFERRALS = """
select r.referral_id, r.requester, r.recipient, r.holder, r.status, r.is_open, r.based_on, s.broker_time,
    array(select c.shared_id || ' ' || c.organisation from referral_carried c
          where c.person_key = r.person_key and c.referral_id = r.referral_id) as carried
from referral r left join referral_sent s using (person_key, referral_id)
where r.person_key = any($1) order by r.person_key, r.referral_id
"""


async def referrals_of_person(queries: Queries, person_keys: Collection[str]) -> list[PersonReferral]:
    """The referrals of a person, with what each lets its parties read."""
    rows = await queries.fetch(_REFERRALS, list(person_keys))
    return person_referrals([StoredReferral(*row) for row in rows])


class ReferralSending(NamedTuple):
    """A referral, and when it was sent; both times are None for a draft.

    `broker_time` is Kafka's time of the change that sent it. What the record had by then is what was known when it was
    sent.
    """

    referral_id: str
    sent_at: datetime | None
    broker_time: datetime | None


# The id may be that of a Task of the referral.
_REFERRAL_SENDING = """
select referral_id, sent_at, broker_time
from (select coalesce(
    (select min(referral_id) from referral_task where person_key = $1 and task_id = $2), $2) as referral_id) as asked
join referral using (referral_id)
left join referral_sent using (person_key, referral_id)
where person_key = $1
"""


async def referral_sending(queries: Queries, person_key: str, resource_id: str) -> ReferralSending | None:
    """The person's referral whose ServiceRequest has this id, or one of whose Tasks has it; None when there is none."""
    row = await queries.fetchrow(_REFERRAL_SENDING, person_key, resource_id)
    return None if row is None else ReferralSending(*row)
