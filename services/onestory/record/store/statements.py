"""Statements, and which of them stand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import psycopg

from onestory.record.domain.statement import Statement, WholeList
from onestory.record.store.staging import copy
from onestory.shared.identity import PersonIdentifier

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


def add(connection: psycopg.Connection, statements: Iterable[Statement]) -> None:
    """Keep statements of events that are new."""
    copy(connection, "statement", Statement._fields, TYPES, statements)


def stand(connection: psycopg.Connection, greatest: Collection[tuple[Statement, bool]]) -> None:
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
    copy(connection, "staged_current", _CURRENT, _CURRENT_TYPES, rows)
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
        copy(connection, "whole_list", WholeList._fields[:8], types, (said[:8] for said in lists))
