"""What an operator sees of `onestory project referral`. Labels hold topics, types and reasons, never a person."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from onestory.shared.consumer.log import Place


class Gauges:
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

    def lag(self, place: Place, messages: int) -> None:
        """What a partition has left."""
        self._lag.labels(place.topic, place.partition).set(messages)

    def directory_waits(self, waiting: Mapping[str, int]) -> None:
        """How many of each type wait."""
        for kind, count in waiting.items():
            self._waiting.labels(kind).set(count)
