"""One resource as it is read, and its versions: of a person or of the directory."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.shared.database import Database
from onestory.shared.fhir.bundle import Version


class Standing(NamedTuple):
    """The statement that stands for a resource, whether or not it is part of the record."""

    organisation: str
    retracted: bool
    away: bool
    retired: bool
    version: Version


class Resource(NamedTuple):
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


async def standing(database: Database, of: Resource) -> Standing | None:
    """What stands for a resource."""
    query = _STANDING if of.person_key else _DIRECTORY_STANDING
    row = await database.fetchrow(query, *_address(of))
    return None if row is None else Standing(row[0], row[1], row[2], row[3], Version(*row[4:]))


async def version(database: Database, of: Resource, event_id: UUID) -> Version | None:
    """One version of a resource."""
    query = _VERSION if of.person_key else _DIRECTORY_VERSION
    row = await database.fetchrow(query, of.resource_type, of.shared_id, event_id, *_person(of))
    return None if row is None else Version(*row)


async def history(
    database: Database, of: Resource, since: datetime | None, after: UUID | None, count: int
) -> list[Version]:
    """The versions of a resource by their order key, greatest first: the first is the one that stands."""
    query = _HISTORY if of.person_key else _DIRECTORY_HISTORY
    rows = await database.fetch(query, of.resource_type, of.shared_id, since, after, count, *_person(of))
    return [Version(*row) for row in rows]


async def count(database: Database, of: Resource, since: datetime | None) -> int:
    """How many versions a resource has."""
    query = _COUNT if of.person_key else _DIRECTORY_COUNT
    return int(await database.fetchval(query, of.resource_type, of.shared_id, since, *_person(of)))


def _address(of: Resource) -> tuple[str, ...]:
    return (of.resource_type, of.shared_id, *_person(of))


def _person(of: Resource) -> tuple[str, ...]:
    return (of.person_key,) if of.person_key else ()
