"""What an operator sees of the projector. Labels hold organisations, topics and reasons, never a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from onestory.record.freshness import store as freshness_store
from onestory.record.freshness.domain import Rhythms, Source, rhythm_of
from onestory.shared.errors import Unavailable
from onestory.shared.kafka.consumer import Partition
from onestory.shared.settings import Settings

_DELAYS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class ProjectorMetrics:
    """The projector's own figures; the consumer and the outbox bring theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.projected = Counter("onestory_entries_projected", "Entries written", registry=registry)
        self.delay = Histogram(
            "onestory_publish_to_visible_seconds",
            "From published_at to the commit that made it visible",
            buckets=_DELAYS_S,
            registry=registry,
        )
        self.parked = Counter("onestory_parked", "Messages that could not be used", ["reason"], registry=registry)
        self.parked_again = Counter(
            "onestory_parked_again",
            "Replays of parked messages that were parked once more",
            ["reason"],
            registry=registry,
        )
        self.over_limit = Gauge(
            "onestory_parking_limit_passed",
            "1 while a publisher has more parked messages in an hour than ONESTORY_PARKING_LIMIT_PER_HOUR",
            ["publisher"],
            registry=registry,
        )
        self._lag = Gauge(
            "onestory_consumer_lag",
            "Messages in Kafka that were not gathered yet",
            ["topic", "partition"],
            registry=registry,
        )
        self.review_tasks = Counter(
            "onestory_review_tasks", "Patient links by sources that may not make aliases", registry=registry
        )

    def lag(self, place: Partition, messages: int) -> None:
        """What a partition has left."""
        self._lag.labels(place.topic, place.partition).set(messages)


# What an operator sees of the sources, for metrics: never a person.
#
# A publisher chooses the names of its systems, and might put anything there. So a system is named where settings name
# it;
# all others of an organisation are one, without a name.


@dataclass(slots=True)
class Figures:
    """`silent_s`: seconds since it was last heard of, of several systems the one heard of last. `stale`: whether one of
    them has been silent for longer than is expected of it; None: nothing is expected. `missing`: numbers of statements
    that have not arrived; None: it does not number them.
    """

    silent_s: float
    stale: bool | None = None
    missing: int | None = None


def figures(
    heard: Iterable[tuple[Source, datetime]],
    missing: Iterable[tuple[Source, int]],
    at: datetime,
    rhythms: Rhythms,
    sequenced: Collection[str],
) -> dict[Source, Figures]:
    """The figures of each organisation and named system."""
    found: dict[Source, Figures] = {}
    for source, heard_at in heard:
        silent_s = max(0.0, (at - heard_at).total_seconds())
        each = found.setdefault(_named(source, rhythms, sequenced), Figures(silent_s))
        each.silent_s = min(each.silent_s, silent_s)
        rhythm = rhythm_of(source, rhythms)
        if rhythm is not None:
            each.stale = bool(each.stale) or at - heard_at > rhythm
        if _name(source) in sequenced:
            each.missing = 0
    for source, numbers in missing:
        if _name(source) in sequenced and source in found:
            found[source].missing = numbers
    return found


def _named(source: Source, rhythms: Rhythms, sequenced: Collection[str]) -> Source:
    return source if _name(source) in rhythms or _name(source) in sequenced else (source[0], "")


def _name(source: Source) -> str:
    return "/".join(source)


# What an operator sees of the sources: read from PostgreSQL when the metrics are asked for.
#
# Every projector tells the same of all sources, whichever partitions it has.

log = structlog.get_logger()


class SourceGauges(Collector):
    """The figures of each source; none while PostgreSQL does not answer."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection], settings: Settings, registry: CollectorRegistry
    ) -> None:
        self._connect = connect
        self._settings = settings
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Prometheus asks for it."""
        silent = _family("onestory_source_silent_seconds", "Since the source was last heard of, whoever it spoke of")
        stale = _family("onestory_source_stale", "1 while it is silent for longer than ONESTORY_SOURCE_RHYTHMS expects")
        missing = _family("onestory_source_missing_statements", "Numbers of its statements that have not arrived")
        for labels, each in sorted(self._figures().items()):
            silent.add_metric(labels, each.silent_s)
            if each.stale is not None:
                stale.add_metric(labels, each.stale)
            if each.missing is not None:
                missing.add_metric(labels, each.missing)
        return [silent, stale, missing]

    def _figures(self) -> dict[Source, Figures]:
        try:
            with self._connect() as connection:
                last, gaps = freshness_store.heard_of(connection), freshness_store.missing(connection)
        except (Unavailable, psycopg.Error) as error:
            log.warning("sources_not_read", because=type(error).__name__)
            return {}
        rhythms, sequenced = self._settings.source_rhythms, self._settings.sequenced_sources
        return figures(last, gaps, datetime.now(UTC), rhythms, sequenced)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["organisation", "system"])
