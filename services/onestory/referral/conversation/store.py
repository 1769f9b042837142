"""SQL of the messages of a referral; each is a Communication in `referral.resource`."""

from __future__ import annotations

from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.postgres.database import Queries

_RESOURCE = "resource_type, shared_id, referral_id, event_id, changed_at, content"
_MESSAGES = "referral.resource where person_key = $1 and referral_id = $2 and resource_type = 'Communication'"


async def all_with_versions(queries: Queries, referral: Referral) -> list[tuple[int, ReferralResource]]:
    """All messages, each with the version of the referral that it made."""
    rows = await queries.fetch(
        """select c.version, r.resource_type, r.shared_id, r.referral_id, r.event_id, r.changed_at, r.content
           from referral.resource r join referral.change c using (person_key, referral_id, event_id)
           where r.person_key = $1 and r.referral_id = $2 and r.resource_type = 'Communication' order by c.version""",
        referral.person_key,
        referral.referral_id,
    )
    return [(version, ReferralResource(*rest)) for version, *rest in rows]


async def count(queries: Queries, referral: Referral) -> int:
    """The number of messages."""
    total: int = await queries.fetchval(
        f"select count(*) from {_MESSAGES}",  # noqa: S608 - the table is our own
        referral.person_key,
        referral.referral_id,
    )
    return total


async def has(queries: Queries, referral: Referral, shared_id: str) -> bool:
    """Whether this is the id of a message of the referral."""
    exists: bool = await queries.fetchval(
        f"select exists (select from {_MESSAGES} and shared_id = $3)",  # noqa: S608 - the table is our own
        referral.person_key,
        referral.referral_id,
        shared_id,
    )
    return exists


async def ids(queries: Queries, referral: Referral) -> list[str]:
    """The ids of all messages, in the order in which they were sent."""
    rows = await queries.fetch(
        f"select shared_id from {_MESSAGES} order by changed_at, event_id, shared_id",  # noqa: S608 - the table is our own
        referral.person_key,
        referral.referral_id,
    )
    return [row["shared_id"] for row in rows]


async def page(queries: Queries, referral: Referral, after: str, limit: int, max_bytes: int) -> list[ReferralResource]:
    """The messages after the one with the id `after` (empty: from the first), in the order in which they were sent.

    They are at most `limit` messages with at most `max_bytes` together, but always one if there is one.
    """
    rows = await queries.fetch(
        f"""with following as (
               select {_RESOURCE}, sum(length(content)) over (order by changed_at, event_id, shared_id) as bytes,
                   row_number() over (order by changed_at, event_id, shared_id) as place
               from {_MESSAGES}
               and ($3 = '' or (changed_at, event_id, shared_id) > (
                   select changed_at, event_id, shared_id from {_MESSAGES} and shared_id = $3))
           )
           select {_RESOURCE} from following where place = 1 or (place <= $4 and bytes <= $5)
           order by changed_at, event_id, shared_id""",  # noqa: S608 - the columns are our own
        referral.person_key,
        referral.referral_id,
        after,
        limit,
        max_bytes,
    )
    return [ReferralResource(*row) for row in rows]
