"""Kafka as a projector sees it: a log whose partitions come and go, and that can be read from any offset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A message as it stands in Kafka. `time` is its LogAppendTime; a header without a value has an empty one."""

    offset: int
    time: datetime
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Log(Protocol):
    """What the loop needs of Kafka. Everything raises `Unavailable` when Kafka does not answer."""

    def poll(self, timeout_ms: int, most: int) -> Mapping[Place, Sequence[Record]]:
        """The next messages of each partition, in order."""

    def assigned(self) -> set[Place]:
        """The partitions that are ours, as of the last poll."""

    def seek(self, place: Place, offset: int) -> None:
        """Read this partition from this offset. Raises `Misconfigured` when Kafka has no such offset."""

    def end(self, place: Place) -> int | None:
        """The offset after the last message, where it is known yet."""
