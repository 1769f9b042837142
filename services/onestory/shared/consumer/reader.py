"""Reads batches off a log, in order, from where the positions say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from onestory.shared.consumer.arrival import Arrival
from onestory.shared.consumer.log import Log, Place, Record
from onestory.shared.consumer.positions import Move, Position
from onestory.shared.contracts.codec import Codec
from onestory.shared.errors import Unprocessable
from onestory.shared.events import Event

BATCH_BYTES = 4_000_000
_MOST_MESSAGES = 4_000
# Until it is known how large messages are here: a few at a time.
_TYPICAL_BYTES = 1_000_000


@dataclass(slots=True)
class Batch:
    """Messages of several partitions, and what they do to the positions."""

    arrivals: list[Arrival] = field(default_factory=list)
    moves: dict[Place, Move] = field(default_factory=dict)
    size: int = 0


class Reader:
    """Knows which offset comes next in each partition that it was told to start.

    The group may take a partition away and give it back between two polls, and kafka-python then reads from somewhere
    else. So the assignment is compared after each poll, and a message that is not next makes its partition start anew.

    Messages that `passes_by` picks are read past: the position moves, and nobody decodes them.
    """

    def __init__(self, log: Log, codec: Codec, passes_by: Callable[[str, Record], bool] | None = None) -> None:
        self._log = log
        self._codec = codec
        self._passes_by = passes_by or (lambda _topic, _record: False)
        self._next: dict[Place, Position] = {}
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

    def not_started(self) -> set[Place]:
        """Assigned partitions that wait for `start`."""
        return self._log.assigned() - self._next.keys()

    def start(self, place: Place, position: Position) -> None:
        """Read this partition from here."""
        self._log.seek(place, position.next_offset)
        self._next[place] = position

    def has_started(self) -> bool:
        """Whether there is any partition to read."""
        return bool(self._next)

    def forget(self) -> None:
        """Start all partitions anew: what was read ahead was not written."""
        self._next.clear()

    def lag(self) -> Iterable[tuple[Place, int]]:
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

    def _take(self, batch: Batch, place: Place, records: Sequence[Record]) -> None:
        position = self._next.get(place)
        if position is None:
            return
        if records[0].offset < position.next_offset:
            del self._next[place]
            _drop(batch, place)
            return
        expected = batch.moves[place].expected if place in batch.moves else position.next_offset
        for record in records:
            position = Position(record.offset + 1, max(position.broker_time, record.time))
            if not self._passes_by(place.topic, record):
                batch.arrivals.append(self._arrival(place, record, position))
            batch.size += len(record.value)
        self._next[place] = position
        batch.moves[place] = Move(place, expected, position)
        self._typical_bytes = max(1, sum(len(record.value) for record in records) // len(records))

    def _arrival(self, place: Place, record: Record, position: Position) -> Arrival:
        try:
            event = self._codec.decode(record.value)
        except Unprocessable as error:
            code = "unknown-schema" if error.issues[0].code == "not-found" else "not-decodable"
            return _arrival(place, record, position, Unprocessable(error.issues[0].diagnostics, code=code))
        return _arrival(place, record, position, event)


def _arrival(place: Place, record: Record, position: Position, event: Event | Unprocessable) -> Arrival:
    return Arrival(
        place.topic,
        place.partition,
        record.offset,
        position.broker_time,
        record.key,
        record.value,
        event,
        record.headers,
    )


def _drop(batch: Batch, place: Place) -> None:
    if batch.moves.pop(place, None):
        batch.arrivals = [arrival for arrival in batch.arrivals if (arrival.topic, arrival.partition) != place]
