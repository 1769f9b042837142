"""Repetitions: each clock of an event counts with its earliest value, whichever copy brought it.

A copy that arrives late may lower the keys of its statements (`lowering`). What follows is worked out anew from the
statements, for the resources concerned only.
"""

from __future__ import annotations

from collections.abc import Collection

import psycopg


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
