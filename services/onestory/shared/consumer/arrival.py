"""What a projector is given: an event, and where and when it stands in Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onestory.shared.errors import Unprocessable
from onestory.shared.events import Event


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message. `event` is what its bytes say, or why they cannot be read.

    `broker_time` is the LogAppendTime, or an earlier message's of the same partition where that is greater: it never
    goes backwards, and is the same on every rebuild. `key`, `value` and `headers` are the bytes as they stand in Kafka.
    """

    topic: str
    partition: int
    offset: int
    broker_time: datetime
    key: bytes | None
    value: bytes
    event: Event | Unprocessable
    headers: Sequence[tuple[str, bytes]] = ()
