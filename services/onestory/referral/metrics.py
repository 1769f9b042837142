"""What an operator sees of `onestory project referral`. Labels hold topics, types and reasons, never a person."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from onestory.shared.errors import Unavailable
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.reader import ConsumedEvent


class ReferralMetrics:
    """The process's own figures; the outbox brings its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unusable = Counter(
            "onestory_referral_unusable",
            "Messages of the directory, or of demographic authorities, that could not be used here",
            ["topic", "reason"],
            registry=registry,
        )
        self._waiting = Gauge(
            "onestory_directory_unresolved",
            "Teams and roles that wait for what they refer to, or that their organisation has not said itself",
            ["type"],
            registry=registry,
        )
        self._lag = Gauge(
            "onestory_consumer_lag",
            "Messages in Kafka that were not gathered yet",
            ["topic", "partition"],
            registry=registry,
        )

    def lag(self, place: Partition, messages: int) -> None:
        """What a partition has left."""
        self._lag.labels(place.topic, place.partition).set(messages)

    def directory_waits(self, waiting: Mapping[str, int]) -> None:
        """How many of each type wait."""
        for kind, count in waiting.items():
            self._waiting.labels(kind).set(count)


# What cannot be used is counted and logged, and stops nobody.
#
# Its publisher hears of it from the record room, which parks what cannot be read (docs/decisions/0018).

log = structlog.get_logger()


def note(gauges: ReferralMetrics, unusable: Collection[tuple[ConsumedEvent, str]]) -> None:
    """Messages, and why each cannot be used."""
    for arrival, reason in unusable:
        gauges.unusable.labels(arrival.topic, reason).inc()
        place = {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}
        log.warning("message_unusable", reason=reason, **place)


def note_reused(gauges: ReferralMetrics, topic: str, event_ids: Collection[UUID]) -> None:
    """Events under whose id something else was said before."""
    for event_id in event_ids:
        gauges.unusable.labels(topic, "event-id-reused").inc()
        log.warning("message_unusable", reason="event-id-reused", topic=topic, event_id=str(event_id))


# What the referral room does again and again without being asked.

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


async def until_stopped(tick: Callable[[datetime], Awaitable[int]], every_s: float, stop: threading.Event) -> None:
    """Tick with the time that it is then. PostgreSQL may go away and come back."""
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set():
        try:
            await tick(datetime.now(UTC))
            pause_s = _FIRST_PAUSE_S
            await asyncio.to_thread(stop.wait, every_s)
        except Unavailable as error:
            log.warning("tick_waits", because=type(error).__name__, again_in_s=pause_s)
            await asyncio.to_thread(stop.wait, pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
