"""What an operator sees of the sources: read from PostgreSQL when the metrics are asked for.

Every projector tells the same of all sources, whichever partitions it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from onestory.record.domain.freshness import Source
from onestory.record.domain.source_figures import Figures, figures
from onestory.record.store import heard
from onestory.shared.errors import Unavailable
from onestory.shared.settings import Settings

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
                last, gaps = heard.heard_of(connection), heard.missing(connection)
        except (Unavailable, psycopg.Error) as error:
            log.warning("sources_not_read", because=type(error).__name__)
            return {}
        rhythms, sequenced = self._settings.source_rhythms, self._settings.sequenced_sources
        return figures(last, gaps, datetime.now(UTC), rhythms, sequenced)


def _family(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["organisation", "system"])
