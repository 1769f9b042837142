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

from onestory.record.domain.owner import Taken
from onestory.record.domain.statement import Statement
from onestory.record.store.staging import copy

_CLAIM = ("resource_hash", "person_key", "rank", "published_at", "event_id")
_CLAIM_TYPES = ("text", "text", "int8", "timestamptz", "uuid")


def claim(connection: psycopg.Connection, claims: Mapping[str, Statement]) -> list[Taken]:
    """Let each resource belong to the person of this assertion, unless a greater one has it; those that it got."""
    rows = ((hash_, said.person_key, *said.key) for hash_, said in sorted(claims.items()))
    copy(connection, "staged_claim", _CLAIM, _CLAIM_TYPES, rows)
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
