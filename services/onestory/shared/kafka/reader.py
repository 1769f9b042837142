"""Reads batches from a log, in order, from the stored positions.

A service that projects has the table `position (topic, partition, next_offset, broker_time)` in its schema. A batch and
its positions are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import ConsumedMessage, Event
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import Log, LogRecord, Partition

BATCH_BYTES = 4_000_000
_MAX_MESSAGES = 4_000
_MAX_MESSAGES_PER_POLL = 500
# A large first guess: the first poll fetches few messages, and then the size of messages is known.
_FIRST_TYPICAL_BYTES = 1_000_000
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class StoredPosition(NamedTuple):
    """The offset that is read next in a partition, and the greatest broker time before it."""

    next_offset: int
    broker_time: datetime


class PositionMove(NamedTuple):
    """The change that a batch makes to one position. `expected_offset` is the stored offset before the batch."""

    partition: Partition
    expected_offset: int
    new_position: StoredPosition


class PositionMoved(Exception):
    """Another projector has moved the position of this partition. The batch must not be written."""


# SQLSTATE classes "data exception" and "program limit exceeded" (PostgreSQL, Appendix A): another attempt is in vain.
_CONTENT_ERRORS = ("22", "54")


def refuses_content(error: psycopg.Error) -> bool:
    """Return whether PostgreSQL, or the driver, refuses a value itself, such as a text that an index cannot hold."""
    return isinstance(error, psycopg.DataError) or (error.sqlstate or "").startswith(_CONTENT_ERRORS)


@contextmanager
def transaction(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Open one transaction.

    Raises `Unavailable` when PostgreSQL is lost or cancels the transaction, `Unprocessable` when it refuses a value.
    """
    try:
        with connection.transaction():
            yield connection
    except psycopg.Error as error:
        if refuses_content(error):
            raise Unprocessable(
                f"PostgreSQL refuses a value of a batch ({type(error).__name__}), so this process stops. The positions "
                "of the batch did not move. Find the message after them in Kafka, and report it.",
                code="refused-by-database",
            ) from error
        if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            raise
        # The text of a PostgreSQL error may quote a row, so the message holds only its class.
        raise Unavailable(f"PostgreSQL did not write a batch ({type(error).__name__}).") from error


def stored_positions(
    connection: psycopg.Connection, partitions: Collection[Partition]
) -> dict[Partition, StoredPosition]:
    """Return the stored position of each partition; offset 0 for a partition that was never read."""
    ordered = sorted(partitions)
    columns = [[partition.topic for partition in ordered], [partition.number for partition in ordered]]
    connection.execute(
        """insert into position (topic, partition, next_offset, broker_time)
           select topic, partition, 0, %s from unnest(%s::text[], %s::int[]) as asked (topic, partition)
           on conflict do nothing""",
        [_NEVER, *columns],
    )
    rows = connection.execute(
        """select topic, partition, next_offset, broker_time from position
           join unnest(%s::text[], %s::int[]) as asked (topic, partition) using (topic, partition)""",
        columns,
    ).fetchall()
    return {Partition(topic, number): StoredPosition(*position) for topic, number, *position in rows}


def move_positions(connection: psycopg.Connection, moves: Collection[PositionMove]) -> None:
    """Compare and set the positions. Call it before any other write of the batch. Raises `PositionMoved`.

    Rows are locked in sorted order, so two projectors that hold the same partitions do not deadlock. The second one
    waits at the first common row, and then sees that the position has moved.
    """
    ordered = sorted(moves)
    current = connection.execute(
        """select topic, partition, next_offset from position
           join unnest(%s::text[], %s::int[]) as asked (topic, partition) using (topic, partition)
           order by topic, partition for update of position""",
        [[m.partition.topic for m in ordered], [m.partition.number for m in ordered]],
    ).fetchall()
    if [(m.partition.topic, m.partition.number, m.expected_offset) for m in ordered] != current:
        raise PositionMoved
    connection.execute(
        """update position set next_offset = asked.next_offset, broker_time = asked.broker_time
           from unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[])
               as asked (topic, partition, next_offset, broker_time)
           where (position.topic, position.partition) = (asked.topic, asked.partition)""",
        [
            [m.partition.topic for m in ordered],
            [m.partition.number for m in ordered],
            [m.new_position.next_offset for m in ordered],
            [m.new_position.broker_time for m in ordered],
        ],
    )


@dataclass(slots=True)
class Batch:
    """Messages of several partitions, and the change that they make to the positions."""

    messages: list[ConsumedMessage] = field(default_factory=list)
    moves: dict[Partition, PositionMove] = field(default_factory=dict)
    size_bytes: int = 0


class LogReader:
    """Gathers batches, and tracks the next offset of each started partition.

    The group may revoke a partition and assign it again between two polls. kafka-python then reads from another offset.
    So the assignment is compared after each poll, and a message with a wrong offset makes its partition start again.

    A message for which `skip(topic, record)` is true moves the position but is not decoded.
    """

    def __init__(self, log: Log, codec: Codec, skip: Callable[[str, LogRecord], bool] | None = None) -> None:
        self._log = log
        self._codec = codec
        self._skip = skip or (lambda _topic, _record: False)
        self._next: dict[Partition, StoredPosition] = {}
        self._typical_bytes = _FIRST_TYPICAL_BYTES

    def gather(self, timeout_ms: int) -> Batch:
        """Return the next messages, up to the size of one transaction. Waits for the first message only."""
        batch = Batch()
        while batch.size_bytes < BATCH_BYTES and len(batch.messages) < _MAX_MESSAGES:
            wanted = (BATCH_BYTES - batch.size_bytes) // self._typical_bytes
            polled = self._log.poll(0 if batch.moves else timeout_ms, max(1, min(wanted, _MAX_MESSAGES_PER_POLL)))
            self._drop_revoked(batch)
            for partition, records in polled.items():
                self._add(batch, partition, records)
            if not polled or not batch.moves:
                break
        return batch

    def assigned(self) -> set[Partition]:
        """Return the partitions that the group has assigned to this member."""
        return self._log.assigned()

    def not_started(self) -> set[Partition]:
        """Return the assigned partitions that wait for `start`."""
        return self._log.assigned() - self._next.keys()

    def start(self, partition: Partition, position: StoredPosition) -> None:
        """Read this partition from this position."""
        self._log.seek(partition, position.next_offset)
        self._next[partition] = position

    def has_started(self) -> bool:
        """Return whether any partition is being read."""
        return bool(self._next)

    def forget(self) -> None:
        """Forget all positions, because a batch was not written. Every partition needs `start` again."""
        self._next.clear()

    def lag(self, stored: Mapping[Partition, int]) -> dict[Partition, int]:
        """Return how many messages of each assigned partition are behind the stored offset.

        A partition is absent when its stored offset or its end offset is not known.
        """
        partitions = self._log.assigned() & stored.keys()
        ends = self._log.end_offsets(sorted(partitions)) if partitions else {}
        return {partition: max(0, end - stored[partition]) for partition, end in ends.items()}

    def _drop_revoked(self, batch: Batch) -> None:
        revoked = self._next.keys() - self._log.assigned()
        for partition in revoked:
            del self._next[partition]
            _drop(batch, partition)

    def _add(self, batch: Batch, partition: Partition, records: Sequence[LogRecord]) -> None:
        position = self._next.get(partition)
        if position is None:
            return
        if records[0].offset < position.next_offset:
            del self._next[partition]
            _drop(batch, partition)
            return
        expected = batch.moves[partition].expected_offset if partition in batch.moves else position.next_offset
        for record in records:
            position = StoredPosition(record.offset + 1, max(position.broker_time, record.time))
            if not self._skip(partition.topic, record):
                batch.messages.append(self._consumed(partition, record, position))
            batch.size_bytes += len(record.value)
        self._next[partition] = position
        batch.moves[partition] = PositionMove(partition, expected, position)
        self._typical_bytes = max(1, sum(len(record.value) for record in records) // len(records))

    def _consumed(self, partition: Partition, record: LogRecord, position: StoredPosition) -> ConsumedMessage:
        return ConsumedMessage(
            partition.topic,
            partition.number,
            record.offset,
            position.broker_time,
            record.key,
            record.value,
            self._decode(record.value),
            record.headers,
        )

    def _decode(self, value: bytes) -> Event | Unprocessable:
        try:
            return self._codec.decode(value)
        except Unprocessable as error:
            code = "unknown-schema" if error.issues[0].code == "not-found" else "not-decodable"
            return Unprocessable(error.issues[0].diagnostics, code=code)


def _drop(batch: Batch, partition: Partition) -> None:
    if batch.moves.pop(partition, None):
        batch.messages = [each for each in batch.messages if (each.topic, each.partition) != partition]
