"""SQL of ownership: one resource belongs to one person (tables `owner`, `claimant`, and the flag `current.away`).

Two projectors may handle the partitions of two persons at the same time, under READ COMMITTED. This is why both orders
of their work give the same result:

Each assertion upserts the owner row of its resource first. The transaction holds the lock of that row until it commits,
also when the assertion lost: PostgreSQL locks the row of an ON CONFLICT DO UPDATE whose WHERE is false. The second
projector waits there. Each of its later statements has a new snapshot, so it sees the owner, the statements and the
current rows that the first one committed. It takes the resource and marks the former owner's row as away, or it finds
that it lost and marks its own row. Both orders end with the greatest assertion as owner, and all other rows away.

A projector that lowers an order key changes its own statements first, then takes the same lock, then recomputes from
all claimants' statements. It sees what was committed before; a later projector compares with what it wrote. A
retraction takes no lock: it never claims a resource, and a retracted row is not visible whatever its flag is.

Rows are locked in the order of their hashes. Two projectors may still wait for each other's current rows. PostgreSQL
then ends one of the two transactions, and that batch is tried again as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import psycopg

from onestory.record.projector.rows import StatementRow, WholeList, WonClaim
from onestory.record.projector.store import copy_rows

_CLAIM_COLUMNS = ("resource_hash", "person_key", "rank", "published_at", "event_id")
_CLAIM_TYPES = ("text", "text", "int8", "timestamptz", "uuid")


def claim_owners(connection: psycopg.Connection, claims: Mapping[str, StatementRow]) -> list[WonClaim]:
    """Give each resource to the person of its assertion, unless a greater assertion owns it.

    `claims` has the greatest assertion of each resource, by resource hash. Returns the claims that won.
    """
    rows = ((resource_hash, row.person_key, *row.order_key) for resource_hash, row in sorted(claims.items()))
    copy_rows(connection, "staged_claim", _CLAIM_COLUMNS, _CLAIM_TYPES, rows)
    won = connection.execute(
        """insert into owner as o (resource_hash, person_key, rank, published_at, event_id)
           select * from staged_claim order by resource_hash
           on conflict (resource_hash) do update set
               person_key = excluded.person_key, rank = excluded.rank, published_at = excluded.published_at,
               event_id = excluded.event_id,
               former_key = case when o.person_key <> excluded.person_key then o.person_key end
           where (excluded.rank, excluded.published_at, excluded.event_id) > (o.rank, o.published_at, o.event_id)
           returning resource_hash, former_key"""
    ).fetchall()
    return [WonClaim(*row) for row in won]


def owners(connection: psycopg.Connection, hashes: Collection[str]) -> dict[str, str]:
    """The person keys of the owners, by resource hash."""
    if not hashes:
        return {}
    rows = connection.execute(
        """select resource_hash, person_key from owner
           join unnest(%b::text[]) as asked (resource_hash) using (resource_hash)""",
        [list(hashes)],
    ).fetchall()
    return dict(rows)


def add_claimants(connection: psycopg.Connection, claimants: Iterable[tuple[str, str]]) -> None:
    """Add (resource hash, person key) for resources that were asserted of several persons."""
    rows = sorted(claimants)
    if rows:
        connection.execute(
            """insert into claimant (resource_hash, person_key)
               select * from unnest(%b::text[], %b::text[]) on conflict do nothing""",
            [[row[0] for row in rows], [row[1] for row in rows]],
        )


def mark_away(connection: psycopg.Connection, rows: Collection[tuple[str, str, str]]) -> None:
    """Mark the rows (person key, resource type, shared id) whose resource now belongs to another person."""
    if rows:
        connection.execute(
            """update current c set away = true
               from unnest(%b::text[], %b::text[], %b::text[]) as gone (person_key, resource_type, shared_id)
               where (c.person_key, c.resource_type, c.shared_id)
                   = (gone.person_key, gone.resource_type, gone.shared_id)""",
            [list(column) for column in zip(*sorted(rows), strict=True)],
        )


# Repetitions. The times of an event are the earliest of its copies. A copy that arrives late may lower the order keys
# of its statements. Whatever follows from them is then recomputed from the statements, for these resources only.
# The values from before are kept for reads of the record as of a time (docs/explanation/decisions/0009).

_REPETITION_COLUMNS = (
    "person_key",
    "shared_id",
    "event_id",
    "rank",
    "published_at",
    "recorded_at",
    "broker_time",
    "offset",
)
_REPETITION_TYPES = ("text", "text", "uuid", "int8", "timestamptz", "timestamptz", "timestamptz", "int8")


def lower_statements(connection: psycopg.Connection, repeated: Iterable[StatementRow]) -> set[tuple[str, str]]:
    """Give each statement the least rank and the earliest times of its copies. Keep the earlier values in `lowering`.

    Returns (person key, shared id) of the statements that changed.
    """
    rows = ((*row[:5], row.recorded_at, row.broker_time, row.offset) for row in repeated)
    copy_rows(connection, "staged_repeat", _REPETITION_COLUMNS, _REPETITION_TYPES, rows)
    connection.execute(_ADD_LOWERINGS)
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


# Each copy of an event lowers its times in turn, in the order of offsets, so the result does not depend on how many
# copies one batch has. `step` has the times that each copy met.
_ADD_LOWERINGS = """
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


def lower_whole_lists(connection: psycopg.Connection, repeated: Collection[WholeList]) -> None:
    """Do the same for whole lists; the values from before go to `whole_list_lowering`."""
    if repeated:
        columns = [list(column) for column in zip(*repeated, strict=True)]
        connection.execute(_ADD_LIST_LOWERINGS, columns)
        connection.execute(_LOWER_LISTS, columns)


_REPEATED_LISTS = """
    from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::uuid[], %b::int8[], %b::timestamptz[],
                %b::timestamptz[], %b::int8[])
        as r (person_key, organisation, system, resource_type, event_id, rank, published_at, broker_time, "offset")"""
_ADD_LIST_LOWERINGS = f"""
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


def lock_owners(connection: psycopg.Connection, hashes: Collection[str]) -> None:
    """Lock the owner rows, so that no other transaction can change these owners before this one ends."""
    connection.execute(
        "select from owner where resource_hash = any(%b::text[]) order by resource_hash for update", [sorted(hashes)]
    )


def recompute_current(connection: psycopg.Connection, resources: Collection[tuple[str, str]]) -> None:
    """Make the statement with the greatest order key current, for each (person key, shared id)."""
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


def recompute_owners(connection: psycopg.Connection, resources: Collection[tuple[str, str]]) -> set[str]:
    """Give each resource, as (person key, shared id), to the person of its greatest assertion; other rows become away.

    Returns the keys of the persons whose current rows changed.
    """
    columns = [list(column) for column in zip(*sorted(resources), strict=True)]
    connection.execute(_RECOMPUTE_OWNERS, columns)
    return {person_key for (person_key,) in connection.execute(_RECOMPUTE_AWAY, columns).fetchall()}


# All persons for which a resource was ever asserted.
_CLAIMANTS = """
    with asked as (
        select person_key, substr(shared_id, 28) as resource_hash
        from unnest(%b::text[], %b::text[]) as a (person_key, shared_id)
    ), stake as (
        select resource_hash, person_key from asked
        union
        select resource_hash, claimant.person_key from claimant join asked using (resource_hash)
    )"""
_RECOMPUTE_OWNERS = f"""{_CLAIMANTS}, greatest as (
        select distinct on (stake.resource_hash) stake.resource_hash, s.person_key, s.rank, s.published_at, s.event_id
        from stake
        join statement s
          on s.person_key = stake.person_key and s.shared_id = stake.person_key || '-' || stake.resource_hash
        where s.operation = 'assert'
        order by stake.resource_hash, s.rank desc, s.published_at desc, s.event_id desc
    )
    update owner o set person_key = g.person_key, rank = g.rank, published_at = g.published_at, event_id = g.event_id
    from greatest g where o.resource_hash = g.resource_hash"""  # noqa: S608 - no value is part of it
_RECOMPUTE_AWAY = f"""{_CLAIMANTS}, judged as (
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
