"""What happened in a person's record: every version of every resource, and what left the record without one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from onestory.record.domain.search.place import PastPlace
from onestory.shared.database import Database
from onestory.shared.fhir.bundle import Version


class Happened(NamedTuple):
    """One thing that happened to a resource."""

    resource_type: str
    shared_id: str
    version: Version
    place: PastPlace


class Persons(NamedTuple):
    """Whose history is asked for, as far as a caller may see it. None: of any type, by any organisation."""

    person_keys: Collection[str]
    resource_type: str | None
    organisation: str | None
    since: datetime | None


# $1 are the identities of the person, $2 a type, $3 an organisation, $4 the first time that counts.
# What its source has since said of another person is not told of this one, but that it left is. A whole list retires
# what it does not mention, and a retraction may speak under another identity of the person: there is no version of
# either. What happens without a message of its own comes last in its moment.
_EVENTS = """
with moved as (
    select mine.person_key, mine.resource_hash,
        (select taker.broker_time from statement taker
         where taker.person_key = owner.person_key and taker.event_id = owner.event_id
            and taker.shared_id = owner.person_key || '-' || owner.resource_hash) as broker_time
    from claimant mine
    join owner using (resource_hash)
    where mine.person_key = any($1) and owner.person_key <> all($1)
), list as (
    select distinct on (person_key, organisation, system, resource_type) *
    from whole_list where person_key = any($1)
    order by person_key, organisation, system, resource_type, rank desc, published_at desc, event_id desc
), ended as (
    select c.person_key, c.resource_type, c.shared_id, c.event_id, c.organisation, moved.broker_time
    from moved
    join current c on c.person_key = moved.person_key and c.shared_id = moved.person_key || '-' || moved.resource_hash
    union all
    select c.person_key, c.resource_type, c.shared_id, c.event_id, c.organisation, list.broker_time
    from list
    join current c using (person_key, organisation, system, resource_type)
    where c.operation = 'assert' and c.retired and not c.away
    union all
    select said.person_key, said.resource_type, said.shared_id, said.event_id, said.organisation, s.broker_time
    from current taken_back
    join current said on said.person_key = any($1) and said.visible
        and substr(said.shared_id, 28) = substr(taken_back.shared_id, 28)
        and (said.rank, said.published_at, said.event_id)
            < (taken_back.rank, taken_back.published_at, taken_back.event_id)
    join statement s on (s.person_key, s.shared_id, s.event_id)
        = (taken_back.person_key, taken_back.shared_id, taken_back.event_id)
    where cardinality($1) > 1 and taken_back.person_key = any($1) and taken_back.operation = 'retract'
), happened as (
    select s.resource_type, s.shared_id, s.event_id, s.broker_time, s."offset", s.organisation, s.person_key
    from statement s
    where s.person_key = any($1)
        and not exists (select from moved where moved.resource_hash = substr(s.shared_id, 28))
    union all
    select ended.resource_type, ended.shared_id, null, greatest(ended.broker_time, s.broker_time),
        9223372036854775807, ended.organisation, ended.person_key
    from ended
    join statement s using (person_key, shared_id, event_id)
), asked as (
    select * from happened
    where ($2::text is null or resource_type = $2)
        and ($3::text is null or organisation = $3)
        and ($4::timestamptz is null or broker_time >= $4)
)
"""

_PAGE = f"""{_EVENTS}, page as (
    select * from asked
    where $5::timestamptz is null or (broker_time, "offset", shared_id) < ($5, $6::bigint, $7::text collate "C")
    order by broker_time desc, "offset" desc, shared_id desc
    limit $8
)
select page.resource_type, page.shared_id, page.event_id, page.broker_time, s.content, page."offset"
from page
left join statement s using (person_key, shared_id, event_id)
order by page.broker_time desc, page."offset" desc, page.shared_id desc
"""  # noqa: S608 - no value is part of it

_COUNT = f"{_EVENTS} select count(*) from asked"  # noqa: S608


async def page(database: Database, of: Persons, after: PastPlace | None, count: int) -> list[Happened]:
    """What happened, newest first, after a place."""
    rows = await database.fetch(_PAGE, *_asked(of), *(after or (None, None, None)), count)
    return [
        Happened(kind, shared_id, Version(event_id, at, content), PastPlace(at, offset, shared_id))
        for kind, shared_id, event_id, at, content, offset in rows
    ]


async def count(database: Database, of: Persons) -> int:
    """How much happened."""
    return int(await database.fetchval(_COUNT, *_asked(of)))


def _asked(of: Persons) -> tuple[object, ...]:
    return (list(of.person_keys), of.resource_type, of.organisation, of.since)
