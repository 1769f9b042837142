"""A Kafka log in memory. The test assigns the partitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.kafka.consumer import LogRecord, Partition

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryTopic:
    """The messages of a topic, read by several logs."""

    def __init__(self) -> None:
        self.records: dict[Partition, list[LogRecord]] = defaultdict(list)

    def append(self, place: Partition, value: bytes, key: bytes | None = None, seconds: int | None = None) -> None:
        """Append a message. `seconds` after the start is its time; the default is its offset."""
        offset = len(self.records[place])
        at = BEGAN + timedelta(seconds=offset if seconds is None else seconds)
        self.records[place].append(LogRecord(offset, at, key, value))


class MemoryLog:
    """The view that one member of a consumer group has of a topic."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic
        self._at: dict[Partition, int] = {}
        self.away = False

    def assign(self, *places: Partition) -> None:
        """Assign partitions, as the group does. As in kafka-python, a new partition begins at its first message."""
        self._at = {place: self._at.get(place, 0) for place in places}

    def poll(self, timeout_ms: int, most: int) -> Mapping[Partition, Sequence[LogRecord]]:
        if self.away:
            raise Unavailable("The log is away.")
        polled = {}
        for place, at in self._at.items():
            records = self._topic.records[place][at : at + most]
            most -= len(records)
            if records:
                self._at[place] = at + len(records)
                polled[place] = records
        return polled

    def assigned(self) -> set[Partition]:
        return set(self._at)

    def seek(self, place: Partition, offset: int) -> None:
        if offset > len(self._topic.records[place]):
            raise Misconfigured("The log has no such offset.")
        self._at[place] = offset

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {} if self.away else {place: len(self._topic.records[place]) for place in partitions}
