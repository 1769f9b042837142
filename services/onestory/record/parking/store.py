"""SQL of parking: parked messages with their bytes and reason.

The outbox sends the event `Parked` in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from onestory.record.parking.replay import Headers, replay_headers
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.events import Parked
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition
from onestory.shared.kafka.schemas import PARKED_TOPIC
from onestory.shared.postgres import database, outbox

_PARKED_COLUMNS = Parked.__slots__
HOUR = timedelta(hours=1)


def park(connection: psycopg.Connection, parked: Parked, system: str | None, headers: Headers, codec: Codec) -> bool:
    """Park a message, unless it is parked already. Returns whether it was new.

    `system` is the publisher's system, where it is known.
    """
    added = connection.execute(
        """insert into parked (parked_id, reason, explanation, topic, partition, "offset", publisher, key, value,
                               attempts, parked_at, latest_offset, system, header_names, header_values)
           values (%s, %s, %s, %s, %s, %s, %s, %b, %b, %s, %s, %s, %s, %b::bytea[], %b::bytea[])
           on conflict (topic, partition, "offset") do nothing""",
        [
            *(getattr(parked, column) for column in _PARKED_COLUMNS),
            parked.offset,
            system,
            [name.encode() for name, _ in headers],
            [value for _, value in headers],
        ],
    ).rowcount
    if added:
        outbox.append(connection, event_message(PARKED_TOPIC, parked.key or b"", parked, codec))
    return bool(added)


def is_replay_of(connection: psycopg.Connection, parked_id: UUID, again: Parked) -> bool:
    """Whether the message really is a replay of this parked message: its header alone proves nothing.

    `again` is the message as it would be parked now.
    """
    rows = connection.execute(
        "select from parked where parked_id = %s and topic = %s and partition = %s and value = %b",
        [parked_id, again.topic, again.partition, again.value],
    )
    return rows.rowcount == 1


def park_again(connection: psycopg.Connection, parked_id: UUID, again: Parked, codec: Codec) -> int | None:
    """Record that a replay was parked again, with its reason of today. It stays one row.

    Returns how often the message was parked by now; None when this replay was recorded before.
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
    outbox.append(connection, event_message(PARKED_TOPIC, event.key or b"", event, codec))
    return attempts


def parked_since(connection: psycopg.Connection, publisher: str | None, since: datetime) -> int:
    """How many messages of a publisher were parked after a time. Replays that were parked again do not count."""
    row = connection.execute(
        "select count(*) from parked where publisher is not distinct from %s and parked_at > %s", [publisher, since]
    ).fetchone()
    assert row is not None
    return int(row[0])


# For operators: parked messages, and their replays.


@contextmanager
def open_connection(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection on which each statement is a transaction of its own.

    Raises `Unavailable` when PostgreSQL does not answer or goes away, and `Misconfigured` when it lacks a migration.
    """
    with database.connect(dsn, "record") as connection:
        connection.autocommit = True
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise Misconfigured("The database is not up to date: run `onestory migrate` first.") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable("The connection to PostgreSQL was lost. It is safe to repeat the command.") from error


class ParkedMessage(NamedTuple):
    """A parked message as operators see it, without its content. `size` is in bytes."""

    parked_id: UUID
    parked_at: datetime
    publisher: str | None
    reason: str
    explanation: str
    topic: str
    partition: int
    offset: int
    attempts: int
    replayed_at: datetime | None
    waiting: bool
    size: int


def list_parked(connection: psycopg.Connection) -> list[ParkedMessage]:
    """All parked messages, by topic, partition and offset."""
    cursor = connection.cursor(row_factory=class_row(ParkedMessage))
    return cursor.execute(
        """select parked_id, parked_at, publisher, reason, explanation, topic, partition, "offset", attempts,
                  replayed_at, waiting, length(value) as size
           from parked order by topic, partition, "offset" """
    ).fetchall()


def messages_to_replay(connection: psycopg.Connection, parked_ids: Collection[UUID]) -> dict[UUID, KafkaMessage]:
    """The messages as they are replayed, by parked id: same bytes, same partition, and the replay header."""
    rows = connection.execute(
        """select parked_id, topic, partition, key, value, header_names, header_values
           from parked where parked_id = any(%s)""",
        [list(parked_ids)],
    ).fetchall()
    return {
        parked_id: KafkaMessage(topic, key, value, replay_headers(parked_id, _headers(names, values)), partition)
        for parked_id, topic, partition, key, value, names, values in rows
    }


def _headers(names: Sequence[bytes], values: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(name.decode(), value) for name, value in zip(names, values, strict=True)]


def mark_replayed(
    connection: psycopg.Connection, parked_ids: Sequence[UUID], positions: Sequence[MessagePosition]
) -> None:
    """Record that these messages were replayed, and that Kafka has acknowledged them at these positions."""
    connection.execute(
        """update parked set replayed_at = now(), replayed_offset = greatest(replayed_offset, sent."offset")
           from unnest(%s::uuid[], %s::bigint[]) as sent (parked_id, "offset")
           where parked.parked_id = sent.parked_id""",
        [list(parked_ids), [position.offset for position in positions]],
    )
