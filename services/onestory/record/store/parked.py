"""What could not be used: kept with its bytes, and sent on by the outbox in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from onestory.record.domain.replay import Headers
from onestory.shared import outbox
from onestory.shared.contracts.codec import Codec
from onestory.shared.contracts.topics import PARKED
from onestory.shared.events import Parked

_COLUMNS = Parked.__slots__


def park(connection: psycopg.Connection, parked: Parked, system: str | None, headers: Headers, codec: Codec) -> bool:
    """Park it, unless something of the same message is parked already; whether it was new.

    `system` is that of the publisher, where it is known.
    """
    added = connection.execute(
        """insert into parked (parked_id, reason, explanation, topic, partition, "offset", publisher, key, value,
                               attempts, parked_at, latest_offset, system, header_names, header_values)
           values (%s, %s, %s, %s, %s, %s, %s, %b, %b, %s, %s, %s, %s, %b::bytea[], %b::bytea[])
           on conflict (topic, partition, "offset") do nothing""",
        [
            *(getattr(parked, column) for column in _COLUMNS),
            parked.offset,
            system,
            [name.encode() for name, _ in headers],
            [value for _, value in headers],
        ],
    ).rowcount
    if added:
        outbox.append(connection, PARKED, parked.key or b"", codec.encode(parked))
    return bool(added)


def is_parked(connection: psycopg.Connection, parked_id: UUID, again: Parked) -> bool:
    """Whether this is what a message says that it replays: nobody's word is taken for it."""
    found = connection.execute(
        "select from parked where parked_id = %s and topic = %s and partition = %s and value = %b",
        [parked_id, again.topic, again.partition, again.value],
    )
    return found.rowcount == 1


def park_again(connection: psycopg.Connection, parked_id: UUID, again: Parked, codec: Codec) -> int | None:
    """Note on what is parked that a replay of it was of no use, with the reason of today: one message, one row.

    How often it was parked by now; None when this replay was noted before.
    """
    row: tuple[int, int] | None = connection.execute(
        """update parked set reason = %s, explanation = %s, attempts = attempts + 1, latest_offset = %s
           where parked_id = %s and latest_offset < %s
           returning "offset", attempts""",
        [again.reason, again.explanation, again.offset, parked_id, again.offset],
    ).fetchone()
    if row is None:
        return None
    first_offset, attempts = row
    event = replace(again, parked_id=parked_id, offset=first_offset, attempts=attempts)
    outbox.append(connection, PARKED, event.key or b"", codec.encode(event))
    return attempts


def parked_since(connection: psycopg.Connection, publisher: str | None, since: datetime) -> int:
    """How many messages of a publisher were parked after a time; a replay is no further message."""
    row = connection.execute(
        "select count(*) from parked where publisher is not distinct from %s and parked_at > %s", [publisher, since]
    ).fetchone()
    assert row is not None
    return int(row[0])


HOUR = timedelta(hours=1)
