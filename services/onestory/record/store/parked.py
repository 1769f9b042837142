"""What could not be used: kept with its bytes, and sent on by the outbox in the same transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

from onestory.shared import outbox
from onestory.shared.contracts.codec import Codec
from onestory.shared.contracts.topics import PARKED
from onestory.shared.events import Parked

_COLUMNS = Parked.__slots__


def park(connection: psycopg.Connection, parked: Parked, codec: Codec) -> bool:
    """Park it, unless something of the same message is parked already; whether it was new."""
    added = connection.execute(
        """insert into parked (parked_id, reason, explanation, topic, partition, "offset", publisher, key, value,
                               attempts, parked_at)
           values (%s, %s, %s, %s, %s, %s, %s, %b, %b, %s, %s)
           on conflict (topic, partition, "offset") do nothing""",
        [getattr(parked, column) for column in _COLUMNS],
    ).rowcount
    if added:
        outbox.append(connection, PARKED, parked.key or b"", codec.encode(parked))
    return bool(added)


def parked_since(connection: psycopg.Connection, publisher: str | None, since: datetime) -> int:
    """How many messages of a publisher were parked after a time."""
    row = connection.execute(
        "select count(*) from parked where publisher is not distinct from %s and parked_at > %s", [publisher, since]
    ).fetchone()
    assert row is not None
    return int(row[0])


HOUR = timedelta(hours=1)
