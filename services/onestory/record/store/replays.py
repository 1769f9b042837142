"""Parked messages as an operator sees them, and as they are sent again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from onestory.record.domain.replay import headers_of
from onestory.shared import postgres
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.producer import Message, Position


class Listed(NamedTuple):
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
    with postgres.connect(dsn, "record") as connection:
        connection.autocommit = True
        try:
            yield connection
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
            raise Misconfigured("The database is not up to date: run `onestory migrate` first.") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable("PostgreSQL has gone away. Repeating is harmless.") from error


def listed(connection: psycopg.Connection) -> list[Listed]:
    """All of them, in the order in which they stood in their partitions."""
    cursor = connection.cursor(row_factory=class_row(Listed))
    return cursor.execute(
        """select parked_id, parked_at, publisher, reason, explanation, topic, partition, "offset", attempts,
                  replayed_at, waiting, length(value) as size
           from parked order by topic, partition, "offset" """
    ).fetchall()


def messages(connection: psycopg.Connection, parked_ids: Collection[UUID]) -> dict[UUID, Message]:
    """The messages as they are sent again: the original bytes and headers, to where they stood, and the mark."""
    rows = connection.execute(
        """select parked_id, topic, partition, key, value, header_names, header_values
           from parked where parked_id = any(%s)""",
        [list(parked_ids)],
    ).fetchall()
    return {
        parked_id: Message(topic, key, value, headers_of(parked_id, _headers(names, values)), partition)
        for parked_id, topic, partition, key, value, names, values in rows
    }


def mark(connection: psycopg.Connection, parked_ids: Sequence[UUID], positions: Sequence[Position]) -> None:
    """They were sent again, and Kafka has acknowledged them at these positions."""
    connection.execute(
        """update parked set replayed_at = now(), replayed_offset = greatest(replayed_offset, sent."offset")
           from unnest(%s::uuid[], %s::bigint[]) as sent (parked_id, "offset")
           where parked.parked_id = sent.parked_id""",
        [list(parked_ids), [position.offset for position in positions]],
    )


def _headers(names: Sequence[bytes], values: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(name.decode(), value) for name, value in zip(names, values, strict=True)]
