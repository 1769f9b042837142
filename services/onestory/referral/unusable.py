"""What cannot be used is counted and logged, and stops nobody.

Its publisher hears of it from the record room, which parks what cannot be read (docs/decisions/0018).
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import structlog

from onestory.referral.gauges import Gauges
from onestory.shared.consumer.arrival import Arrival

log = structlog.get_logger()


def note(gauges: Gauges, unusable: Collection[tuple[Arrival, str]]) -> None:
    """Messages, and why each cannot be used."""
    for arrival, reason in unusable:
        gauges.unusable.labels(arrival.topic, reason).inc()
        place = {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}
        log.warning("message_unusable", reason=reason, **place)


def note_reused(gauges: Gauges, topic: str, event_ids: Collection[UUID]) -> None:
    """Events under whose id something else was said before."""
    for event_id in event_ids:
        gauges.unusable.labels(topic, "event-id-reused").inc()
        log.warning("message_unusable", reason="event-id-reused", topic=topic, event_id=str(event_id))
