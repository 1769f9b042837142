"""What could not be used: kept with its bytes, and sent on by the outbox in the same transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from onestory.record.parking.replay import Headers, headers_of
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.events import Parked
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition
from onestory.shared.kafka.schemas import PARKED
from onestory.shared.postgres import database, outbox

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


# Parked messages as an operator sees them, and as they are sent again.


class ParkedMessage(NamedTuple):
    """A parked message, without anything of its content."""

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


@contextmanager
def opened(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection on which each statement is a transaction.

    Raises `Unavailable` when PostgreSQL does not answer or goes away, `Misconfigured` when it lacks a migration.
    """
    with database.connect(dsn, "record") as connection:
        connection.autocommit = True
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise Misconfigured("The database is not up to date: run `onestory migrate` first.") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable("PostgreSQL has gone away. Repeating is harmless.") from error


def listed(connection: psycopg.Connection) -> list[ParkedMessage]:
    """All of them, in the order in which they stood in their partitions."""
    cursor = connection.cursor(row_factory=class_row(ParkedMessage))
    return cursor.execute(
        """select parked_id, parked_at, publisher, reason, explanation, topic, partition, "offset", attempts,
                  replayed_at, waiting, length(value) as size
           from parked order by topic, partition, "offset" """
    ).fetchall()


def messages(connection: psycopg.Connection, parked_ids: Collection[UUID]) -> dict[UUID, KafkaMessage]:
    """The messages as they are sent again: the original bytes and headers, to where they stood, and the mark."""
    rows = connection.execute(
        """select parked_id, topic, partition, key, value, header_names, header_values
           from parked where parked_id = any(%s)""",
        [list(parked_ids)],
    ).fetchall()
    return {
        parked_id: KafkaMessage(topic, key, value, headers_of(parked_id, _headers(names, values)), partition)
        for parked_id, topic, partition, key, value, names, values in rows
    }


def mark(connection: psycopg.Connection, parked_ids: Sequence[UUID], positions: Sequence[MessagePosition]) -> None:
    """They were sent again, and Kafka has acknowledged them at these positions."""
    connection.execute(
        """update parked set replayed_at = now(), replayed_offset = greatest(replayed_offset, sent."offset")
           from unnest(%s::uuid[], %s::bigint[]) as sent (parked_id, "offset")
           where parked.parked_id = sent.parked_id""",
        [list(parked_ids), [position.offset for position in positions]],
    )


def _headers(names: Sequence[bytes], values: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(name.decode(), value) for name, value in zip(names, values, strict=True)]
