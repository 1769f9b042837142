"""One resource as it is read, and its versions: of a person or of the directory."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.record.search.sorting import PastPlace
from onestory.shared.fhir.bundle import Version
from onestory.shared.postgres.database import Database


class CurrentStatement(NamedTuple):
    """The statement that stands for a resource, whether or not it is part of the record."""

    organisation: str
    retracted: bool
    away: bool
    retired: bool
    version: Version


class StoredResource(NamedTuple):
    """A resource by its address. `person_key` is None in the directory."""

    resource_type: str
    shared_id: str
    person_key: str | None


_STANDING = """
select c.organisation, c.operation = 'retract', c.away, c.retired, s.event_id, s.broker_time, s.content
from current c
join statement s using (person_key, shared_id, event_id)
where c.resource_type = $1 and c.shared_id = $2 and c.person_key = $3
"""

_DIRECTORY_STANDING = """
select s.organisation, c.operation = 'retract', false, false, s.event_id, s.broker_time, s.content
from directory_current c
join directory_statement s using (shared_id, event_id)
where c.resource_type = $1 and c.shared_id = $2
"""

# $3 is the first version asked for by time, $4 the last one of the page before, $5 the size of a page.
_HISTORY = """
select s.event_id, s.broker_time, s.content
from statement s
left join statement seen on seen.person_key = $6 and seen.shared_id = $2 and seen.event_id = $4
where s.person_key = $6 and s.resource_type = $1 and s.shared_id = $2
    and ($3::timestamptz is null or s.broker_time >= $3)
    and ($4::uuid is null or (s.rank, s.published_at, s.event_id) < (seen.rank, seen.published_at, seen.event_id))
order by s.rank desc, s.published_at desc, s.event_id desc
limit $5
"""

_DIRECTORY_HISTORY = """
select s.event_id, s.broker_time, s.content
from directory_statement s
left join directory_statement seen on seen.shared_id = $2 and seen.event_id = $4
where s.resource_type = $1 and s.shared_id = $2
    and ($3::timestamptz is null or s.broker_time >= $3)
    and ($4::uuid is null or (s.rank, s.published_at, s.event_id) < (seen.rank, seen.published_at, seen.event_id))
order by s.rank desc, s.published_at desc, s.event_id desc
limit $5
"""

_COUNT = """
select count(*) from statement
where resource_type = $1 and shared_id = $2 and ($3::timestamptz is null or broker_time >= $3) and person_key = $4
"""

_DIRECTORY_COUNT = """
select count(*) from directory_statement
where resource_type = $1 and shared_id = $2 and ($3::timestamptz is null or broker_time >= $3)
"""

_VERSION = """
select event_id, broker_time, content from statement
where resource_type = $1 and shared_id = $2 and event_id = $3 and person_key = $4
"""

_DIRECTORY_VERSION = """
select event_id, broker_time, content from directory_statement
where resource_type = $1 and shared_id = $2 and event_id = $3
"""


async def standing(database: Database, of: StoredResource) -> CurrentStatement | None:
    """What stands for a resource."""
    query = _STANDING if of.person_key else _DIRECTORY_STANDING
    row = await database.fetchrow(query, *_address(of))
    return None if row is None else CurrentStatement(row[0], row[1], row[2], row[3], Version(*row[4:]))


async def version(database: Database, of: StoredResource, event_id: UUID) -> Version | None:
    """One version of a resource."""
    query = _VERSION if of.person_key else _DIRECTORY_VERSION
    row = await database.fetchrow(query, of.resource_type, of.shared_id, event_id, *_person(of))
    return None if row is None else Version(*row)


async def history(
    database: Database, of: StoredResource, since: datetime | None, after: UUID | None, count: int
) -> list[Version]:
    """The versions of a resource by their order key, greatest first: the first is the one that stands."""
    query = _HISTORY if of.person_key else _DIRECTORY_HISTORY
    rows = await database.fetch(query, of.resource_type, of.shared_id, since, after, count, *_person(of))
    return [Version(*row) for row in rows]


async def count_versions(database: Database, of: StoredResource, since: datetime | None) -> int:
    """How many versions a resource has."""
    query = _COUNT if of.person_key else _DIRECTORY_COUNT
    return int(await database.fetchval(query, of.resource_type, of.shared_id, since, *_person(of)))


def _address(of: StoredResource) -> tuple[str, ...]:
    return (of.resource_type, of.shared_id, *_person(of))


def _person(of: StoredResource) -> tuple[str, ...]:
    return (of.person_key,) if of.person_key else ()


# What happened in a person's record: every version of every resource, and what left the record without one.


class Happened(NamedTuple):
    """One thing that happened to a resource."""

    resource_type: str
    shared_id: str
    version: Version
    place: PastPlace


class HistoryScope(NamedTuple):
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

_COUNT_CHANGES = f"{_EVENTS} select count(*) from asked"  # noqa: S608


async def page_of_changes(database: Database, of: HistoryScope, after: PastPlace | None, count: int) -> list[Happened]:
    """What happened, newest first, after a place."""
    rows = await database.fetch(_PAGE, *_asked(of), *(after or (None, None, None)), count)
    return [
        Happened(kind, shared_id, Version(event_id, at, content), PastPlace(at, offset, shared_id))
        for kind, shared_id, event_id, at, content, offset in rows
    ]


async def count_changes(database: Database, of: HistoryScope) -> int:
    """How much happened."""
    return int(await database.fetchval(_COUNT_CHANGES, *_asked(of)))


def _asked(of: HistoryScope) -> tuple[object, ...]:
    return (list(of.person_keys), of.resource_type, of.organisation, of.since)
