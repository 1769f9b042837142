"""Other identities that Patient statements name, and cycles among them."""

from __future__ import annotations

from collections.abc import Collection

import psycopg

from onestory.shared.link import PROVISIONAL, Link

# One lock for all aliases: two projectors that each close half of a cycle would not see each other.
_LOCK = 0xA11A5


def add(connection: psycopg.Connection, links: Collection[Link]) -> None:
    """Note them. Must be the last locks that a transaction takes, but for those of `states`."""
    if any(link.kind != PROVISIONAL for link in links):
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    if links:
        connection.execute(
            """insert into patient_link (other_key, person_key, shared_id, event_id, kind)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::uuid[], %b::text[])
               on conflict do nothing""",
            [list(column) for column in zip(*links, strict=True)],
        )


def in_cycle(connection: psycopg.Connection, link: Link) -> bool:
    """Whether following what replaces what, among links in force, leads from this link's person back to it."""
    return (
        connection.execute(
            """with recursive replaced (person_key) as (
                   select %(start)s::text collate "C"
                 union
                   select case when l.kind = 'replaces' then l.other_key else l.person_key end
                   from replaced
                   join patient_link l
                     on (l.kind = 'replaces' and l.person_key = replaced.person_key)
                     or (l.kind = 'replaced-by' and l.other_key = replaced.person_key)
                   join current c
                     on c.person_key = l.person_key and c.resource_type = 'Patient' and c.shared_id = l.shared_id
                    and c.event_id = l.event_id and c.visible
               )
               select from replaced
               join patient_link l
                 on (l.kind = 'replaces' and l.person_key = replaced.person_key and l.other_key = %(start)s)
                 or (l.kind = 'replaced-by' and l.other_key = replaced.person_key and l.person_key = %(start)s)
               join current c
                 on c.person_key = l.person_key and c.resource_type = 'Patient' and c.shared_id = l.shared_id
                and c.event_id = l.event_id and c.visible
               limit 1""",
            {"start": link.person_key},
        ).fetchone()
        is not None
    )
