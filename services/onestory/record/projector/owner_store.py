"""One resource, one person: `owner`, `claimant`, and what is away.

Why this is right when two projectors handle the two persons' partitions at once, under READ COMMITTED:

Whoever asserts a resource upserts its owner row first, and so holds that row's lock until it commits, also where its
statement lost (PostgreSQL locks the row of an ON CONFLICT DO UPDATE whose WHERE is false). The second projector waits
there. Every statement that it sends afterwards has a new snapshot, so it sees the owner, the statements and the current
rows that the first one committed, and judges by them: it takes the resource and marks the former owner's row away, or
finds that it lost and marks its own. Both orders end with the greatest assertion as owner and all other rows away.

A projector that lowers a key changes its own statements first, then takes the same lock, then judges all claimants'
statements anew: who committed before it is seen, and who comes after it compares with what it wrote. A retraction takes
no lock, because it never claims, and a retracted row is not visible whatever its flag says.

Rows are taken in the order of their hashes. Two projectors that still wait for each other's current rows are told so by
PostgreSQL; the one that it ends is retried as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import psycopg

from onestory.record.projector.rows import StatementRow, Taken, WholeList
from onestory.record.projector.store import copy_rows

_CLAIM = ("resource_hash", "person_key", "rank", "published_at", "event_id")
_CLAIM_TYPES = ("text", "text", "int8", "timestamptz", "uuid")


def claim(connection: psycopg.Connection, claims: Mapping[str, StatementRow]) -> list[Taken]:
    """Let each resource belong to the person of this assertion, unless a greater one has it; those that it got."""
    rows = ((hash_, said.person_key, *said.key) for hash_, said in sorted(claims.items()))
    copy_rows(connection, "staged_claim", _CLAIM, _CLAIM_TYPES, rows)
    taken = connection.execute(
        """insert into owner as o (resource_hash, person_key, rank, published_at, event_id)
           select * from staged_claim order by resource_hash
           on conflict (resource_hash) do update set
               person_key = excluded.person_key, rank = excluded.rank, published_at = excluded.published_at,
               event_id = excluded.event_id,
               former_key = case when o.person_key <> excluded.person_key then o.person_key end
           where (excluded.rank, excluded.published_at, excluded.event_id) > (o.rank, o.published_at, o.event_id)
           returning resource_hash, former_key"""
    ).fetchall()
    return [Taken(*row) for row in taken]


def owners(connection: psycopg.Connection, hashes: Collection[str]) -> dict[str, str]:
    """The person keys to which these resources belong."""
    if not hashes:
        return {}
    rows = connection.execute(
        """select resource_hash, person_key from owner
           join unnest(%b::text[]) as asked (resource_hash) using (resource_hash)""",
        [list(hashes)],
    ).fetchall()
    return dict(rows)


def add_claimants(connection: psycopg.Connection, claimants: Iterable[tuple[str, str]]) -> None:
    """Note (resource hash, person key) for resources that were asserted of several persons."""
    rows = sorted(claimants)
    if rows:
        connection.execute(
            """insert into claimant (resource_hash, person_key)
               select * from unnest(%b::text[], %b::text[]) on conflict do nothing""",
            [[row[0] for row in rows], [row[1] for row in rows]],
        )


def send_away(connection: psycopg.Connection, rows: Collection[tuple[str, str, str]]) -> None:
    """Mark (person key, resource type, shared id): the source has since said it of another person."""
    if rows:
        connection.execute(
            """update current c set away = true
               from unnest(%b::text[], %b::text[], %b::text[]) as gone (person_key, resource_type, shared_id)
               where (c.person_key, c.resource_type, c.shared_id)
                   = (gone.person_key, gone.resource_type, gone.shared_id)""",
            [list(column) for column in zip(*sorted(rows), strict=True)],
        )


# Repetitions: each clock of an event counts with its earliest value, whichever copy brought it.
#
# A copy that arrives late may lower the keys of its statements (`lowering`). What follows is worked out anew from the
# statements, for the resources concerned only.


def lock_owners(connection: psycopg.Connection, hashes: Collection[str]) -> None:
    """Nobody else may judge whose these resources are until this transaction ends."""
    connection.execute(
        "select from owner where resource_hash = any(%b::text[]) order by resource_hash for update", [sorted(hashes)]
    )


def stand_anew(connection: psycopg.Connection, resources: Collection[tuple[str, str]]) -> None:
    """Let the statement with the greatest key stand for each (person key, shared id)."""
    connection.execute(
        """update current c set
               event_id = s.event_id, rank = s.rank, published_at = s.published_at, operation = s.operation,
               content_digest = s.content_digest
           from (
               select distinct on (s.person_key, s.shared_id) s.*
               from statement s
               join unnest(%b::text[], %b::text[]) as asked (person_key, shared_id) using (person_key, shared_id)
               order by s.person_key, s.shared_id, s.rank desc, s.published_at desc, s.event_id desc
           ) as s
           where (c.person_key, c.resource_type, c.shared_id) = (s.person_key, s.resource_type, s.shared_id)""",
        [list(column) for column in zip(*sorted(resources), strict=True)],
    )


def own_anew(connection: psycopg.Connection, resources: Collection[tuple[str, str]]) -> set[str]:
    """Give each resource to the person of its greatest assertion; everybody else's rows are away.

    The persons whose record this changed.
    """
    columns = [list(column) for column in zip(*sorted(resources), strict=True)]
    connection.execute(_OWN, columns)
    return {person_key for (person_key,) in connection.execute(_AWAY, columns).fetchall()}


# Who ever asserted a resource: the person at hand, and all claimants where there are several.
_STAKES = """
    with asked as (
        select person_key, substr(shared_id, 28) as resource_hash
        from unnest(%b::text[], %b::text[]) as a (person_key, shared_id)
    ), stake as (
        select resource_hash, person_key from asked
        union
        select resource_hash, claimant.person_key from claimant join asked using (resource_hash)
    )"""

_OWN = f"""{_STAKES}, greatest as (
        select distinct on (stake.resource_hash) stake.resource_hash, s.person_key, s.rank, s.published_at, s.event_id
        from stake
        join statement s
          on s.person_key = stake.person_key and s.shared_id = stake.person_key || '-' || stake.resource_hash
        where s.operation = 'assert'
        order by stake.resource_hash, s.rank desc, s.published_at desc, s.event_id desc
    )
    update owner o set person_key = g.person_key, rank = g.rank, published_at = g.published_at, event_id = g.event_id
    from greatest g where o.resource_hash = g.resource_hash"""  # noqa: S608 - no value is part of it

_AWAY = f"""{_STAKES}, judged as (
        select c.person_key, c.resource_type, c.shared_id, o.person_key <> c.person_key as away
        from stake
        join owner o using (resource_hash)
        join current c
          on c.person_key = stake.person_key and c.shared_id = stake.person_key || '-' || stake.resource_hash
        where c.operation = 'assert'
    )
    update current c set away = judged.away from judged
    where (c.person_key, c.resource_type, c.shared_id) = (judged.person_key, judged.resource_type, judged.shared_id)
      and c.away <> judged.away
    returning c.person_key"""  # noqa: S608


# Clocks that a repetition lowers, and how they stood before: what the record as it was needs (docs/decisions/0009).

_COLUMNS = ("person_key", "shared_id", "event_id", "rank", "published_at", "recorded_at", "broker_time", "offset")
_TYPES = ("text", "text", "uuid", "int8", "timestamptz", "timestamptz", "timestamptz", "int8")


def lower_statements(connection: psycopg.Connection, repeated: Iterable[StatementRow]) -> set[tuple[str, str]]:
    """Lower the clocks, and note how they stood; (person key, shared id) of the statements of which any changed."""
    rows = ((*said[:5], said.recorded_at, said.broker_time, said.offset) for said in repeated)
    copy_rows(connection, "staged_repeat", _COLUMNS, _TYPES, rows)
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
