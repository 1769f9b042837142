"""The poll loop on real PostgreSQL with a log in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, arrivals, expected_digest, person, statement
from tests.unit.shared.memory_log import MemoryLog, MemoryTopic
from tests.waiting import until

from onestory.record.projector.handler import RecordBatch
from onestory.shared.errors import Unavailable
from onestory.shared.events import ConsumedMessage, RecordChanged
from onestory.shared.identity import Keys
from onestory.shared.kafka import loop as loop_module
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import LogRecord as LogRecord
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.loop import ConsumerLoop, EventHandler
from onestory.shared.kafka.reader import LogReader

PLACE = Partition("care.record", 0)


def kill_connections(record: Record) -> None:
    record.rows(
        """select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid()"""
    )


def some(keys: Keys, count: int) -> list[RecordChanged]:
    return [statement(keys, n, person(n), [Said("Condition", "a", f'"n":{n}', n)]) for n in range(1, count + 1)]


class Fixture:
    """A consumer loop whose state a test can observe."""

    def __init__(
        self,
        record: Record,
        keys: Keys,
        handler: EventHandler[RecordBatch],
        passes_by: Callable[[str, LogRecord], bool] | None = None,
    ) -> None:
        self.topic = MemoryTopic()
        self.log = MemoryLog(self.topic)
        self.log.assign(PLACE)
        self.connections = 0
        self.refuse_connections = 0
        self.lag: Mapping[Partition, int] = {}
        self.lags: list[Mapping[Partition, int]] = []
        self._connect = partial(record.connect, keys)
        self._stop = threading.Event()
        self.loop = ConsumerLoop(
            lambda: LogReader(self.log, create_codec(), passes_by),
            self.connect,
            handler,
            self._report_lag,
            self._stop,
            lag_interval_s=0,
        )

    def _report_lag(self, lag: Mapping[Partition, int]) -> None:
        self.lag = lag
        self.lags.append(lag)

    def connect(self) -> psycopg.Connection:
        if self.refuse_connections:
            self.refuse_connections -= 1
            raise Unavailable("PostgreSQL is away.")
        self.connections += 1
        return self._connect()

    def append(self, keys: Keys, events: Sequence[RecordChanged]) -> None:
        for arrival in arrivals(keys, events):
            self.topic.append(PLACE, arrival.value, arrival.key)

    @contextmanager
    def running(self) -> Iterator[Future[None]]:
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(self.loop.run)
            try:
                yield running
            finally:
                self._stop.set()


def test_it_reads_on_from_its_position_after_a_restart(record: Record, keys: Keys) -> None:
    events = some(keys, 20)
    for _ in range(2):
        fixture = Fixture(record, keys, record.projector(keys))
        fixture.append(keys, events)

        with fixture.running():
            until(lambda: record.rows("select next_offset from position") == [(20,)])

    assert record.rows("select count(*) from statement") == [(20,)]
    assert record.digest() == expected_digest(keys, events)


def test_what_passes_by_moves_the_position_also_when_there_is_nothing_else(record: Record, keys: Keys) -> None:
    events = some(keys, 20)
    fixture = Fixture(record, keys, record.projector(keys), lambda _, message: message.offset < 15)
    fixture.append(keys, events[:10])

    with fixture.running():
        until(lambda: record.rows("select next_offset from position") == [(10,)])
        fixture.append(keys, events[10:])
        until(lambda: record.rows("select next_offset from position") == [(20,)])

    assert record.digest() == expected_digest(keys, events[15:])


def test_postgresql_and_kafka_may_go_away_and_come_back(record: Record, keys: Keys) -> None:
    events = some(keys, 20)
    fixture = Fixture(record, keys, record.projector(keys))
    fixture.refuse_connections = 2
    fixture.append(keys, events[:10])

    with fixture.running():
        until(lambda: record.rows("select next_offset from position") == [(10,)])
        kill_connections(record)
        fixture.append(keys, events[10:15])
        until(lambda: record.rows("select next_offset from position") == [(15,)])
        fixture.log.away = True
        until(lambda: not fixture.loop.is_ready())
        fixture.append(keys, events[15:])
        fixture.log.away = False
        until(lambda: record.rows("select next_offset from position") == [(20,)])

    assert record.digest() == expected_digest(keys, events)


def test_what_nobody_foresaw_stops_it_and_nothing_of_the_batch_stays(record: Record, keys: Keys) -> None:
    fixture = Fixture(record, keys, Failing(record.projector(keys)))
    fixture.append(keys, some(keys, 3))

    with fixture.running() as running, pytest.raises(ZeroDivisionError):
        running.result(timeout=30)

    assert record.rows("select next_offset from position") == [(0,)]
    assert record.rows("select count(*) from statement") == [(0,)]


class Failing:
    """A handler that writes a batch and then fails."""

    def __init__(self, handler: EventHandler[RecordBatch]) -> None:
        self._handler = handler

    def prepare(self, arrivals: Sequence[ConsumedMessage]) -> RecordBatch:
        return self._handler.prepare(arrivals)

    def write(self, transaction: psycopg.Connection, batch: RecordBatch) -> Callable[[], None]:
        self._handler.write(transaction, batch)
        raise ZeroDivisionError


def test_lag_grows_while_postgresql_is_away_and_goes_with_the_partition(
    record: Record, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "_LONGEST_PAUSE_S", 0.1)
    fixture = Fixture(record, keys, record.projector(keys))
    fixture.append(keys, some(keys, 3))
    with fixture.running():
        until(lambda: fixture.lag == {PLACE: 0})

        fixture.refuse_connections = 1_000_000
        kill_connections(record)
        fixture.append(keys, some(keys, 5)[3:])

        until(lambda: fixture.lag == {PLACE: 2})
        fixture.log.away = True
        until(lambda: fixture.lag == {})
        fixture.log.away = False
        until(lambda: fixture.lag == {PLACE: 2})
        fixture.log.assign()
        until(lambda: fixture.lag == {})
        # Another member may have moved its position meanwhile, so the lag is not known until PostgreSQL answers.
        fixture.log.assign(PLACE)
        reported = len(fixture.lags)
        until(lambda: len(fixture.lags) > reported + 3)
        assert not any(fixture.lags[reported + 1 :])
        fixture.refuse_connections = 0
        until(lambda: fixture.lag == {PLACE: 0})
