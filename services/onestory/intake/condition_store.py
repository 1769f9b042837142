"""The SQL of conditions: it reads views of the record service, by the keys that the comments of the views name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from onestory.intake.domain.conditions import MatchedResource
from onestory.shared.errors import Unavailable
from onestory.shared.events import Source
from onestory.shared.identity import PersonIdentifier, parse_shared_id
from onestory.shared.postgres.database import Database


class AskedIdentifier(NamedTuple):
    """An identifier to look for among a source's resources of one type. `entry` is the index of its entry.

    `resource_hash` is that of a resource whose local id is the identifier. `person_key` is empty when no person is
    known. `value_part` stands in each content with the identifier.
    """

    entry: int
    resource_type: str
    resource_hash: str
    person_key: str
    system: str
    value: str
    value_part: bytes


class VisibleVersion(NamedTuple):
    """The version of a resource that readers see, and whether the resource has other versions."""

    event_id: UUID
    has_others: bool


_ASKED = """
    select *
    from unnest($4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bytea[]) as asked (
        entry, resource_type, resource_hash, person_key, identifier_system, identifier_value, value_part
    )
"""
# The identifiers in the contents of `own`. Each content is read once, whatever the number of identifiers. $3: bytes of
# which one stands in each content in question, or null for many identifiers. PostgreSQL cannot read JSON with NUL.
_IDENTIFIERS = """
    cross join lateral (select convert_from(own.content, 'UTF8')::json -> 'identifier' as found) as element
    cross join lateral json_array_elements(
        case json_typeof(found) when 'array' then found when 'object' then json_build_array(found) else '[]' end
    ) as identifier
    where own.organisation = $1 and own.system = $2
        and ($3::bytea[] is null or exists (select from unnest($3) part where position(part in own.content) > 0))
        and position('"identifier"'::bytea in own.content) > 0
        and position('\\\\u0000'::bytea in own.content) = 0
"""
_COLUMNS = "resource_type, local_id, shared_id, event_id, content, broker_time"
# A resource may be in the record of the person in question, also under a linked identity, or where the source stated
# its local id last. A Patient may be anybody whom the source calls by the identifier.
_OF_PERSONS = f"""
    with asked as ({_ASKED}), possible as (
        select entry, person_key, true as is_same_person from asked where person_key <> ''
        union all
        select entry, link.other_key, true from asked join record.identity_link link using (person_key)
        union all
        select entry, link.person_key, true
        from asked
        join record.identity_link link on link.other_key = asked.person_key
        union all
        select entry, owner.person_key, false from asked join record.resource_owner owner using (resource_hash)
        union all
        select entry, named.person_key, false
        from asked
        join record.identified_person named
            on named.system = identifier_system and named.value = identifier_value and named.organisation = $1
        where asked.resource_type = 'Patient'
    ), place as (
        select entry, possible.person_key, asked.resource_type, asked.resource_hash, asked.identifier_value,
            bool_or(is_same_person) as is_same_person
        from possible
        join asked using (entry)
        group by entry, possible.person_key, asked.resource_type, asked.resource_hash, asked.identifier_value
    ), identified as (
        select own.*, identifier ->> 'value' as identifier_value
        from (select distinct person_key, resource_type from place) searched
        join record.own_statement own using (person_key, resource_type)
        {_IDENTIFIERS}
    )
    select entry, is_same_person, person_system, person_value, {_COLUMNS}
    from place
    join identified using (person_key, resource_type, identifier_value)
    union all
    select entry, is_same_person, person_system, person_value, {_COLUMNS}
    from place
    join record.own_statement own using (person_key, resource_type)
    where own.shared_id = place.person_key || '-' || place.resource_hash
        and own.organisation = $1 and own.system = $2
"""  # noqa: S608 - no value is inserted
_OF_DIRECTORY = f"""
    with asked as ({_ASKED}), identified as (
        select own.*, identifier ->> 'value' as identifier_value
        from (select distinct resource_type from asked) searched
        join record.own_directory_statement own using (resource_type)
        {_IDENTIFIERS}
    )
    select entry, false as is_same_person, null as person_system, null as person_value, {_COLUMNS}
    from asked
    join identified using (resource_type, identifier_value)
    union all
    select entry, false, null, null, {_COLUMNS}
    from asked
    join record.own_directory_statement own using (resource_type)
    where own.shared_id = asked.resource_hash and own.organisation = $1 and own.system = $2
"""  # noqa: S608 - no value is inserted
_VISIBLE = """
    select asked.shared_id, current.event_id, current.has_others
    from unnest($1::text[], $2::text[]) as asked (shared_id, resource_type)
    left join record.resource_owner owner on owner.resource_hash = substr(asked.shared_id, 28)
    join record.visible_version current
        on current.person_key = coalesce(owner.person_key, left(asked.shared_id, 26))
        and current.resource_type = asked.resource_type
        and current.shared_id = coalesce(owner.person_key, left(asked.shared_id, 26)) || substr(asked.shared_id, 27)
"""
_VISIBLE_IN_DIRECTORY = """
    select shared_id, event_id, has_others from record.visible_directory_version where shared_id = any($1::text[])
"""
# A publisher waits at most five seconds for an answer, and Kafka needs most of that time.
_TIMEOUT_S = 0.8
# The contents of one person's resources of a type are read for a condition on an identifier.
_CONTENTS_TIMEOUT_S = 2.0
# For more identifiers it is quicker to read all identifiers of each content.
_MAX_PARTS = 10


async def resources_of_persons(
    database: Database, source: Source, asked: Sequence[AskedIdentifier]
) -> dict[int, list[MatchedResource]]:
    """Return the source's own resources of persons that may have the identifiers, by index. Raises `Unavailable`."""
    return await _resources(database, _OF_PERSONS, source, asked)


async def resources_of_directory(
    database: Database, source: Source, asked: Sequence[AskedIdentifier]
) -> dict[int, list[MatchedResource]]:
    """Return the source's own resources of the directory that may have the identifiers, by index.

    Raises `Unavailable`.
    """
    return await _resources(database, _OF_DIRECTORY, source, asked)


async def _resources(
    database: Database, query: str, source: Source, asked: Sequence[AskedIdentifier]
) -> dict[int, list[MatchedResource]]:
    found: dict[int, list[MatchedResource]] = {}
    if asked:
        columns = [list(column) for column in zip(*asked, strict=True)]
        parts = [each.value_part for each in asked] if len(asked) <= _MAX_PARTS else None
        arguments = (source.organisation, source.system, parts, *columns)
        for row in await _fetch_in_time(database, _CONTENTS_TIMEOUT_S, query, *arguments):
            found.setdefault(row["entry"], []).append(_matched_resource(row))
    return found


async def visible_versions(database: Database, resources: Mapping[str, str]) -> dict[str, VisibleVersion]:
    """Return the versions that readers see, by shared id. `resources` are types by shared id.

    A resource that its source has moved to another person is found there. Raises `Unavailable`.
    """
    of_persons = {shared_id: kind for shared_id, kind in resources.items() if parse_shared_id(shared_id)}
    of_directory = sorted(resources.keys() - of_persons.keys())
    rows: list[Any] = []
    if of_persons:
        rows += await _fetch_in_time(database, _TIMEOUT_S, _VISIBLE, list(of_persons), list(of_persons.values()))
    if of_directory:
        rows += await _fetch_in_time(database, _TIMEOUT_S, _VISIBLE_IN_DIRECTORY, of_directory)
    return {row["shared_id"]: VisibleVersion(UUID(str(row["event_id"])), row["has_others"]) for row in rows}


async def _fetch_in_time(database: Database, limit_s: float, query: str, *arguments: object) -> Iterable[Any]:
    try:
        async with asyncio.timeout(limit_s):
            return await database.fetch(query, *arguments)
    except TimeoutError as error:
        raise Unavailable("PostgreSQL does not answer in time. Try again.") from error


def _matched_resource(row: Any) -> MatchedResource:
    person = PersonIdentifier(row["person_system"], row["person_value"]) if row["person_system"] else None
    return MatchedResource(
        resource_type=row["resource_type"],
        local_id=row["local_id"],
        shared_id=row["shared_id"],
        event_id=UUID(str(row["event_id"])),
        content=bytes(row["content"]),
        received_at=row["broker_time"],
        person=person,
        is_same_person=row["is_same_person"],
    )
