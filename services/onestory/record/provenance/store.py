"""SQL of provenance: the origins of statements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from onestory.record.provenance.domain import ParsedProvenanceId, StatementOrigin
from onestory.record.read.history_store import StoredResource
from onestory.shared.events import Operation
from onestory.shared.postgres.database import Queries


class StatementRef(NamedTuple):
    """The key of one statement about a resource of a person."""

    person_key: str
    shared_id: str
    event_id: UUID


_COLUMNS = """
select s.resource_type, s.shared_id, s.event_id, s.organisation, s.system, s.operation, s.recorded_at, s.broker_time,
    not exists (
        select from {table} older
        where {same} and (older.rank, older.published_at, older.event_id) < (s.rank, s.published_at, s.event_id)
    ) as first
"""
_PERSON_SELECT = _COLUMNS.format(
    table="statement", same="older.person_key = s.person_key and older.shared_id = s.shared_id"
)
_DIRECTORY_SELECT = _COLUMNS.format(table="directory_statement", same="older.shared_id = s.shared_id")
_ORIGINS = f"""{_PERSON_SELECT}
from unnest($1::text[], $2::text[], $3::uuid[]) as wanted (person_key, shared_id, event_id)
join statement s using (person_key, shared_id, event_id)"""


async def origins(queries: Queries, wanted: Iterable[StatementRef]) -> list[StatementOrigin]:
    """The origins of these statements, as far as they are stored, in no order."""
    listed = list(wanted)
    columns = [[ref[index] for ref in listed] for index in range(len(StatementRef._fields))]
    return [_origin(row) for row in await queries.fetch(_ORIGINS, *columns)]


_NEWEST_FIRST = "order by s.rank desc, s.published_at desc, s.event_id desc"
_ORIGINS_OF_RESOURCE = f"""{_PERSON_SELECT} from statement s
where s.resource_type = $1 and s.shared_id = $2 and s.person_key = $3 and ($4 or not s.restricted) {_NEWEST_FIRST}"""
_ORIGINS_OF_DIRECTORY_RESOURCE = f"""{_DIRECTORY_SELECT} from directory_statement s
where s.resource_type = $1 and s.shared_id = $2 {_NEWEST_FIRST}"""


async def origins_of_resource(queries: Queries, resource: StoredResource) -> list[StatementOrigin]:
    """The origins of the statements about a resource that the caller sees, by order key, greatest first."""
    if resource.person_key is None:
        rows = await queries.fetch(_ORIGINS_OF_DIRECTORY_RESOURCE, resource.resource_type, resource.shared_id)
    else:
        rows = await queries.fetch(
            _ORIGINS_OF_RESOURCE,
            resource.resource_type,
            resource.shared_id,
            resource.person_key,
            resource.sees_restricted,
        )
    return [_origin(row) for row in rows]


# The id of a Provenance has the beginning of the resource's hash. `~` sorts after all letters of a hash.
_FIND_ORIGIN = f"""{_PERSON_SELECT} from statement s
where s.person_key = $1 and s.event_id = $2 and s.shared_id between $3 and $3 || '~'
order by s.shared_id"""
_FIND_DIRECTORY_ORIGIN = f"{_DIRECTORY_SELECT} from directory_statement s where s.event_id = $1 and s.shared_id = $2"


async def find_origin(queries: Queries, parsed: ParsedProvenanceId) -> StatementOrigin | None:
    """The origin of the statement that the id of a Provenance stands for; None when it is not stored."""
    if parsed.person_key is None:
        rows = await queries.fetch(_FIND_DIRECTORY_ORIGIN, parsed.event_id, parsed.resource)
    else:
        begins = f"{parsed.person_key}-{parsed.resource}"
        rows = await queries.fetch(_FIND_ORIGIN, parsed.person_key, parsed.event_id, begins)
    return _origin(rows[0]) if rows else None


def _origin(row: Any) -> StatementOrigin:
    return StatementOrigin(*row)._replace(operation=Operation(row["operation"]), event_id=UUID(str(row["event_id"])))
