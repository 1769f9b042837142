"""What an operator sees of the projector. Labels hold organisations, topics and reasons, never a person."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from onestory.shared.consumer.log import Place

_DELAYS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)


class Gauges:
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

    def lag(self, place: Place, messages: int) -> None:
        """What a partition has left."""
        self._lag.labels(place.topic, place.partition).set(messages)
