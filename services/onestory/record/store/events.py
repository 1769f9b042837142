"""Each event once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import psycopg

from onestory.record.domain.prepare import EventName, Prepared


def add(connection: psycopg.Connection, events: Collection[Prepared]) -> set[EventName]:
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


def lower(connection: psycopg.Connection, repeated: Collection[Prepared]) -> None:
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
