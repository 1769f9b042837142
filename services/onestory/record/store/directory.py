"""The directory: statements about no person, by the same order rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import psycopg

from onestory.record.domain.statement import Statement
from onestory.record.store import statements
from onestory.record.store.staging import copy

_COLUMNS = Statement._fields[1:]
_TYPES = statements.TYPES[1:]


def add(connection: psycopg.Connection, said: Collection[Statement]) -> None:
    """Keep statements of events that are new."""
    copy(connection, "directory_statement", _COLUMNS, _TYPES, (each[1:] for each in said))


def lower(connection: psycopg.Connection, repeated: Sequence[Statement]) -> None:
    """Each clock of an event counts with its earliest value."""
    for said in repeated:
        connection.execute(
            """update directory_statement set rank = least(rank, %s), published_at = least(published_at, %s)
               where shared_id = %s and event_id = %s""",
            [said.rank, said.published_at, said.shared_id, said.event_id],
        )


def stand(connection: psycopg.Connection, shared_ids: Collection[str]) -> None:
    """Let the statement with the greatest key stand for each resource."""
    connection.execute(
        """insert into directory_current (shared_id, resource_type, event_id, rank, published_at, operation)
           select distinct on (shared_id) shared_id, resource_type, event_id, rank, published_at, operation
           from directory_statement
           join unnest(%b::text[]) as asked (shared_id) using (shared_id)
           order by shared_id, rank desc, published_at desc, event_id desc
           on conflict (shared_id) do update set
               event_id = excluded.event_id, rank = excluded.rank, published_at = excluded.published_at,
               operation = excluded.operation""",
        [sorted(shared_ids)],
    )
