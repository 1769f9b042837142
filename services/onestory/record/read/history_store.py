"""SQL of single resources and their versions, of a person or of the directory, and of a person's history."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from onestory.record.search.sorting import HistoryCursor
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.bundle import ResourceVersion
from onestory.shared.postgres.database import Database


class CurrentStatement(NamedTuple):
    """The current statement of a resource. The resource may have left the record: see the three flags (glossary)."""

    organisation: str
    retracted: bool
    away: bool
    retired: bool
    version: ResourceVersion


class StoredResource(NamedTuple):
    """The address of a resource. `person_key` is None in the directory.

    `sees_restricted`: the caller sees its versions with a label R or V.
    """

    resource_type: str
    shared_id: str
    person_key: str | None
    sees_restricted: bool = True


_CURRENT_STATEMENT = """
select c.organisation, c.operation = 'retract', c.away, c.retired, s.event_id, s.broker_time, s.content
from current c
join statement s using (person_key, shared_id, event_id)
where c.resource_type = $1 and c.shared_id = $2 and c.person_key = $3
"""

_DIRECTORY_CURRENT_STATEMENT = """
select s.organisation, c.operation = 'retract', false, false, s.event_id, s.broker_time, s.content
from directory_current c
join directory_statement s using (shared_id, event_id)
where c.resource_type = $1 and c.shared_id = $2
"""

# A referral that was a mistake, such as the wrong person, shows no earlier version of its resources (statements `s`).
_NOT_OF_MISTAKE = f"""(s.system <> '{REFERRAL_SYSTEM}' or not exists (
    select from referral_carried k join referral r using (person_key, referral_id)
    where k.person_key = s.person_key and k.shared_id = s.shared_id and r.status = 'entered-in-error'
) or exists (
    select from current now
    where now.person_key = s.person_key and now.shared_id = s.shared_id and now.event_id = s.event_id
))"""  # noqa: S608 - no value is inserted

# $3: the earliest broker time. $4: the event id of the last version of the page before. $5: the most versions.
# $7: true if the caller sees versions with a label R or V.
_VERSIONS = f"""
select s.event_id, s.broker_time, s.content
from statement s
left join statement seen on seen.person_key = $6 and seen.shared_id = $2 and seen.event_id = $4
where s.person_key = $6 and s.resource_type = $1 and s.shared_id = $2
    and ($3::timestamptz is null or s.broker_time >= $3)
    and ($4::uuid is null or (s.rank, s.published_at, s.event_id) < (seen.rank, seen.published_at, seen.event_id))
    and ($7 or not s.restricted) and {_NOT_OF_MISTAKE}
order by s.rank desc, s.published_at desc, s.event_id desc
limit $5
"""  # noqa: S608 - no value is inserted

_DIRECTORY_VERSIONS = """
select s.event_id, s.broker_time, s.content
from directory_statement s
left join directory_statement seen on seen.shared_id = $2 and seen.event_id = $4
where s.resource_type = $1 and s.shared_id = $2
    and ($3::timestamptz is null or s.broker_time >= $3)
    and ($4::uuid is null or (s.rank, s.published_at, s.event_id) < (seen.rank, seen.published_at, seen.event_id))
order by s.rank desc, s.published_at desc, s.event_id desc
limit $5
"""

_VERSION_COUNT = f"""
select count(*) from statement s
where resource_type = $1 and shared_id = $2 and ($3::timestamptz is null or broker_time >= $3) and person_key = $4
    and ($5 or not restricted) and {_NOT_OF_MISTAKE}
"""  # noqa: S608 - no value is inserted

_DIRECTORY_VERSION_COUNT = """
select count(*) from directory_statement
where resource_type = $1 and shared_id = $2 and ($3::timestamptz is null or broker_time >= $3)
"""

_VERSION = f"""
select event_id, broker_time, content from statement s
where resource_type = $1 and shared_id = $2 and event_id = $3 and person_key = $4 and ($5 or not restricted)
    and {_NOT_OF_MISTAKE}
"""  # noqa: S608 - no value is inserted

_DIRECTORY_VERSION = """
select event_id, broker_time, content from directory_statement
where resource_type = $1 and shared_id = $2 and event_id = $3
"""


async def current_statement(database: Database, resource: StoredResource) -> CurrentStatement | None:
    """The current statement of a resource; None if it has none."""
    query = _CURRENT_STATEMENT if resource.person_key else _DIRECTORY_CURRENT_STATEMENT
    row = await database.fetchrow(query, *_address_arguments(resource))
    if row is None:
        return None
    return CurrentStatement(row[0], row[1], row[2], row[3], ResourceVersion(*row[4:]))


async def find_version(database: Database, resource: StoredResource, event_id: UUID) -> ResourceVersion | None:
    """One version of a resource; None if it is not stored."""
    query = _VERSION if resource.person_key else _DIRECTORY_VERSION
    row = await database.fetchrow(
        query, resource.resource_type, resource.shared_id, event_id, *_person_argument(resource)
    )
    return None if row is None else ResourceVersion(*row)


async def page_of_versions(
    database: Database, resource: StoredResource, since: datetime | None, after: UUID | None, count: int
) -> list[ResourceVersion]:
    """The versions of a resource by order key, greatest first: the first one is current."""
    query = _VERSIONS if resource.person_key else _DIRECTORY_VERSIONS
    rows = await database.fetch(
        query, resource.resource_type, resource.shared_id, since, after, count, *_person_argument(resource)
    )
    return [ResourceVersion(*row) for row in rows]


async def count_versions(database: Database, resource: StoredResource, since: datetime | None) -> int:
    """The number of versions of a resource since a broker time."""
    query = _VERSION_COUNT if resource.person_key else _DIRECTORY_VERSION_COUNT
    return int(
        await database.fetchval(query, resource.resource_type, resource.shared_id, since, *_person_argument(resource))
    )


def _address_arguments(resource: StoredResource) -> tuple[Any, ...]:
    return (resource.resource_type, resource.shared_id, *_person_argument(resource)[:1])


def _person_argument(resource: StoredResource) -> tuple[Any, ...]:
    return (resource.person_key, resource.sees_restricted) if resource.person_key else ()


class HistoryEntry(NamedTuple):
    """One new version of a resource, or one time at which it left the record without a new version."""

    resource_type: str
    shared_id: str
    version: ResourceVersion
    cursor: HistoryCursor
    organisation: str


class HistoryScope(NamedTuple):
    """The part of a person's history that is requested and that the caller may see. None means any.

    `restricted_of`: the caller sees statements with a label R or V of this organisation only, and nothing of the
    `restricted` resources (hashes) of others.
    """

    person_keys: Collection[str]
    resource_type: str | None
    organisation: str | None
    since: datetime | None
    restricted_of: str | None = None
    restricted: Collection[str] = ()


# $1: the identities of the person. $2: a type. $3: an organisation. $4: the earliest broker time. $5: the organisation
# whose statements with a label R or V are shown; null for any. $6: the hashes of resources that are restricted now.
# "moved": resources that now belong to another person. The history does not show their versions, only that they left.
# "ended": resources that left the record without a new version: they moved, a whole list retired them, or their source
# retracted them under another identity of the person. They come last in their moment.
_HISTORY = f"""
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
    select older.person_key, older.resource_type, older.shared_id, older.event_id, older.organisation, s.broker_time
    from current taken_back
    join current older on older.person_key = any($1) and older.visible
        and substr(older.shared_id, 28) = substr(taken_back.shared_id, 28)
        and (older.rank, older.published_at, older.event_id)
            < (taken_back.rank, taken_back.published_at, taken_back.event_id)
    join statement s on (s.person_key, s.shared_id, s.event_id)
        = (taken_back.person_key, taken_back.shared_id, taken_back.event_id)
    where cardinality($1) > 1 and taken_back.person_key = any($1) and taken_back.operation = 'retract'
), changes as (
    select s.resource_type, s.shared_id, s.event_id, s.broker_time, s."offset", s.organisation, s.person_key,
        s.restricted
    from statement s
    where s.person_key = any($1)
        and not exists (select from moved where moved.resource_hash = substr(s.shared_id, 28))
        and {_NOT_OF_MISTAKE}
    union all
    select ended.resource_type, ended.shared_id, null, greatest(ended.broker_time, s.broker_time),
        9223372036854775807, ended.organisation, ended.person_key, s.restricted
    from ended
    join statement s using (person_key, shared_id, event_id)
), requested as (
    select * from changes
    where ($2::text is null or resource_type = $2)
        and ($3::text is null or organisation = $3)
        and ($4::timestamptz is null or broker_time >= $4)
        and ($5::text is null or organisation = $5
            or (not restricted and substr(shared_id, 28) <> all($6::text[])))
)
"""  # noqa: S608 - no value is inserted

_HISTORY_PAGE = f"""{_HISTORY}, page as (
    select * from requested
    where $7::timestamptz is null or (broker_time, "offset", shared_id) < ($7, $8::bigint, $9::text collate "C")
    order by broker_time desc, "offset" desc, shared_id desc
    limit $10
)
select page.resource_type, page.shared_id, page.event_id, page.broker_time, s.content, page."offset", page.organisation
from page
left join statement s using (person_key, shared_id, event_id)
order by page.broker_time desc, page."offset" desc, page.shared_id desc
"""  # noqa: S608 - no value is inserted

_HISTORY_COUNT = f"{_HISTORY} select count(*) from requested"  # noqa: S608


async def page_of_history(
    database: Database, scope: HistoryScope, after: HistoryCursor | None, count: int
) -> list[HistoryEntry]:
    """At most `count` entries of the history, newest first, after a cursor."""
    rows = await database.fetch(_HISTORY_PAGE, *_scope_arguments(scope), *(after or (None, None, None)), count)
    return [
        HistoryEntry(
            resource_type,
            shared_id,
            ResourceVersion(event_id, at, content),
            HistoryCursor(at, offset, shared_id),
            organisation,
        )
        for resource_type, shared_id, event_id, at, content, offset, organisation in rows
    ]


async def count_history(database: Database, scope: HistoryScope) -> int:
    """The number of entries of the history."""
    return int(await database.fetchval(_HISTORY_COUNT, *_scope_arguments(scope)))


def _scope_arguments(scope: HistoryScope) -> tuple[object, ...]:
    return (
        list(scope.person_keys),
        scope.resource_type,
        scope.organisation,
        scope.since,
        scope.restricted_of,
        list(scope.restricted),
    )
