"""Two projectors on one partition write nothing twice. On two persons they agree on the owner of a resource."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, arrivals, expected_digest, later, person, statement
from tests.unit.shared.memory_log import BEGAN, MemoryLog, MemoryTopic
from tests.waiting import until

from onestory.record.projector.handler import RecordProjector
from onestory.shared.events import RecordChanged
from onestory.shared.identity import Keys
from onestory.shared.kafka import reader as kafka_reader
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.loop import ConsumerLoop
from onestory.shared.kafka.reader import LogReader, PositionMove, PositionMoved, StoredPosition

AMINA, JOE = person(1), person(2)
PLACE = Partition("care.record", 0)


def test_two_projectors_that_fight_over_a_partition_write_nothing_twice(record: Record, keys: Keys) -> None:
    events = [statement(keys, n, person(n % 7), [Said("Condition", str(n % 50), f'"n":{n}', n)]) for n in range(1, 400)]
    topic, stop = MemoryTopic(), threading.Event()
    written = [Counting(record.projector(keys)) for _ in range(2)]
    loops = [_loop(topic, record, keys, projector, stop) for projector in written]

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(loop.run) for loop in loops]
        for arrival in arrivals(keys, events):
            topic.append(PLACE, arrival.value, arrival.key)
            time.sleep(0.001)  # spreads the messages over many batches
        until(lambda: record.rows("select sum(next_offset) from position") == [(len(events),)])
        stop.set()
        for each in running:
            each.result()

    assert sum(projector.committed for projector in written) == len(events)
    assert record.rows("select count(*) from parked") == [(0,)]
    assert record.digest() == expected_digest(keys, events)


def test_a_projector_that_lost_its_partition_writes_nothing(record: Record, keys: Keys) -> None:
    with record.connect(keys) as connection:
        kafka_reader.stored_positions(connection, [PLACE])
        connection.commit()
        move = PositionMove(PLACE, 0, StoredPosition(1, BEGAN))
        with kafka_reader.transaction(connection) as transaction:
            kafka_reader.move_positions(transaction, [move])

        with pytest.raises(PositionMoved), kafka_reader.transaction(connection) as transaction:
            kafka_reader.move_positions(transaction, [move])


@pytest.mark.parametrize("second_is_newer", [True, False])
def test_the_second_of_two_that_assert_a_resource_at_once_sees_the_first(
    record: Record, keys: Keys, second_is_newer: bool
) -> None:
    first = statement(keys, 1, AMINA, [Said("Condition", "a", '"amina":1', 5)])
    second = statement(keys, 2, JOE, [Said("Condition", "a", '"joe":1', 6 if second_is_newer else 4)])

    _overlap(record, keys, [first], [second])

    assert record.digest() == expected_digest(keys, [first, second])


def test_a_key_that_is_lowered_while_another_person_claims(record: Record, keys: Keys) -> None:
    stated = statement(keys, 1, AMINA, [Said("Condition", "a", '"amina":1', 5)], published=9)
    lowered = later(stated, published=1)
    claim = statement(keys, 2, JOE, [Said("Condition", "a", '"joe":1', 5)], published=4)

    for first, second in ((lowered, claim), (claim, lowered)):
        record.empty()
        record.project(keys, [stated])
        _overlap(record, keys, [first], [second])

        assert record.digest() == expected_digest(keys, [stated, lowered, claim])


def test_a_retraction_beside_a_move(record: Record, keys: Keys) -> None:
    stated = statement(keys, 1, AMINA, [Said("Condition", "a", '"amina":1', 5)])
    moved = statement(keys, 2, JOE, [Said("Condition", "a", '"joe":1', 6)])
    retracted = statement(keys, 3, AMINA, [Said("Condition", "a", None, 7)])

    for first, second in ((moved, retracted), (retracted, moved)):
        record.empty()
        record.project(keys, [stated])
        _overlap(record, keys, [first], [second])

        assert record.digest() == expected_digest(keys, [stated, moved, retracted])


class Counting:
    """A projector that counts the messages whose transaction committed."""

    def __init__(self, projector: RecordProjector) -> None:
        self._projector = projector
        self.prepare = projector.prepare
        self.committed = 0

    def write(self, transaction: psycopg.Connection, batch: object) -> Callable[[], None]:
        done = self._projector.write(transaction, batch)  # type: ignore[arg-type]
        size = len(batch.ready)  # type: ignore[attr-defined]

        def count() -> None:
            self.committed += size
            done()

        return count


def _loop(
    topic: MemoryTopic, record: Record, keys: Keys, projector: Counting, stop: threading.Event
) -> ConsumerLoop[object]:
    log = MemoryLog(topic)
    log.assign(PLACE)
    reader = LogReader(log, create_codec())
    return ConsumerLoop(lambda: reader, partial(record.connect, keys), projector, lambda _lag: None, stop)


def _overlap(record: Record, keys: Keys, first: Sequence[RecordChanged], second: Sequence[RecordChanged]) -> None:
    """Write both sequences of events. The second write begins before the first commits."""
    with ThreadPoolExecutor(1) as threads:
        with _written(record, keys, first):
            other = threads.submit(_write, record, keys, second)
            until(lambda: other.done() or _somebody_waits(record))
        other.result(timeout=30)


@contextmanager
def _written(record: Record, keys: Keys, events: Sequence[RecordChanged]) -> Iterator[None]:
    projector = record.projector(keys)
    with record.connect(keys) as connection, kafka_reader.transaction(connection) as transaction:
        projector.write(transaction, projector.prepare(arrivals(keys, events)))
        yield


def _write(record: Record, keys: Keys, events: Sequence[RecordChanged]) -> None:
    with _written(record, keys, events):
        pass


def _somebody_waits(record: Record) -> bool:
    return record.rows("select count(*) from pg_locks where not granted") != [(0,)]
