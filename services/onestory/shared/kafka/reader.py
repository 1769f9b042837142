"""Reads batches off a log, in order, from where the positions say."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import Event
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import Log, LogRecord, Partition

# Positions: how far each partition has been projected, kept with what was projected.
#
# A room that projects has the table `position (topic, partition, next_offset, broker_time)` in its schema.

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class StoredPosition(NamedTuple):
    """The offset to read next, and the greatest broker time so far."""

    next_offset: int
    broker_time: datetime


class Move(NamedTuple):
    """What a batch does to a position."""

    place: Partition
    expected: int
    to: StoredPosition


class PositionMoved(Exception):
    """Another projector has moved a position that this one thought was its own; nothing may be written."""


@contextmanager
def transaction(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """One transaction. Raises `Unavailable` when PostgreSQL goes away, or ends it in favour of another one."""
    try:
        with connection.transaction():
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        # The text of a PostgreSQL error may quote a row, so only its class goes on.
        raise Unavailable(f"PostgreSQL did not take a batch ({type(error).__name__}).") from error


def stored(connection: psycopg.Connection, places: Collection[Partition]) -> dict[Partition, StoredPosition]:
    """Where to read on; at the beginning when nobody has read a partition yet."""
    asked = [[place.topic for place in sorted(places)], [place.partition for place in sorted(places)]]
    connection.execute(
        """insert into position (topic, partition, next_offset, broker_time)
           select topic, partition, 0, %s from unnest(%s::text[], %s::int[]) as asked (topic, partition)
           on conflict do nothing""",
        [_NEVER, *asked],
    )
    rows = connection.execute(
        """select topic, partition, next_offset, broker_time from position
           join unnest(%s::text[], %s::int[]) as asked (topic, partition) using (topic, partition)""",
        asked,
    ).fetchall()
    return {Partition(topic, partition): StoredPosition(*position) for topic, partition, *position in rows}


def move(connection: psycopg.Connection, moves: Collection[Move]) -> None:
    """Compare-and-set, before anything else of the batch is written. Raises `PositionMoved`.

    Rows are locked in one order, so that two projectors that fight over several partitions do not deadlock. The loser
    waits at the first row that both want, and then sees that it was moved.
    """
    ordered = sorted(moves)
    found = connection.execute(
        """select topic, partition, next_offset from position
           join unnest(%s::text[], %s::int[]) as asked (topic, partition) using (topic, partition)
           order by topic, partition for update of position""",
        [[m.place.topic for m in ordered], [m.place.partition for m in ordered]],
    ).fetchall()
    if [(m.place.topic, m.place.partition, m.expected) for m in ordered] != found:
        raise PositionMoved
    connection.execute(
        """update position set next_offset = asked.next_offset, broker_time = asked.broker_time
           from unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[])
               as asked (topic, partition, next_offset, broker_time)
           where (position.topic, position.partition) = (asked.topic, asked.partition)""",
        [
            [m.place.topic for m in ordered],
            [m.place.partition for m in ordered],
            [m.to.next_offset for m in ordered],
            [m.to.broker_time for m in ordered],
        ],
    )


# What a projector is given: an event, and where and when it stands in Kafka.


@dataclass(frozen=True, slots=True)
class ConsumedEvent:
    """One message. `event` is what its bytes say, or why they cannot be read.

    `broker_time` is the LogAppendTime, or an earlier message's of the same partition where that is greater: it never
    goes backwards, and is the same on every rebuild. `key`, `value` and `headers` are the bytes as they stand in Kafka.
    """

    topic: str
    partition: int
    offset: int
    broker_time: datetime
    key: bytes | None
    value: bytes
    event: Event | Unprocessable
    headers: Sequence[tuple[str, bytes]] = ()


BATCH_BYTES = 4_000_000
_MOST_MESSAGES = 4_000
# Until it is known how large messages are here: a few at a time.
_TYPICAL_BYTES = 1_000_000


@dataclass(slots=True)
class Batch:
    """Messages of several partitions, and what they do to the positions."""

    arrivals: list[ConsumedEvent] = field(default_factory=list)
    moves: dict[Partition, Move] = field(default_factory=dict)
    size: int = 0


class LogReader:
    """Knows which offset comes next in each partition that it was told to start.

    The group may take a partition away and give it back between two polls, and kafka-python then reads from somewhere
    else. So the assignment is compared after each poll, and a message that is not next makes its partition start anew.

    Messages that `passes_by` picks are read past: the position moves, and nobody decodes them.
    """

    def __init__(self, log: Log, codec: Codec, passes_by: Callable[[str, LogRecord], bool] | None = None) -> None:
        self._log = log
        self._codec = codec
        self._passes_by = passes_by or (lambda _topic, _record: False)
        self._next: dict[Partition, StoredPosition] = {}
        self._typical_bytes = _TYPICAL_BYTES

    def gather(self, timeout_ms: int) -> Batch:
        """What there is, until it is enough for one transaction; waits for the first message only."""
        batch = Batch()
        while batch.size < BATCH_BYTES and len(batch.arrivals) < _MOST_MESSAGES:
            room = (BATCH_BYTES - batch.size) // self._typical_bytes
            polled = self._log.poll(0 if batch.moves else timeout_ms, max(1, min(room, 500)))
            self._drop_lost(batch)
            for place, records in polled.items():
                self._take(batch, place, records)
            if not polled or not batch.moves:
                break
        return batch

    def not_started(self) -> set[Partition]:
        """Assigned partitions that wait for `start`."""
        return self._log.assigned() - self._next.keys()

    def start(self, place: Partition, position: StoredPosition) -> None:
        """Read this partition from here."""
        self._log.seek(place, position.next_offset)
        self._next[place] = position

    def has_started(self) -> bool:
        """Whether there is any partition to read."""
        return bool(self._next)

    def forget(self) -> None:
        """Start all partitions anew: what was read ahead was not written."""
        self._next.clear()

    def lag(self) -> Iterable[tuple[Partition, int]]:
        """Messages that are there and not gathered yet, for each started partition."""
        for place, position in self._next.items():
            end = self._log.end(place)
            if end is not None:
                yield place, max(0, end - position.next_offset)

    def _drop_lost(self, batch: Batch) -> None:
        lost = self._next.keys() - self._log.assigned()
        for place in lost:
            del self._next[place]
            _drop(batch, place)

    def _take(self, batch: Batch, place: Partition, records: Sequence[LogRecord]) -> None:
        position = self._next.get(place)
        if position is None:
            return
        if records[0].offset < position.next_offset:
            del self._next[place]
            _drop(batch, place)
            return
        expected = batch.moves[place].expected if place in batch.moves else position.next_offset
        for record in records:
            position = StoredPosition(record.offset + 1, max(position.broker_time, record.time))
            if not self._passes_by(place.topic, record):
                batch.arrivals.append(self._arrival(place, record, position))
            batch.size += len(record.value)
        self._next[place] = position
        batch.moves[place] = Move(place, expected, position)
        self._typical_bytes = max(1, sum(len(record.value) for record in records) // len(records))

    def _arrival(self, place: Partition, record: LogRecord, position: StoredPosition) -> ConsumedEvent:
        try:
            event = self._codec.decode(record.value)
        except Unprocessable as error:
            code = "unknown-schema" if error.issues[0].code == "not-found" else "not-decodable"
            return _arrival(place, record, position, Unprocessable(error.issues[0].diagnostics, code=code))
        return _arrival(place, record, position, event)


def _arrival(
    place: Partition, record: LogRecord, position: StoredPosition, event: Event | Unprocessable
) -> ConsumedEvent:
    return ConsumedEvent(
        place.topic,
        place.partition,
        record.offset,
        position.broker_time,
        record.key,
        record.value,
        event,
        record.headers,
    )


def _drop(batch: Batch, place: Partition) -> None:
    if batch.moves.pop(place, None):
        batch.arrivals = [arrival for arrival in batch.arrivals if (arrival.topic, arrival.partition) != place]
