"""Rebuilding: a second generation beside the live record, compared with it, and then in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import psycopg
from prometheus_client import CollectorRegistry

from onestory.record.parking.park import EverythingParked, Parking
from onestory.record.projector import main as projector_main
from onestory.record.projector.handler import RecordBatch, RecordProjector
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.record.rebuild import comparison
from onestory.record.rebuild import store as rebuild_store
from onestory.record.rebuild.comparison import GenerationDifference
from onestory.record.rebuild.store import FORMER, LIVE, NEXT, positions
from onestory.shared.errors import Misconfigured
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import Log, LogRecord, Partition
from onestory.shared.kafka.loop import Loop
from onestory.shared.kafka.reader import ConsumedEvent, LogReader, StoredPosition
from onestory.shared.postgres import database
from onestory.shared.settings import Settings

# A log that ends where the live record stands, so that the rebuilt one never knows more.


class Bounded:
    """The messages of a log before an offset in each partition; partitions without one are not there."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._until: Mapping[Partition, int] = {}
        self._passed: set[Partition] = set()

    def allow(self, until: Mapping[Partition, int]) -> None:
        """Further than before, or as far."""
        for place in self._passed:
            self._log.seek(place, self._until[place])
        self._passed.clear()
        self._until = dict(until)

    def poll(self, timeout_ms: int, most: int) -> Mapping[Partition, Sequence[LogRecord]]:
        found: dict[Partition, Sequence[LogRecord]] = {}
        for place, records in self._log.poll(timeout_ms, most).items():
            within = [record for record in records if record.offset < self._until.get(place, 0)]
            if within:
                found[place] = within
            if len(within) < len(records) and place in self._until:
                self._passed.add(place)
        return found

    def assigned(self) -> set[Partition]:
        return self._log.assigned() & self._until.keys()

    def seek(self, place: Partition, offset: int) -> None:
        self._passed.discard(place)
        self._log.seek(place, offset)

    def end(self, place: Partition) -> int | None:
        return self._until.get(place)


# The next generation follows the live record: the same projector, on the same messages, into other tables.

Progress = Callable[[int, int], None]
"""Told how many messages are left, and how many entries were written."""


class GenerationFollower:
    """Projects into the next generation as far as it is told. Its figures are its own: nothing is counted twice."""

    def __init__(self, config: Settings, keys: Keys, codec: Codec, log: Log, progress: Progress) -> None:
        gauges = ProjectorMetrics(CollectorRegistry())
        parking = Parking(codec, gauges, config.parking_limit_per_hour)
        self._handler = _Noting(RecordProjector(keys, config.demographic_authorities, parking, gauges))
        self._log = Bounded(log)
        self._reader = LogReader(self._log, codec)
        self._dsn = config.postgres
        self._keys = keys
        self._progress = progress

    @property
    def touched(self) -> set[str]:
        """Message keys of what was projected, until somebody clears it."""
        return self._handler.touched

    def to(self, wanted: Mapping[Partition, StoredPosition]) -> None:
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

    def _run(self, bounds: Mapping[Partition, int]) -> None:
        stop, left = threading.Event(), dict(bounds)

        def lag(place: Partition, messages: int) -> None:
            left[place] = messages
            self._progress(sum(left.values()), self._handler.entries)
            if not any(left.values()):
                stop.set()

        Loop(lambda: self._reader, self._connect, self._handler, lag, stop).run()

    def _stands(self) -> dict[Partition, int]:
        with database.connect(self._dsn, NEXT) as connected:
            return {place: position.next_offset for place, position in positions(connected, NEXT).items()}

    def _connect(self) -> psycopg.Connection:
        connected = projector_main.connect_projector(self._dsn, self._keys, NEXT)
        # A crash takes the last transactions whole, with their positions; the takeover waits for the disk.
        connected.execute("set synchronous_commit = off")
        connected.commit()
        return connected


class _Noting:
    """A projector that notes what passes through it."""

    def __init__(self, projector: RecordProjector) -> None:
        self._projector = projector
        self.touched: set[str] = set()
        self.entries = 0

    def prepare(self, arrivals: Sequence[ConsumedEvent]) -> RecordBatch:
        batch = self._projector.prepare(arrivals)
        self.touched.update(event.name.message_key for event in batch.ready)
        return batch

    def write(self, transaction: psycopg.Connection, batch: RecordBatch) -> Callable[[], None]:
        return partial(self._count, self._projector.write(transaction, batch), batch)

    def _count(self, done: Callable[[], None], batch: RecordBatch) -> None:
        done()
        self.entries += sum(len(event.statements) for event in batch.ready)


MOST_SHOWN = 1_000
_GIVE_UP_AFTER_S = 30.0

Stage = Callable[[str, int], None]
"""Told what begins, and how many messages it has to read."""


class Compared(NamedTuple):
    """The first differences, and how many there are."""

    shown: Sequence[GenerationDifference]
    in_all: int


class Rebuild:
    """One rebuild. The connection is that of `generations.alone`."""

    def __init__(self, connection: psycopg.Connection, following: GenerationFollower, stage: Stage) -> None:
        self._connection = connection
        self._following = following
        self._stage = stage
        self._alike = False

    def check(self, first: Mapping[Partition, int]) -> None:
        """Whether Kafka still has everything, and the next generation is not ahead. Raises `Misconfigured`."""
        live, rebuilt = (rebuild_store.positions(self._connection, each) for each in (LIVE, NEXT))
        for place in sorted(live):
            if first.get(place, 0) > 0:
                raise Misconfigured(
                    f"Kafka has {place.topic}/{place.partition} from {first[place]} on only: a rebuild would lose what "
                    "came before. Nothing was changed."
                )
        if any(position.next_offset > _next(live, place) for place, position in rebuilt.items()):
            raise Misconfigured(
                "The half-built generation is ahead of the record, which was put back to an earlier state: "
                "`onestory rebuild record --drop` first."
            )

    def build(self) -> None:
        """Bring the next generation to where the record stands as this begins."""
        self._follow("reading Kafka", rebuild_store.positions(self._connection, LIVE))

    def compare(self) -> Compared:
        """Compare both at one position, while the record goes on."""
        self._stage("looking at the record", 0)
        at = comparison.photograph(self._connection)
        self._follow("reading what has come since", at)
        self._following.touched.clear()
        self._stage("comparing", 0)
        found = Compared(*comparison.differences(self._connection, MOST_SHOWN))
        self._alike = not found.in_all
        return found

    def take_over(self, *, accept_differences: bool) -> Compared:
        """Put the next generation into the record's place, unless what came in since it was compared differs.

        Raises `Unavailable` when somebody keeps the tables busy; nothing has changed then.
        """
        rebuild_store.drop(self._connection, FORMER)
        self._follow("reading what has come since", rebuild_store.positions(self._connection, LIVE))
        self._stage("preparing", 0)
        rebuild_store.carry_summaries(self._connection, alike=self._alike)
        rebuild_store.let_planner_know(self._connection)
        self._follow("reading what has come since", rebuild_store.positions(self._connection, LIVE))
        self._stage("taking over", 0)
        with self._connection.transaction():
            rebuild_store.hold_writers(self._connection, _GIVE_UP_AFTER_S)
            rebuild_store.check_alike(self._connection)
            self._following.to(rebuild_store.positions(self._connection, LIVE))
            found = Compared(*comparison.differences_of(self._connection, self._following.touched, MOST_SHOWN))
            if found.in_all and not accept_differences:
                raise psycopg.Rollback
            rebuild_store.carry(self._connection, alike=self._alike and not found.in_all)
            rebuild_store.take_over(self._connection, _GIVE_UP_AFTER_S)
        return found

    def _follow(self, what: str, to: Mapping[Partition, StoredPosition]) -> None:
        done = rebuild_store.positions(self._connection, NEXT)
        self._stage(what, sum(position.next_offset - _next(done, place) for place, position in to.items()))
        self._following.to(to)


def _next(positions: Mapping[Partition, StoredPosition], place: Partition) -> int:
    return positions[place].next_offset if place in positions else 0
