"""A log that is Kafka."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from onestory.shared.errors import Misconfigured, Unavailable

# Kafka as a projector sees it: a log whose partitions come and go, and that can be read from any offset.


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class LogRecord(NamedTuple):
    """A message as it stands in Kafka. `time` is its LogAppendTime; a header without a value has an empty one."""

    offset: int
    time: datetime
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Log(Protocol):
    """What the loop needs of Kafka. Everything raises `Unavailable` when Kafka does not answer."""

    def poll(self, timeout_ms: int, most: int) -> Mapping[Partition, Sequence[LogRecord]]:
        """The next messages of each partition, in order."""

    def assigned(self) -> set[Partition]:
        """The partitions that are ours, as of the last poll."""

    def seek(self, place: Partition, offset: int) -> None:
        """Read this partition from this offset. Raises `Misconfigured` when Kafka has no such offset."""

    def end(self, place: Partition) -> int | None:
        """The offset after the last message, where it is known yet."""


log = structlog.get_logger()

_FETCH_BYTES = 4_000_000
_SESSION_S = 10
_LONGEST_BREATH_S = 2.0 * _SESSION_S
_JOINING = 6
_REACH_S = 3.0


class KafkaLog:
    """A member of a consumer group. The group gives out partitions only; positions are kept elsewhere.

    Without a group it has all partitions, whoever else reads them.
    """

    def __init__(self, bootstrap: str, group: str | None, topics: Sequence[str], client_id: str = "") -> None:
        self._open = partial(_consumer, bootstrap, group, client_id or group)
        self._group, self._topics = group, topics
        reach(bootstrap)
        with _kafka():
            self._consumer = self._open()
            self._begin(group, topics)
        self._reach = partial(reach, bootstrap)

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

    def poll(self, timeout_ms: int, most: int) -> Mapping[Partition, Sequence[LogRecord]]:
        if self._group and (self._consumer._closed or self._is_out_of_breath()):
            self._renew(self._group)
        with _kafka():
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=most)
        return {
            Partition(at.topic, at.partition): [
                LogRecord(
                    m.offset, _time(m.timestamp), m.key, m.value or b"", [(name, v or b"") for name, v in m.headers]
                )
                for m in messages
            ]
            for at, messages in polled.items()
        }

    def _is_out_of_breath(self) -> bool:
        """Whether the member sends no heartbeats any more, though it should.

        kafka-python 3.0 may stop them for good when a broker dies under it. It then stays without a group, and while it
        waits for messages it takes as much of a processor as it can get.
        """
        coordinator = self._consumer._coordinator
        heartbeat = coordinator.heartbeat
        silent_s = time.monotonic() - max(heartbeat.last_send, heartbeat.last_reset)
        # Who joins sends none either, and may have to wait for a member that the group has not given up yet.
        longest_s = _LONGEST_BREATH_S * (1 if coordinator.stable() else _JOINING)
        return bool(silent_s > longest_s and coordinator.time_to_next_heartbeat() == 0)

    def _renew(self, group: str) -> None:
        """Join the group anew. What was assigned is not any more, so every partition is begun again where it stands."""
        self._reach()
        log.warning("consumer_joins_again", group=group)
        self.close()
        with _kafka():
            self._consumer = self._open()
            self._begin(group, self._topics)

    def assigned(self) -> set[Partition]:
        return {Partition(at.topic, at.partition) for at in self._consumer.assignment()}

    def seek(self, place: Partition, offset: int) -> None:
        at = TopicPartition(*place)
        with _kafka():
            first, end = self._consumer.beginning_offsets([at])[at], self._consumer.end_offsets([at])[at]
            if offset > end or 0 < offset < first:
                raise Misconfigured(
                    f"The record stands at {offset} of {place.topic}/{place.partition}; Kafka has {first} to {end}: "
                    "it is another cluster, or it has lost messages."
                )
            self._consumer.seek(at, max(offset, first))

    def end(self, place: Partition) -> int | None:
        known: int | None = self._consumer.highwater(TopicPartition(*place))
        return known

    def first(self) -> dict[Partition, int]:
        """The first offset that each of our partitions still has."""
        with _kafka():
            found = self._consumer.beginning_offsets(self._consumer.assignment())
        return {Partition(at.topic, at.partition): offset for at, offset in found.items()}

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        self._consumer.close(autocommit=False, timeout_ms=5_000)

    def stretch(self, since: datetime) -> dict[Partition, tuple[int, int]]:
        """For each of our partitions, the offset of the first message at or after this time, and the end as of now."""
        milliseconds = int(since.timestamp() * 1000)
        with _kafka():
            assigned = self._consumer.assignment()
            ends = self._consumer.end_offsets(assigned)
            found = self._consumer.offsets_for_times(dict.fromkeys(assigned, milliseconds))
        return {
            Partition(at.topic, at.partition): (found[at].offset if found.get(at) else end, end)
            for at, end in ends.items()
        }


def _consumer(bootstrap: str, group: str | None, client_id: str | None) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        # A message above these limits still comes, alone: they bound memory, not messages.
        fetch_max_bytes=_FETCH_BYTES,
        receive_message_max_bytes=100_000_000,
        fetch_max_wait_ms=250,
        # Positions are safe from a projector that is late, so the group may give up on one soon.
        session_timeout_ms=_SESSION_S * 1_000,
        metadata_max_age_ms=30_000,
        reconnect_backoff_max_ms=1_000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


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
