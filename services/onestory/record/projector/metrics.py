"""Prometheus metrics of the projector, and of the freshness of sources.

Labels hold organisations, systems, topics and reasons, never a person.
"""

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
from onestory.shared.kafka.loop import LagGauge
from onestory.shared.settings import Settings

log = structlog.get_logger()
_DELAY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class ProjectorMetrics:
    """The projector's own metrics. The consumer and the outbox have theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.projected = Counter("onestory_entries_projected", "Entries written", registry=registry)
        self.delay = Histogram(
            "onestory_publish_to_visible_seconds",
            "From published_at to the commit that made it visible",
            buckets=_DELAY_BUCKETS_S,
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
        self.lag = LagGauge(registry)
        self.review_tasks = Counter(
            "onestory_review_tasks",
            "Identity links and confidentiality labels by sources that have no authority to make them",
            registry=registry,
        )


# The freshness of sources.


class SourceGauges(Collector):
    """Reads the figures of each source from PostgreSQL when Prometheus scrapes; none while PostgreSQL does not answer.

    Every projector process reports all sources, whatever partitions it has.
    """

    def __init__(
        self, connect: Callable[[], psycopg.Connection], settings: Settings, registry: CollectorRegistry
    ) -> None:
        self._connect = connect
        self._settings = settings
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The metric families, when Prometheus scrapes."""
        silent = _family("onestory_source_silent_seconds", "Seconds since the source was last heard, about any person")
        stale = _family("onestory_source_stale", "1 while it is silent for longer than ONESTORY_SOURCE_RHYTHMS expects")
        missing = _family("onestory_source_missing_statements", "Numbered statements of the source that are missing")
        for labels, source in sorted(self._figures().items()):
            silent.add_metric(labels, source.silent_s)
            if source.stale is not None:
                stale.add_metric(labels, source.stale)
            if source.missing is not None:
                missing.add_metric(labels, source.missing)
        return [silent, stale, missing]

    def _figures(self) -> dict[Source, SourceFigures]:
        try:
            with self._connect() as connection:
                heard, missing = freshness_store.last_heard(connection), freshness_store.missing_counts(connection)
        except (Unavailable, psycopg.Error) as error:
            log.warning("sources_not_read", because=type(error).__name__)
            return {}
        rhythms, sequenced = self._settings.source_rhythms, self._settings.sequenced_sources
        return source_figures(heard, missing, datetime.now(UTC), rhythms, sequenced)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["organisation", "system"])


@dataclass(slots=True)
class SourceFigures:
    """The figures of one source, or of several systems of one organisation together.

    `silent_s`: seconds since the source was last heard; of several systems, the one that was heard last. `stale`: one
    of them has been silent for longer than settings expect; None when settings expect nothing. `missing`: how many
    numbered statements have not arrived; None when settings do not list the source as one that numbers its statements.
    """

    silent_s: float
    stale: bool | None = None
    missing: int | None = None


def source_figures(
    heard: Iterable[tuple[Source, datetime]],
    missing: Iterable[tuple[Source, int]],
    at: datetime,
    rhythms: Rhythms,
    sequenced: Collection[str],
) -> dict[Source, SourceFigures]:
    """The figures by (organisation, system).

    `heard` has the broker time at which each source was last heard, `missing` the number of missing statements. A
    publisher chooses the names of its systems and may use any text. So only systems that settings name are labels of
    their own. All other systems of an organisation are one source, with an empty name.
    """
    by_label: dict[Source, SourceFigures] = {}
    for source, heard_at in heard:
        silent_s = max(0.0, (at - heard_at).total_seconds())
        label_figures = by_label.setdefault(_label_source(source, rhythms, sequenced), SourceFigures(silent_s))
        label_figures.silent_s = min(label_figures.silent_s, silent_s)
        rhythm = rhythm_of(source, rhythms)
        if rhythm is not None:
            label_figures.stale = bool(label_figures.stale) or at - heard_at > rhythm
        if _setting_name(source) in sequenced:
            label_figures.missing = 0
    for source, count in missing:
        if _setting_name(source) in sequenced and source in by_label:
            by_label[source].missing = count
    return by_label


def _label_source(source: Source, rhythms: Rhythms, sequenced: Collection[str]) -> Source:
    return source if _setting_name(source) in rhythms or _setting_name(source) in sequenced else (source[0], "")


def _setting_name(source: Source) -> str:
    return "/".join(source)
