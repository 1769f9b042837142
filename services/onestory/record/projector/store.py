"""Statements, and which of them stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from onestory.record.projector.prepare import EventName, PreparedEvent
from onestory.record.projector.rows import StatementRow, WholeList
from onestory.shared.identity import PersonIdentifier

# Each event once.


def add_events(connection: psycopg.Connection, events: Collection[PreparedEvent]) -> set[EventName]:
    """Note the events; the names of those that were there already."""
    if not events:
        return set()
    added = connection.execute(
        """insert into event (message_key, event_id, digest, published_at)
           select * from unnest(%b::text[], %b::uuid[], %b::bytea[], %b::timestamptz[])
           on conflict do nothing
           returning message_key, event_id""",
        [
            [event.name.message_key for event in events],
            [event.name.event_id for event in events],
            [event.fingerprint for event in events],
            [event.event.published_at for event in events],
        ],
        binary=True,
    ).fetchall()
    return {event.name for event in events} - {EventName(*row) for row in added}


def fingerprints(connection: psycopg.Connection, names: Collection[EventName]) -> Mapping[EventName, bytes]:
    """What stands under these names."""
    if not names:
        return {}
    rows: list[tuple[str, UUID, bytes]] = connection.execute(
        """select message_key, event_id, digest from event
           join unnest(%b::text[], %b::uuid[]) as asked (message_key, event_id) using (message_key, event_id)""",
        [[name.message_key for name in names], [name.event_id for name in names]],
        binary=True,
    ).fetchall()
    return {EventName(key, event_id): digest for key, event_id, digest in rows}


def lower_events(connection: psycopg.Connection, repeated: Collection[PreparedEvent]) -> None:
    """One event counts once, with its earliest published_at."""
    connection.execute(
        """update event set published_at = earliest.published_at
           from (select message_key, event_id, min(published_at) as published_at
                 from unnest(%b::text[], %b::uuid[], %b::timestamptz[]) as t (message_key, event_id, published_at)
                 group by message_key, event_id) as earliest
           where event.message_key = earliest.message_key and event.event_id = earliest.event_id
             and event.published_at > earliest.published_at""",
        [
            [event.name.message_key for event in repeated],
            [event.name.event_id for event in repeated],
            [event.event.published_at for event in repeated],
        ],
    )


# What a source's whole list of a type leaves out is retired.


def whole_lists(connection: psycopg.Connection, person_keys: Collection[str]) -> set[tuple[str, str, str, str]]:
    """(person key, organisation, system, resource type) of these persons that have a whole list."""
    rows = connection.execute(
        """select distinct person_key, organisation, system, resource_type from whole_list
           join unnest(%b::text[]) as asked (person_key) using (person_key)""",
        [list(person_keys)],
    ).fetchall()
    return {(person, organisation, system, kind) for person, organisation, system, kind in rows}


def retire(connection: psycopg.Connection, groups: Collection[tuple[str, str, str, str]]) -> None:
    """Judge all current entries of these groups anew.

    An entry is retired when its key is less than that of the group's greatest whole list, and that event does not
    mention it. Whichever of the two arrives later, this runs with it.
    """
    if not groups:
        return
    connection.execute(
        """with latest as (
               select distinct on (l.person_key, l.organisation, l.system, l.resource_type) l.*
               from whole_list l
               join unnest(%b::text[], %b::text[], %b::text[], %b::text[])
                   as asked (person_key, organisation, system, resource_type)
                   using (person_key, organisation, system, resource_type)
               order by l.person_key, l.organisation, l.system, l.resource_type,
                        l.rank desc, l.published_at desc, l.event_id desc
           ), judged as (
               select c.person_key, c.resource_type, c.shared_id,
                      (c.rank, c.published_at, c.event_id) < (l.rank, l.published_at, l.event_id)
                      and not exists (
                          select from statement s
                          where s.person_key = c.person_key and s.shared_id = c.shared_id and s.event_id = l.event_id
                      ) as retired
               from latest l
               join current c using (person_key, resource_type)
               where c.organisation = l.organisation and c.system = l.system
           )
           update current c set retired = judged.retired
           from judged
           where (c.person_key, c.resource_type, c.shared_id)
               = (judged.person_key, judged.resource_type, judged.shared_id)
             and c.retired <> judged.retired""",
        [list(column) for column in zip(*sorted(groups), strict=True)],
    )


# Writing in bulk, through temporary tables of the connection.
#
# COPY in binary form costs a fifth of what an array parameter does, in this process and in the server.


def copy_rows(
    connection: psycopg.Connection,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Write rows in bulk; `types` are PostgreSQL's names."""
    names = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copying:
        copying.set_types(types)
        write = copying.write_row
        for row in rows:
            write(row)


TYPES = (
    *("text", "text", "uuid", "int8", "timestamptz", "text", "text", "text", "text"),
    *("text", "bytea", "bytea", "timestamptz", "int4", "int8", "timestamptz"),
)
"""PostgreSQL's types of the columns of a `Statement`."""

_CURRENT = (
    *("person_key", "resource_type", "shared_id", "event_id", "rank", "published_at"),
    *("organisation", "system", "operation", "content_digest", "away"),
)
_CURRENT_TYPES = ("text", "text", "text", "uuid", "int8", "timestamptz", "text", "text", "text", "bytea", "bool")


def add_persons(connection: psycopg.Connection, persons: Mapping[str, PersonIdentifier]) -> None:
    """Note whom these keys stand for."""
    connection.execute(
        """insert into person (person_key, system, value)
           select * from unnest(%b::text[], %b::text[], %b::text[]) on conflict do nothing""",
        [list(persons), [person.system for person in persons.values()], [person.value for person in persons.values()]],
    )


def add_statements(connection: psycopg.Connection, statements: Iterable[StatementRow]) -> None:
    """Keep statements of events that are new."""
    copy_rows(connection, "statement", StatementRow._fields, TYPES, statements)


def set_current(connection: psycopg.Connection, greatest: Collection[tuple[StatementRow, bool]]) -> None:
    """Let these statements stand where none with a greater key does. With each: whether its resource is away.

    `retired` starts anew; `retire` must follow for the groups that have a whole list.
    """
    rows = (
        (
            said.person_key,
            said.resource_type,
            said.shared_id,
            said.event_id,
            said.rank,
            said.published_at,
            said.organisation,
            said.system,
            said.operation,
            said.content_digest,
            away,
        )
        for said, away in greatest
    )
    copy_rows(connection, "staged_current", _CURRENT, _CURRENT_TYPES, rows)
    connection.execute(
        """insert into current as c (person_key, resource_type, shared_id, event_id, rank, published_at, organisation,
                                     system, operation, content_digest, away)
           select * from staged_current
           on conflict (person_key, resource_type, shared_id) do update set
               event_id = excluded.event_id, rank = excluded.rank, published_at = excluded.published_at,
               operation = excluded.operation, content_digest = excluded.content_digest, away = excluded.away,
               retired = false
           where (excluded.rank, excluded.published_at, excluded.event_id) > (c.rank, c.published_at, c.event_id)"""
    )


def add_whole_lists(connection: psycopg.Connection, lists: Collection[WholeList]) -> None:
    """Note events that are a source's whole list of a type."""
    if lists:
        types = ["text", "text", "text", "text", "uuid", "int8", "timestamptz", "timestamptz"]
        copy_rows(connection, "whole_list", WholeList._fields[:8], types, (said[:8] for said in lists))


# The directory: statements about no person, by the same order rule.

_COLUMNS = StatementRow._fields[1:]
_TYPES = TYPES[1:]


def add_directory_statements(connection: psycopg.Connection, said: Collection[StatementRow]) -> None:
    """Keep statements of events that are new."""
    copy_rows(connection, "directory_statement", _COLUMNS, _TYPES, (each[1:] for each in said))


def lower_directory_statements(connection: psycopg.Connection, repeated: Sequence[StatementRow]) -> None:
    """Each clock of an event counts with its earliest value."""
    for said in repeated:
        connection.execute(
            """update directory_statement set rank = least(rank, %s), published_at = least(published_at, %s)
               where shared_id = %s and event_id = %s""",
            [said.rank, said.published_at, said.shared_id, said.event_id],
        )


def set_current_directory(connection: psycopg.Connection, shared_ids: Collection[str]) -> None:
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
