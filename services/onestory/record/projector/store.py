"""SQL of the projector: events, statements, current statements, whole lists and the directory.

The functions stand in the order in which `handler` calls them. They join the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg import sql

from onestory.record.projector.prepare import EventKey, PreparedEvent
from onestory.record.projector.rows import StatementRow, WholeList
from onestory.shared.fhir.persons import person_in
from onestory.shared.identity import PersonIdentifier


def add_events(connection: psycopg.Connection, events: Collection[PreparedEvent]) -> set[EventKey]:
    """Add the events. Returns the keys of those that were there already."""
    if not events:
        return set()
    added = connection.execute(
        """insert into event (message_key, event_id, digest, published_at, reference_rules)
           select * from unnest(%b::text[], %b::uuid[], %b::bytea[], %b::timestamptz[], %b::int2[])
           on conflict do nothing
           returning message_key, event_id""",
        [
            [event.key.message_key for event in events],
            [event.key.event_id for event in events],
            [event.fingerprint for event in events],
            [event.body.published_at for event in events],
            [event.body.reference_rules for event in events],
        ],
        binary=True,
    ).fetchall()
    return {event.key for event in events} - {EventKey(*row) for row in added}


def fingerprints(connection: psycopg.Connection, keys: Collection[EventKey]) -> Mapping[EventKey, bytes]:
    """The stored fingerprints of these events, by event key."""
    if not keys:
        return {}
    rows: list[tuple[str, UUID, bytes]] = connection.execute(
        """select message_key, event_id, digest from event
           join unnest(%b::text[], %b::uuid[]) as asked (message_key, event_id) using (message_key, event_id)""",
        [[key.message_key for key in keys], [key.event_id for key in keys]],
        binary=True,
    ).fetchall()
    return {EventKey(message_key, event_id): digest for message_key, event_id, digest in rows}


# Statements about persons.


def add_persons(connection: psycopg.Connection, persons: Mapping[str, PersonIdentifier]) -> None:
    """Add the persons, by person key."""
    connection.execute(
        """insert into person (person_key, system, value)
           select * from unnest(%b::text[], %b::text[], %b::text[]) on conflict do nothing""",
        [list(persons), [person.system for person in persons.values()], [person.value for person in persons.values()]],
    )


STATEMENT_TYPES = (
    *("text", "text", "uuid", "int8", "timestamptz", "text", "text", "text", "text"),
    *("text", "bytea", "bytea", "timestamptz", "int4", "int8", "timestamptz", "bool"),
)
"""PostgreSQL's types of the columns of a `StatementRow`."""


def add_statements(connection: psycopg.Connection, statements: Iterable[StatementRow]) -> None:
    """Add statements of new events."""
    copy_rows(connection, "statement", StatementRow._fields, STATEMENT_TYPES, statements)


_CURRENT_COLUMNS = (
    *("person_key", "resource_type", "shared_id", "event_id", "rank", "published_at"),
    *("organisation", "system", "operation", "content_digest", "away"),
)
_CURRENT_TYPES = ("text", "text", "text", "uuid", "int8", "timestamptz", "text", "text", "text", "bytea", "bool")


def update_current(connection: psycopg.Connection, greatest: Collection[tuple[StatementRow, bool]]) -> None:
    """Make these statements current where no statement with a greater order key is.

    Each comes with a flag: whether the resource belongs to another person (`away`). `retired` becomes false, so
    `retire` must follow for the scopes that have a whole list.
    """
    rows = (
        (
            row.person_key,
            row.resource_type,
            row.shared_id,
            row.event_id,
            row.rank,
            row.published_at,
            row.organisation,
            row.system,
            row.operation,
            row.content_digest,
            away,
        )
        for row, away in greatest
    )
    copy_rows(connection, "staged_current", _CURRENT_COLUMNS, _CURRENT_TYPES, rows)
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
    """Add events that are a source's whole list of a type."""
    if lists:
        types = ["text", "text", "text", "text", "uuid", "int8", "timestamptz", "timestamptz"]
        copy_rows(connection, "whole_list", WholeList._fields[:8], types, (row[:8] for row in lists))


def lower_events(connection: psycopg.Connection, repeated: Collection[PreparedEvent]) -> None:
    """Give each event the earliest `published_at` of its copies."""
    connection.execute(
        """update event set published_at = earliest.published_at
           from (select message_key, event_id, min(published_at) as published_at
                 from unnest(%b::text[], %b::uuid[], %b::timestamptz[]) as t (message_key, event_id, published_at)
                 group by message_key, event_id) as earliest
           where event.message_key = earliest.message_key and event.event_id = earliest.event_id
             and event.published_at > earliest.published_at""",
        [
            [event.key.message_key for event in repeated],
            [event.key.event_id for event in repeated],
            [event.body.published_at for event in repeated],
        ],
    )


def scopes_with_whole_list(
    connection: psycopg.Connection, person_keys: Collection[str]
) -> set[tuple[str, str, str, str]]:
    """The scopes of these persons that have a whole list: (person key, organisation, system, resource type)."""
    rows = connection.execute(
        """select distinct person_key, organisation, system, resource_type from whole_list
           join unnest(%b::text[]) as asked (person_key) using (person_key)""",
        [list(person_keys)],
    ).fetchall()
    return {
        (person_key, organisation, system, resource_type) for person_key, organisation, system, resource_type in rows
    }


def retire(connection: psycopg.Connection, scopes: Collection[tuple[str, str, str, str]]) -> None:
    """Decide anew which current statements of these scopes are retired.

    A current statement is retired when its order key is less than that of the scope's greatest whole list, and the
    event of that list has no entry for its resource. This runs with both, so their order of arrival does not matter.
    """
    if not scopes:
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
        [list(column) for column in zip(*sorted(scopes), strict=True)],
    )


# The directory: statements about no person, with the same order rule.

_DIRECTORY_COLUMNS = StatementRow._fields[1:-1]
_DIRECTORY_TYPES = STATEMENT_TYPES[1:-1]


def add_directory_statements(connection: psycopg.Connection, statements: Collection[StatementRow]) -> None:
    """Add statements of new events."""
    copy_rows(
        connection, "directory_statement", _DIRECTORY_COLUMNS, _DIRECTORY_TYPES, (row[1:-1] for row in statements)
    )


def lower_directory_statements(connection: psycopg.Connection, repeated: Sequence[StatementRow]) -> None:
    """Give each statement the least rank and the earliest `published_at` of its copies."""
    for statement in repeated:
        connection.execute(
            """update directory_statement set rank = least(rank, %s), published_at = least(published_at, %s)
               where shared_id = %s and event_id = %s""",
            [statement.rank, statement.published_at, statement.shared_id, statement.event_id],
        )


def update_current_directory(connection: psycopg.Connection, shared_ids: Collection[str]) -> None:
    """Make the statement with the greatest order key current, for each of these resources.

    Readers of records read the networks again if one of the resources may state a membership.
    """
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
    connection.execute(
        """update network_version set version = version + 1
           where exists (select from directory_current where shared_id = any(%b::text[])
               and resource_type in ('Organization', 'OrganizationAffiliation'))""",
        [sorted(shared_ids)],
    )


_CLEANUP_BATCH = 1000


def remove_persons_from_directory(connection: psycopg.Connection) -> int:
    """Remove the stored directory statements that name a person or cannot be read, unless that was done before.

    Returns how many were removed.

    Earlier releases accepted them. Kafka still has them; a rebuild parks each with the reason.
    """
    pending = connection.execute("delete from unfilled where name = 'directory_persons' returning name").fetchone()
    removed, last = 0, ("", "00000000-0000-0000-0000-000000000000")
    while pending and (rows := _directory_contents_after(connection, last)):
        named = [(shared_id, event_id) for shared_id, event_id, content in rows if _names_person(content)]
        if named:
            _remove_directory_statements(connection, named)
        removed, last = removed + len(named), (rows[-1][0], str(rows[-1][1]))
    return removed


def _directory_contents_after(
    connection: psycopg.Connection, last: tuple[str, str]
) -> Sequence[tuple[str, UUID, bytes]]:
    return connection.execute(
        """select shared_id, event_id, content from directory_statement
           where (shared_id, event_id) > (%s, %s::uuid) and content is not null
           order by shared_id, event_id limit %s""",
        [*last, _CLEANUP_BATCH],
    ).fetchall()


def _names_person(content: bytes) -> bool:
    """Whether a content names a person, or cannot be read: the projector parks both."""
    try:
        resource = orjson.loads(content)
        return person_in(resource, str(resource.get("resourceType"))) is not None
    except (ValueError, RecursionError, AttributeError):
        return True


def _remove_directory_statements(connection: psycopg.Connection, removed: Sequence[tuple[str, UUID]]) -> None:
    shared_ids = sorted({shared_id for shared_id, _ in removed})
    connection.execute(
        """delete from directory_statement s
           using unnest(%b::text[], %b::uuid[]) as named (shared_id, event_id)
           where (s.shared_id, s.event_id) = (named.shared_id, named.event_id)""",
        [[shared_id for shared_id, _ in removed], [event_id for _, event_id in removed]],
    )
    connection.execute("delete from directory_current where shared_id = any(%b::text[])", [shared_ids])
    update_current_directory(connection, shared_ids)


def copy_rows(
    connection: psycopg.Connection,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Write rows in bulk with COPY. `types` are PostgreSQL's names of the types.

    COPY in binary form costs a fifth of what an array parameter costs, in this process and in the server.
    """
    names = sql.SQL(", ").join(sql.Identifier(column) for column in columns)
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(sql.Identifier(table), names)
    with connection.cursor() as cursor, cursor.copy(statement) as copying:
        copying.set_types(types)
        write = copying.write_row
        for row in rows:
            write(row)
