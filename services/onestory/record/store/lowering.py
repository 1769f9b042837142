"""Clocks that a repetition lowers, and how they stood before: what the record as it was needs (docs/decisions/0009)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import psycopg

from onestory.record.domain.statement import Statement, WholeList
from onestory.record.store.staging import copy

_COLUMNS = ("person_key", "shared_id", "event_id", "rank", "published_at", "recorded_at", "broker_time", "offset")
_TYPES = ("text", "text", "uuid", "int8", "timestamptz", "timestamptz", "timestamptz", "int8")


def lower_statements(connection: psycopg.Connection, repeated: Iterable[Statement]) -> set[tuple[str, str]]:
    """Lower the clocks, and note how they stood; (person key, shared id) of the statements of which any changed."""
    rows = ((*said[:5], said.recorded_at, said.broker_time, said.offset) for said in repeated)
    copy(connection, "staged_repeat", _COLUMNS, _TYPES, rows)
    connection.execute(_NOTE)
    return set(
        connection.execute(
            """update statement s set
                   rank = least(s.rank, r.rank), published_at = least(s.published_at, r.published_at),
                   recorded_at = least(s.recorded_at, r.recorded_at)
               from (select person_key, shared_id, event_id, min(rank) as rank, min(published_at) as published_at,
                            min(recorded_at) as recorded_at
                     from staged_repeat group by person_key, shared_id, event_id) as r
               where (s.person_key, s.shared_id, s.event_id) = (r.person_key, r.shared_id, r.event_id)
                 and (s.rank > r.rank or s.published_at > r.published_at or s.recorded_at > r.recorded_at)
               returning s.person_key, s.shared_id"""
        ).fetchall()
    )


def lower_whole_lists(connection: psycopg.Connection, repeated: Collection[WholeList]) -> None:
    """The same for whole lists."""
    if repeated:
        columns = [list(column) for column in zip(*repeated, strict=True)]
        connection.execute(_NOTE_LISTS, columns)
        connection.execute(_LOWER_LISTS, columns)


# Copies of one event lower its clocks one after the other, in the order in which they stand in Kafka: it must not
# matter how many of them a batch holds. `step` has the clocks as each copy found them.
_NOTE = """
    with step as (
        select r.person_key, r.shared_id, r.event_id, r."offset", r.broker_time,
            least(s.rank, min(r.rank) over earlier) as rank,
            least(s.published_at, min(r.published_at) over earlier) as published_at,
            least(s.recorded_at, min(r.recorded_at) over earlier) as recorded_at,
            r.rank as new_rank, r.published_at as new_published_at, r.recorded_at as new_recorded_at
        from staged_repeat r
        join statement s using (person_key, shared_id, event_id)
        window earlier as (
            partition by r.person_key, r.shared_id, r.event_id order by r."offset"
            rows between unbounded preceding and 1 preceding)
    )
    insert into lowering (
        person_key, shared_id, event_id, "offset", broker_time, rank, published_at, recorded_at)
    select person_key, shared_id, event_id, "offset", broker_time, rank, published_at, recorded_at
    from step
    where new_rank < rank or new_published_at < published_at or new_recorded_at < recorded_at
    on conflict do nothing"""

_REPEATED_LISTS = """
    from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::int8[], %b::timestamptz[],
                %b::timestamptz[], %b::int8[])
        as r (person_key, organisation, system, resource_type, event_id, rank, published_at, broker_time, "offset")"""

_NOTE_LISTS = f"""
    with step as (
        select r.person_key, r.organisation, r.system, r.resource_type, r.event_id, r."offset", r.broker_time,
            least(l.rank, min(r.rank) over earlier) as rank,
            least(l.published_at, min(r.published_at) over earlier) as published_at,
            r.rank as new_rank, r.published_at as new_published_at
        {_REPEATED_LISTS}
        join whole_list l using (person_key, organisation, system, resource_type, event_id)
        window earlier as (
            partition by r.person_key, r.resource_type, r.event_id order by r."offset"
            rows between unbounded preceding and 1 preceding)
    )
    insert into whole_list_lowering (
        person_key, organisation, system, resource_type, event_id, "offset", broker_time, rank, published_at)
    select person_key, organisation, system, resource_type, event_id, "offset", broker_time, rank, published_at
    from step
    where new_rank < rank or new_published_at < published_at
    on conflict do nothing"""  # noqa: S608 - no value is part of it

_LOWER_LISTS = f"""
    update whole_list l set rank = least(l.rank, e.rank), published_at = least(l.published_at, e.published_at)
    from (
        select r.person_key, r.organisation, r.system, r.resource_type, r.event_id,
            min(r.rank) as rank, min(r.published_at) as published_at
        {_REPEATED_LISTS}
        group by r.person_key, r.organisation, r.system, r.resource_type, r.event_id
    ) e
    where (l.person_key, l.organisation, l.system, l.resource_type, l.event_id)
        = (e.person_key, e.organisation, e.system, e.resource_type, e.event_id)"""  # noqa: S608
