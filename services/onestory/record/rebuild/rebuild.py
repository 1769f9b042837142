"""Rebuilds the record: builds a second generation from Kafka, compares it with the live record, and puts it in its
place.

`Rebuild` is the order of the steps. `GenerationFollower` runs the projector's own code on the same messages, into the
tables of the next generation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
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
from onestory.shared.events import ConsumedMessage
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import Log, LogRecord, Partition
from onestory.shared.kafka.loop import ConsumerLoop
from onestory.shared.kafka.reader import LogReader, StoredPosition
from onestory.shared.postgres import database
from onestory.shared.settings import Settings

MAX_SHOWN = 1_000
_LOCK_TIMEOUT_S = 30.0
Stage = Callable[[str, int], None]
"""Called with the name of a stage that begins, and the number of messages that it has to read."""


class GenerationComparison(NamedTuple):
    """The first differences, and how many there are in total."""

    shown: Sequence[GenerationDifference]
    total: int


class Rebuild:
    """One rebuild. The connection is that of `store.exclusive_connection`."""

    def __init__(self, connection: psycopg.Connection, follower: GenerationFollower, stage: Stage) -> None:
        self._connection = connection
        self._follower = follower
        self._stage = stage
        self._is_same = False

    def check(self, first: Mapping[Partition, int]) -> None:
        """Check that Kafka still has all messages, and that the next generation is not ahead of the live record.

        `first` has the first offset of each partition. Raises `Misconfigured`.
        """
        live, rebuilt = (rebuild_store.positions(self._connection, generation) for generation in (LIVE, NEXT))
        for partition in sorted(live):
            if first.get(partition, 0) > 0:
                raise Misconfigured(
                    f"Kafka has {partition.topic}/{partition.number} from {first[partition]} on only: a rebuild "
                    "would lose what came before. Nothing was changed."
                )
        if any(position.next_offset > _next_offset(live, partition) for partition, position in rebuilt.items()):
            raise Misconfigured(
                "The half-built generation is ahead of the record, which was put back to an earlier state: "
                "`onestory rebuild record --drop` first."
            )

    def build(self) -> None:
        """Bring the next generation to the positions that the live record has now."""
        self._follow("reading Kafka", rebuild_store.positions(self._connection, LIVE))

    def compare(self) -> GenerationComparison:
        """Compare both generations at the same positions, while the live record goes on."""
        self._stage("counting the live record", 0)
        live = comparison.snapshot_live(self._connection)
        self._follow("reading new messages", live)
        self._follower.changed_keys.clear()
        self._stage("comparing", 0)
        result = GenerationComparison(*comparison.differences(self._connection, MAX_SHOWN))
        self._is_same = not result.total
        return result

    def take_over(self, *, accept_differences: bool) -> GenerationComparison:
        """Put the next generation in the place of the live record, unless changes since the comparison differ.

        Raises `Unavailable` when another process keeps the tables busy; nothing has changed then.
        """
        rebuild_store.drop(self._connection, FORMER)
        self._follow("reading new messages", rebuild_store.positions(self._connection, LIVE))
        self._stage("preparing", 0)
        rebuild_store.carry_summaries(self._connection, same_content=self._is_same)
        rebuild_store.analyze_next(self._connection)
        self._follow("reading new messages", rebuild_store.positions(self._connection, LIVE))
        self._stage("taking over", 0)
        with self._connection.transaction():
            rebuild_store.hold_writers(self._connection, _LOCK_TIMEOUT_S)
            rebuild_store.check_same_migrations(self._connection)
            self._follower.project_until(rebuild_store.positions(self._connection, LIVE))
            result = GenerationComparison(
                *comparison.differences_for(self._connection, self._follower.changed_keys, MAX_SHOWN)
            )
            if result.total and not accept_differences:
                raise psycopg.Rollback
            rebuild_store.carry(self._connection, same_content=self._is_same and not result.total)
            rebuild_store.take_over(self._connection, _LOCK_TIMEOUT_S)
        return result

    def _follow(self, stage: str, target: Mapping[Partition, StoredPosition]) -> None:
        current = rebuild_store.positions(self._connection, NEXT)
        self._stage(
            stage,
            sum(position.next_offset - _next_offset(current, partition) for partition, position in target.items()),
        )
        self._follower.project_until(target)


def _next_offset(positions: Mapping[Partition, StoredPosition], partition: Partition) -> int:
    return positions[partition].next_offset if partition in positions else 0


Progress = Callable[[int, int], None]
"""Called with the number of messages that are left, and of entries that were written."""


class GenerationFollower:
    """Projects into the next generation up to given positions.

    Its metrics are its own, so the metrics of the live projector count nothing twice.
    """

    def __init__(self, config: Settings, keys: Keys, codec: Codec, log: Log, progress: Progress) -> None:
        metrics = ProjectorMetrics(CollectorRegistry())
        parking = Parking(codec, metrics, config.parking_limit_per_hour)
        self._handler = _CountingProjector(
            RecordProjector(keys, config.demographic_authorities, parking, metrics, config.identities_per_source)
        )
        self._log = BoundedLog(log)
        self._reader = LogReader(self._log, codec)
        self._dsn = config.postgres
        self._keys = keys
        self._progress = progress

    @property
    def changed_keys(self) -> set[str]:
        """The message keys of events that were projected, until the caller clears the set."""
        return self._handler.changed_keys

    def project_until(self, wanted: Mapping[Partition, StoredPosition]) -> None:
        """Project up to these positions. Waits for Kafka and PostgreSQL; raises `Misconfigured`."""
        bounds = {partition: position.next_offset for partition, position in wanted.items()}
        self._log.allow(bounds)
        while bounds != self._next_offsets():
            try:
                self._run(bounds)
            except EverythingParked as error:
                raise Misconfigured(
                    "No message can be used. Are the schema registry and the key secret those of the projector? "
                    "The record has not changed."
                ) from error
            self._reader.forget()

    def _run(self, bounds: Mapping[Partition, int]) -> None:
        stop, left = threading.Event(), dict(bounds)

        def report_lag(lag: Mapping[Partition, int]) -> None:
            left.update(lag)
            self._progress(sum(left.values()), self._handler.entries)
            if not any(left.values()):
                stop.set()

        ConsumerLoop(lambda: self._reader, self._connect, self._handler, report_lag, stop, lag_interval_s=0).run()

    def _next_offsets(self) -> dict[Partition, int]:
        with database.connect(self._dsn, NEXT) as connection:
            return {partition: position.next_offset for partition, position in positions(connection, NEXT).items()}

    def _connect(self) -> psycopg.Connection:
        connection = projector_main.connect_projector(self._dsn, self._keys, NEXT)
        # A crash loses the last transactions whole, with their positions. The takeover waits for the disk.
        connection.execute("set synchronous_commit = off")
        connection.commit()
        return connection


class _CountingProjector:
    """A projector that also collects message keys and counts entries."""

    def __init__(self, projector: RecordProjector) -> None:
        self._projector = projector
        self.changed_keys: set[str] = set()
        self.entries = 0

    def prepare(self, messages: Sequence[ConsumedMessage]) -> RecordBatch:
        batch = self._projector.prepare(messages)
        self.changed_keys.update(event.key.message_key for event in batch.ready)
        return batch

    def write(self, transaction: psycopg.Connection, batch: RecordBatch) -> Callable[[], None]:
        return partial(self._count, self._projector.write(transaction, batch), batch)

    def _count(self, done: Callable[[], None], batch: RecordBatch) -> None:
        done()
        self.entries += sum(len(event.statements) for event in batch.ready)


class BoundedLog:
    """A log that ends at an offset for each partition. So the next generation never knows more than the live record.

    Partitions without an offset are left out.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._until: Mapping[Partition, int] = {}
        self._passed: set[Partition] = set()

    def allow(self, until: Mapping[Partition, int]) -> None:
        """Set new offsets to stop at. They must not be less than the ones before."""
        for partition in self._passed:
            self._log.seek(partition, self._until[partition])
        self._passed.clear()
        self._until = dict(until)

    def poll(self, timeout_ms: int, max_messages: int) -> Mapping[Partition, Sequence[LogRecord]]:
        allowed: dict[Partition, Sequence[LogRecord]] = {}
        for partition, records in self._log.poll(timeout_ms, max_messages).items():
            within = [record for record in records if record.offset < self._until.get(partition, 0)]
            if within:
                allowed[partition] = within
            if len(within) < len(records) and partition in self._until:
                self._passed.add(partition)
        return allowed

    def assigned(self) -> set[Partition]:
        return self._log.assigned() & self._until.keys()

    def seek(self, partition: Partition, offset: int) -> None:
        self._passed.discard(partition)
        self._log.seek(partition, offset)

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {partition: self._until[partition] for partition in partitions if partition in self._until}
