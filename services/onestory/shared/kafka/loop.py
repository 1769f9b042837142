"""The poll loop of every projector, and how such a process stops.

A handler gets messages and a transaction; it never sees Kafka. One thread polls and decodes while another thread writes
the batch before, so this process and PostgreSQL work at the same time. The positions of a batch are written in its
transaction, so after any failure both are stored or neither is.
"""

from __future__ import annotations

import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Gauge

from onestory.shared.backoff import GrowingPause
from onestory.shared.errors import OneStoryError, Unavailable
from onestory.shared.events import ConsumedMessage
from onestory.shared.kafka import reader as kafka_reader
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.reader import LogReader, PositionMove, PositionMoved

_WAIT_MS = 200
_STUCK_S = 60.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_LAG_INTERVAL_S = 2.0

Prepared = TypeVar("Prepared")

log = structlog.get_logger()


class EventHandler(Protocol[Prepared]):
    """The work of a service on the messages of a batch."""

    def prepare(self, messages: Sequence[ConsumedMessage]) -> Prepared:
        """Do all work that needs no database. It runs while the batch before is written."""

    def write(self, transaction: psycopg.Connection, batch: Prepared) -> Callable[[], None]:
        """Write a batch. The function that it returns is called after the commit.

        When it raises `Unavailable`, the batch is tried again later. Any other error stops the process.
        """


class LagGauge:
    """The metric `onestory_consumer_lag` of one process. A partition whose lag is not known has no sample."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauge = Gauge(
            "onestory_consumer_lag",
            "Messages in Kafka behind the stored position, for each assigned partition",
            ["topic", "partition"],
            registry=registry,
        )
        self._shown: set[Partition] = set()

    def report(self, lag: Mapping[Partition, int]) -> None:
        """Show the lag of these partitions, and of no other."""
        for partition in self._shown - lag.keys():
            self._gauge.remove(partition.topic, partition.number)
        for partition, messages in lag.items():
            self._gauge.labels(partition.topic, partition.number).set(messages)
        self._shown = set(lag)


class ConsumerLoop(Generic[Prepared]):
    """Reads batches and lets the handler write them until `stop` is set.

    `report_lag` is called every `lag_interval_s` with the lag of each assigned partition: Kafka's end offset minus the
    stored position. So it also grows while PostgreSQL is away.
    """

    def __init__(
        self,
        open_reader: Callable[[], LogReader],
        connect: Callable[[], psycopg.Connection],
        handler: EventHandler[Prepared],
        report_lag: Callable[[Mapping[Partition, int]], None],
        stop: threading.Event,
        lag_interval_s: float = _LAG_INTERVAL_S,
    ) -> None:
        self._open_reader = open_reader
        self._reader: LogReader | None = None
        self._connect = connect
        self._handler = handler
        self._report_lag = report_lag
        self._stop = stop
        self._lag_interval_s = lag_interval_s
        self._lag_reported_at = float("-inf")
        self._stored_offsets: dict[Partition, int] = {}
        self._connection: psycopg.Connection | None = None
        self._writing: Future[None] | None = None
        self._pause = GrowingPause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        self._last_turn_at = time.monotonic()

    def run(self) -> None:
        """Run until stopped. A batch that is not written is read again at the next start.

        Raises every error except `Unavailable` and `PositionMoved`: a retry cannot help.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="writer") as writer:
            try:
                while not self._stop.is_set():
                    self._turn(writer)
                self._finish_writing_or_drop()
            finally:
                writer.shutdown()
                self._disconnect()

    def is_alive(self) -> bool:
        """Return whether the loop has turned in the last 60 seconds."""
        return time.monotonic() - self._last_turn_at < _STUCK_S

    def is_ready(self) -> bool:
        """Return whether the loop has partitions and its last attempt did not fail."""
        return self._pause.failures == 0 and self._reader is not None and self._reader.has_started()

    def _turn(self, writer: ThreadPoolExecutor) -> None:
        self._last_turn_at = time.monotonic()
        try:
            self._reader = reader = self._reader or self._open_reader()
            batch = reader.gather(_WAIT_MS)
            prepared = self._handler.prepare(batch.messages) if batch.moves else None
            self._finish_writing()
            self._start_assigned(reader)
            if prepared is not None:
                self._writing = writer.submit(self._write, list(batch.moves.values()), prepared)
        except (Unavailable, PositionMoved) as error:
            self._start_over(error)
        self._update_lag()

    def _finish_writing(self) -> None:
        """Wait for the batch that is being written. Raises the error of that write."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
            self._pause.reset()

    def _start_assigned(self, reader: LogReader) -> None:
        waiting = reader.not_started()
        if not waiting:
            return
        with kafka_reader.transaction(self._connected()) as transaction:
            stored = kafka_reader.stored_positions(transaction, waiting)
        for partition, position in sorted(stored.items()):
            reader.start(partition, position)
            self._stored_offsets[partition] = position.next_offset
            log.info(
                "partition_started", topic=partition.topic, partition=partition.number, offset=position.next_offset
            )
        self._pause.reset()

    def _write(self, moves: list[PositionMove], prepared: Prepared) -> None:
        with kafka_reader.transaction(self._connected()) as transaction:
            kafka_reader.move_positions(transaction, moves)
            after_commit = self._handler.write(transaction, prepared)
        self._stored_offsets |= {move.partition: move.new_position.next_offset for move in moves}
        after_commit()

    def _update_lag(self) -> None:
        if time.monotonic() - self._lag_reported_at < self._lag_interval_s:
            return
        assigned = self._reader.assigned() if self._reader else set()
        # Another member may move a partition that was lost. When it comes back, its position is read again.
        for partition in set(self._stored_offsets) - assigned:
            del self._stored_offsets[partition]
        self._report_lag(self._reader.lag(dict(self._stored_offsets)) if self._reader else {})
        self._lag_reported_at = time.monotonic()

    def _start_over(self, error: Unavailable | PositionMoved) -> None:
        self._finish_writing_or_drop()
        if self._reader:
            self._reader.forget()
        if isinstance(error, PositionMoved):
            # Another projector has moved these positions, so the offsets here are old.
            self._stored_offsets.clear()
        self._disconnect()
        pause_s = self._pause.next_s()
        log.warning("batch_not_written", because=_reason(error), again_in_s=pause_s)
        self._stop.wait(pause_s)

    def _finish_writing_or_drop(self) -> None:
        # A batch that was not written has not moved its positions, so the next reader of the partition reads it again.
        with suppress(Unavailable, PositionMoved):
            self._finish_writing()

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _reason(error: Unavailable | PositionMoved) -> str:
    return error.issues[0].diagnostics if isinstance(error, Unavailable) else "another projector has the partition"


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set. A process then finishes its current work and ends."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run_until_stopped(stop: threading.Event, main: Callable[[], None], *background: Callable[[], None]) -> int:
    """Run `main` in this thread and each `background` function in a thread of its own. When one ends, all stop.

    Returns the exit code: 0 unless one of them failed.
    """
    with ThreadPoolExecutor(max(1, len(background)), thread_name_prefix="background") as threads:
        running: list[Future[None]] = [threads.submit(function) for function in background]
        for future in running:
            future.add_done_callback(lambda _: stop.set())
        failed = _failed(main)
        stop.set()
        for future in running:
            failed |= _failed(future.result)
    log.info("stopped", failed=failed)
    return int(failed)


def run_main(main: Callable[[], None]) -> int:
    """Run `main`, which handles its own stop signals. Returns the exit code: 0 unless it failed."""
    failed = _failed(main)
    log.info("stopped", failed=failed)
    return int(failed)


def _failed(run: Callable[[], None]) -> bool:
    try:
        run()
    except Exception as error:
        # Only the text of our own errors is safe to log. A library may quote the data that it could not handle.
        reason = {"because": error.issues[0].diagnostics} if isinstance(error, OneStoryError) else {}
        frames = traceback.extract_tb(error.__traceback__)
        at = [f"{frame.filename.rpartition('onestory/')[2]}:{frame.lineno}" for frame in frames]
        log.error("stopped_by_error", error=type(error).__name__, at=at, **reason)
        return True
    return False
