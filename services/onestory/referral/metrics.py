"""Metrics of `onestory project referral`, and its loop. Labels hold topics, types and reasons, never a person.

A message that cannot be used is counted and logged, and the process goes on. Its publisher learns of it from the
record, which parks what cannot be read (docs/explanation/decisions/0018).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from onestory.referral.directory.ownership import CLAIM_KINDS, RefusedClaim
from onestory.shared.backoff import GrowingPause
from onestory.shared.errors import Unavailable
from onestory.shared.events import ConsumedMessage
from onestory.shared.kafka.loop import LagGauge

log = structlog.get_logger()

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 2.0


class ReferralMetrics:
    """The metrics of this process, without those of its outbox relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unusable = Counter(
            "onestory_referral_unusable",
            "Messages of the directory, or of demographic authorities, that could not be used here",
            ["topic", "reason"],
            registry=registry,
        )
        self._waiting = Gauge(
            "onestory_directory_unresolved",
            "Teams and roles with a reference that is not resolved, or that their own organisation has not stated",
            ["type"],
            registry=registry,
        )
        self._claims = Gauge(
            "onestory_directory_claims_refused",
            "Claims of active teams that do not count: a DoS service id of another owner, a practice that nobody bound",
            ["claim"],
            registry=registry,
        )
        self.lag = LagGauge(registry)

    def directory_waits(self, waiting: Mapping[str, int]) -> None:
        """Sets the number of unresolved statements for each resource type."""
        for resource_type, count in waiting.items():
            self._waiting.labels(resource_type).set(count)

    def claims_refused(self, refused: Collection[RefusedClaim], changed: Collection[str]) -> None:
        """Sets the number of claims that do not count, and logs those of the teams that have changed."""
        for kind in CLAIM_KINDS:
            self._claims.labels(kind).set(sum(claim.kind == kind for claim in refused))
        for claim in refused:
            if claim.team_id in changed:
                log.warning("directory_claim_refused", claim=claim.kind, team=claim.team_id, source=claim.organisation)


def count_unusable(gauges: ReferralMetrics, unusable: Collection[tuple[ConsumedMessage, str]]) -> None:
    """Counts and logs messages that cannot be used. `unusable` has pairs of message and reason."""
    for consumed, reason in unusable:
        gauges.unusable.labels(consumed.topic, reason).inc()
        position = {"topic": consumed.topic, "partition": consumed.partition, "offset": consumed.offset}
        log.warning("message_unusable", reason=reason, **position)


def count_reused_event_ids(gauges: ReferralMetrics, topic: str, event_ids: Collection[UUID]) -> None:
    """Counts and logs events whose id was used before for other content."""
    for event_id in event_ids:
        gauges.unusable.labels(topic, "event-id-reused").inc()
        log.warning("message_unusable", reason="event-id-reused", topic=topic, event_id=str(event_id))


async def run_periodically(tick: Callable[[datetime], Awaitable[int]], every_s: float, stop: threading.Event) -> None:
    """Calls `tick` with the current time every `every_s` seconds, until `stop` is set.

    While PostgreSQL does not answer it waits, up to 2 s between two attempts.
    """
    pause = GrowingPause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
    while not stop.is_set():
        try:
            await tick(datetime.now(UTC))
            pause.reset()
            await asyncio.to_thread(stop.wait, every_s)
        except Unavailable as error:
            pause_s = pause.next_s()
            log.warning("loop_waits_for_postgres", because=type(error).__name__, again_in_s=pause_s)
            await asyncio.to_thread(stop.wait, pause_s)
