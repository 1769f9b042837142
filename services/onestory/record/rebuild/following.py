"""The next generation follows the live record: the same projector, on the same messages, into other tables."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import psycopg
from prometheus_client import CollectorRegistry

from onestory.record.gauges import Gauges
from onestory.record.handler import Batch, Projector
from onestory.record.parking import EverythingParked, Parking
from onestory.record.rebuild.bounded import Bounded
from onestory.record.store import connection
from onestory.record.store.generations import NEXT, positions
from onestory.shared import postgres
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.consumer.log import Log, Place
from onestory.shared.consumer.loop import Loop
from onestory.shared.consumer.positions import Position
from onestory.shared.consumer.reader import Reader
from onestory.shared.contracts.codec import Codec
from onestory.shared.errors import Misconfigured
from onestory.shared.identity import Keys
from onestory.shared.settings import Settings

Progress = Callable[[int, int], None]
"""Told how many messages are left, and how many entries were written."""


class Following:
    """Projects into the next generation as far as it is told. Its figures are its own: nothing is counted twice."""

    def __init__(self, config: Settings, keys: Keys, codec: Codec, log: Log, progress: Progress) -> None:
        gauges = Gauges(CollectorRegistry())
        parking = Parking(codec, gauges, config.parking_limit_per_hour)
        self._handler = _Noting(Projector(keys, config.demographic_authorities, parking, gauges))
        self._log = Bounded(log)
        self._reader = Reader(self._log, codec)
        self._dsn = config.postgres
        self._keys = keys
        self._progress = progress

    @property
    def touched(self) -> set[str]:
        """Message keys of what was projected, until somebody clears it."""
        return self._handler.touched

    def to(self, wanted: Mapping[Place, Position]) -> None:
        """Project until it stands there. Waits for Kafka and PostgreSQL; raises `Misconfigured`."""
        bounds = {place: position.next_offset for place, position in wanted.items()}
        self._log.allow(bounds)
        while bounds != self._stands():
            try:
                self._run(bounds)
            except EverythingParked as error:
                raise Misconfigured(
                    "Nothing of what is read can be used: is this the projector's environment (schema registry, key "
                    "secret)? The record is as it was."
                ) from error
            self._reader.forget()

    def _run(self, bounds: Mapping[Place, int]) -> None:
        stop, left = threading.Event(), dict(bounds)

        def lag(place: Place, messages: int) -> None:
            left[place] = messages
            self._progress(sum(left.values()), self._handler.entries)
            if not any(left.values()):
                stop.set()

        Loop(lambda: self._reader, self._connect, self._handler, lag, stop).run()

    def _stands(self) -> dict[Place, int]:
        with postgres.connect(self._dsn, NEXT) as connected:
            return {place: position.next_offset for place, position in positions(connected, NEXT).items()}

    def _connect(self) -> psycopg.Connection:
        connected = connection.connect(self._dsn, self._keys, NEXT)
        # A crash takes the last transactions whole, with their positions; the takeover waits for the disk.
        connected.execute("set synchronous_commit = off")
        connected.commit()
        return connected


class _Noting:
    """A projector that notes what passes through it."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self.touched: set[str] = set()
        self.entries = 0

    def prepare(self, arrivals: Sequence[Arrival]) -> Batch:
        batch = self._projector.prepare(arrivals)
        self.touched.update(event.name.message_key for event in batch.ready)
        return batch

    def write(self, transaction: psycopg.Connection, batch: Batch) -> Callable[[], None]:
        return partial(self._count, self._projector.write(transaction, batch), batch)

    def _count(self, done: Callable[[], None], batch: Batch) -> None:
        done()
        self.entries += sum(len(event.statements) for event in batch.ready)
