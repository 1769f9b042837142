"""Statements as their provenance tells them: who said it, by which system, when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from onestory.record.provenance.domain import Named, StatementOrigin
from onestory.record.read.history_store import StoredResource
from onestory.shared.events import Operation
from onestory.shared.postgres.database import Queries


class Wanted(NamedTuple):
    """One statement about a resource of a person."""

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
_OF_PERSON = _COLUMNS.format(
    table="statement", same="older.person_key = s.person_key and older.shared_id = s.shared_id"
)
_OF_DIRECTORY = _COLUMNS.format(table="directory_statement", same="older.shared_id = s.shared_id")

_TOLD = f"""{_OF_PERSON}
from unnest($1::text[], $2::text[], $3::uuid[]) as wanted (person_key, shared_id, event_id)
join statement s using (person_key, shared_id, event_id)"""

# An id holds the beginning of the resource's hash: between it and the same with more than any letter behind.
_BEHIND = f"""{_OF_PERSON} from statement s
where s.person_key = $1 and s.event_id = $2 and s.shared_id between $3 and $3 || '~'
order by s.shared_id"""
_BEHIND_DIRECTORY = f"{_OF_DIRECTORY} from directory_statement s where s.event_id = $1 and s.shared_id = $2"

_NEWEST_FIRST = "order by s.rank desc, s.published_at desc, s.event_id desc"
_OF_RESOURCE = f"""{_OF_PERSON} from statement s
where s.resource_type = $1 and s.shared_id = $2 and s.person_key = $3 {_NEWEST_FIRST}"""
_OF_DIRECTORY_RESOURCE = f"""{_OF_DIRECTORY} from directory_statement s
where s.resource_type = $1 and s.shared_id = $2 {_NEWEST_FIRST}"""


async def told(queries: Queries, wanted: Iterable[Wanted]) -> list[StatementOrigin]:
    """These statements, as far as they are known, in no order."""
    listed = list(wanted)
    columns = [[each[place] for each in listed] for place in range(len(Wanted._fields))]
    return [_told(row) for row in await queries.fetch(_TOLD, *columns)]


async def of_resource(queries: Queries, of: StoredResource) -> list[StatementOrigin]:
    """All statements about a resource, by their order key, greatest first."""
    if of.person_key is None:
        rows = await queries.fetch(_OF_DIRECTORY_RESOURCE, of.resource_type, of.shared_id)
    else:
        rows = await queries.fetch(_OF_RESOURCE, of.resource_type, of.shared_id, of.person_key)
    return [_told(row) for row in rows]


async def behind(queries: Queries, named: Named) -> StatementOrigin | None:
    """The statement that the id of a Provenance stands for."""
    if named.person_key is None:
        rows = await queries.fetch(_BEHIND_DIRECTORY, named.event_id, named.resource)
    else:
        begins = f"{named.person_key}-{named.resource}"
        rows = await queries.fetch(_BEHIND, named.person_key, named.event_id, begins)
    return _told(rows[0]) if rows else None


def _told(row: Any) -> StatementOrigin:
    return StatementOrigin(*row)._replace(operation=Operation(row["operation"]), event_id=UUID(str(row["event_id"])))
