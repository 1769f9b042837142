"""A log that is Kafka."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from onestory.shared.consumer.log import Place, Record
from onestory.shared.errors import Misconfigured, Unavailable

_FETCH_BYTES = 4_000_000
_REACH_S = 3.0


class KafkaLog:
    """A member of a consumer group. The group gives out partitions only; positions are kept elsewhere.

    Without a group it has all partitions, whoever else reads them.
    """

    def __init__(self, bootstrap: str, group: str | None, topics: Sequence[str], client_id: str = "") -> None:
        reach(bootstrap)
        with _kafka():
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap,
                group_id=group,
                client_id=client_id or group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                # A message above these limits still comes, alone: they bound memory, not messages.
                fetch_max_bytes=_FETCH_BYTES,
                receive_message_max_bytes=100_000_000,
                fetch_max_wait_ms=250,
                # Positions are safe from a projector that is late, so the group may give up on one soon.
                session_timeout_ms=10_000,
                metadata_max_age_ms=30_000,
                reconnect_backoff_max_ms=1_000,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
            self._begin(group, topics)

    def _begin(self, group: str | None, topics: Sequence[str]) -> None:
        found = {topic: self._consumer.partitions_for_topic(topic) for topic in topics}
        if missing := sorted(topic for topic, partitions in found.items() if not partitions):
            self.close()
            # A broker that has just started may not know them yet. A member that joins now would be given nothing, and
            # would never ask again.
            raise Unavailable(f"Kafka lacks {', '.join(missing)}: `onestory topics apply` makes them.")
        if group:
            self._consumer.subscribe(topics)
        else:
            self._consumer.assign([TopicPartition(topic, each) for topic in topics for each in sorted(found[topic])])

    def poll(self, timeout_ms: int, most: int) -> Mapping[Place, Sequence[Record]]:
        with _kafka():
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=most)
        return {
            Place(at.topic, at.partition): [
                Record(m.offset, _time(m.timestamp), m.key, m.value or b"", [(name, v or b"") for name, v in m.headers])
                for m in messages
            ]
            for at, messages in polled.items()
        }

    def assigned(self) -> set[Place]:
        return {Place(at.topic, at.partition) for at in self._consumer.assignment()}

    def seek(self, place: Place, offset: int) -> None:
        at = TopicPartition(*place)
        with _kafka():
            first, end = self._consumer.beginning_offsets([at])[at], self._consumer.end_offsets([at])[at]
            if offset > end or 0 < offset < first:
                raise Misconfigured(
                    f"The record stands at {offset} of {place.topic}/{place.partition}; Kafka has {first} to {end}: "
                    "it is another cluster, or it has lost messages."
                )
            self._consumer.seek(at, max(offset, first))

    def end(self, place: Place) -> int | None:
        known: int | None = self._consumer.highwater(TopicPartition(*place))
        return known

    def first(self) -> dict[Place, int]:
        """The first offset that each of our partitions still has."""
        with _kafka():
            found = self._consumer.beginning_offsets(self._consumer.assignment())
        return {Place(at.topic, at.partition): offset for at, offset in found.items()}

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        self._consumer.close(autocommit=False, timeout_ms=5_000)

    def stretch(self, since: datetime) -> dict[Place, tuple[int, int]]:
        """For each of our partitions, the offset of the first message at or after this time, and the end as of now."""
        milliseconds = int(since.timestamp() * 1000)
        with _kafka():
            assigned = self._consumer.assignment()
            ends = self._consumer.end_offsets(assigned)
            found = self._consumer.offsets_for_times(dict.fromkeys(assigned, milliseconds))
        return {
            Place(at.topic, at.partition): (found[at].offset if found.get(at) else end, end) for at, end in ends.items()
        }


def reach(bootstrap: str) -> None:
    """Raise `Unavailable` unless one of these servers accepts connections.

    kafka-python's clients leave their thread and sockets behind when they cannot connect, so they are made only when
    somebody is there.
    """
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S):
            return
    raise Unavailable(f"Kafka does not answer at {bootstrap}.")


def _time(milliseconds: int) -> datetime:
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


@contextmanager
def _kafka() -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        raise Unavailable(f"Kafka does not answer as it should ({type(error).__name__}).") from error
