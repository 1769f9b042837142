"""The one poll loop. A handler sees events and a transaction, never Kafka.

One thread polls and decodes; another writes the batch before it, so that this process and PostgreSQL work at the same
time. Positions are written in the transaction of their batch: whatever fails, both are there or neither is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import psycopg
import structlog

from onestory.shared.consumer import positions
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.consumer.log import Place
from onestory.shared.consumer.positions import Move, PositionMoved
from onestory.shared.consumer.reader import Reader
from onestory.shared.errors import Unavailable

_WAIT_MS = 200
_STUCK_S = 60.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0

Prepared = TypeVar("Prepared")

log = structlog.get_logger()


class Handler(Protocol[Prepared]):
    """What a room does with messages."""

    def prepare(self, arrivals: Sequence[Arrival]) -> Prepared:
        """Everything that needs no database; runs while the batch before is being written."""

    def write(self, transaction: psycopg.Connection, batch: Prepared) -> Callable[[], None]:
        """Write a batch; what it returns is called after the commit.

        `Unavailable` means: again, later. Anything else that it raises stops the process.
        """


class Loop(Generic[Prepared]):
    """Reads, and lets the handler write, until `stop` is set. `lag` is told what each partition has left."""

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        connect: Callable[[], psycopg.Connection],
        handler: Handler[Prepared],
        lag: Callable[[Place, int], None],
        stop: threading.Event,
    ) -> None:
        self._open_reader = open_reader
        self._reader: Reader | None = None
        self._connect = connect
        self._handler = handler
        self._lag = lag
        self._stop = stop
        self._connection: psycopg.Connection | None = None
        self._writing: Future[None] | None = None
        self._failures = 0
        self._turned_at = time.monotonic()

    def run(self) -> None:
        """Until stopped. What was gathered is written or left for the next start; raises what no retry can mend."""
        with ThreadPoolExecutor(1, thread_name_prefix="writer") as writer:
            try:
                while not self._stop.is_set():
                    self._turn(writer)
                self._settle_anyhow()
            finally:
                writer.shutdown()
                self._disconnect()

    def turns(self) -> bool:
        """Whether the loop still goes round."""
        return time.monotonic() - self._turned_at < _STUCK_S

    def ready(self) -> bool:
        """Whether it has partitions, and nothing stands in its way."""
        return self._failures == 0 and self._reader is not None and self._reader.has_started()

    def _turn(self, writer: ThreadPoolExecutor) -> None:
        self._turned_at = time.monotonic()
        try:
            self._reader = reader = self._reader or self._open_reader()
            batch = reader.gather(_WAIT_MS)
            prepared = self._handler.prepare(batch.arrivals) if batch.moves else None
            self._settle()
            self._start_new(reader)
            if prepared is not None:
                self._writing = writer.submit(self._write, list(batch.moves.values()), prepared)
            for place, messages in reader.lag():
                self._lag(place, messages)
        except (Unavailable, PositionMoved) as error:
            self._start_over(error)

    def _settle(self) -> None:
        """Wait for the batch that is being written; raises what it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()
            self._failures = 0

    def _start_new(self, reader: Reader) -> None:
        waiting = reader.not_started()
        if not waiting:
            return
        with positions.transaction(self._connected()) as transaction:
            stored = positions.stored(transaction, waiting)
        for place, position in sorted(stored.items()):
            reader.start(place, position)
            log.info("partition_started", topic=place.topic, partition=place.partition, offset=position.next_offset)
        self._failures = 0

    def _write(self, moves: list[Move], prepared: Prepared) -> None:
        with positions.transaction(self._connected()) as transaction:
            positions.move(transaction, moves)
            done = self._handler.write(transaction, prepared)
        done()

    def _start_over(self, error: Unavailable | PositionMoved) -> None:
        self._settle_anyhow()
        if self._reader:
            self._reader.forget()
        self._disconnect()
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._failures)
        self._failures += 1
        log.warning("batch_not_written", because=_why(error), again_in_s=pause_s)
        self._stop.wait(pause_s)

    def _settle_anyhow(self) -> None:
        # What was not written has not moved a position either, so whoever reads the partition next reads it again.
        with suppress(Unavailable, PositionMoved):
            self._settle()

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _why(error: Unavailable | PositionMoved) -> str:
    return error.issues[0].diagnostics if isinstance(error, Unavailable) else "another projector has the partition"
