"""Reads Kafka as a log: partitions come and go, and each one can be read from any offset.

`Log` is the interface that a projector needs. `KafkaLog` implements it with kafka-python.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, Protocol

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import FencedInstanceIdError, InconsistentGroupProtocolError, InvalidSessionTimeoutError, KafkaError

from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.settings import Settings

log = structlog.get_logger()

_FETCH_BYTES = 4_000_000
DEFAULT_SESSION_S = 10.0
_HEARTBEAT_S = 1.0
_MAX_SILENCE_S = 20.0
_JOINING_FACTOR = 6
_CONNECT_TIMEOUT_S = 3.0
_OFFSETS_MS = 1_000


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class LogRecord(NamedTuple):
    """A message as Kafka stores it. `time` is its LogAppendTime. A header without a value has empty bytes."""

    offset: int
    time: datetime
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Log(Protocol):
    """The methods of Kafka that the consumer loop needs. Each raises `Unavailable` when Kafka does not answer."""

    def poll(self, timeout_ms: int, max_messages: int) -> Mapping[Partition, Sequence[LogRecord]]:
        """Return the next messages of each partition, in order."""

    def assigned(self) -> set[Partition]:
        """Return the partitions that this member has, as of the last poll."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Read this partition from this offset. Raises `Misconfigured` when Kafka has no such offset."""

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """Return the offset after the last message of each partition. It is empty when Kafka does not answer."""


class KafkaLog:
    """A member of a consumer group. The group assigns partitions only; positions are stored in PostgreSQL.

    Without a group the member reads all partitions, and other members do not matter.

    `instance` makes it a static member: a process that is killed and started again under the same name gets its
    partitions back at once. Each process of a group needs a name of its own. When a second process joins under a name,
    the next poll of the first one raises `Misconfigured`. `session_s` is how long the group waits for a silent member.

    `prefix` is put before the names of topics and groups in Kafka. A `Partition` has the name without it.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str | None,
        topics: Sequence[str],
        client_id: str = "",
        *,
        prefix: str = "",
        instance: str = "",
        session_s: float = DEFAULT_SESSION_S,
    ) -> None:
        name = prefix + (client_id or group or "")
        self._prefix, self._topics, self._instance = prefix, [prefix + topic for topic in topics], instance
        self._group = prefix + group if group else None
        self._create = partial(_create_consumer, bootstrap, self._group, name, instance or None, session_s)
        check_reachable(bootstrap)
        with _kafka():
            self._consumer = self._create()
            self._subscribe(self._group, self._topics)
        self._check_reachable = partial(check_reachable, bootstrap)

    def _subscribe(self, group: str | None, topics: Sequence[str]) -> None:
        partitions = {topic: self._consumer.partitions_for_topic(topic) for topic in topics}
        if missing := sorted(topic for topic, numbers in partitions.items() if not numbers):
            self.close()
            # A broker that has just started may not know the topics yet. A member that joins now would get no
            # partitions, and would never ask again.
            raise Unavailable(f"Kafka has no topic {', '.join(missing)}: `onestory topics apply` creates them.")
        if group:
            self._consumer.subscribe(topics)
        else:
            self._consumer.assign(
                [TopicPartition(topic, number) for topic in topics for number in sorted(partitions[topic])]
            )

    def poll(self, timeout_ms: int, max_messages: int) -> Mapping[Partition, Sequence[LogRecord]]:
        if self._group and (self._consumer._closed or self._has_stopped_heartbeats()):
            self._rejoin(self._group)
        self._raise_if_fenced()
        self._finish_join()
        with _kafka():
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=max_messages)
        return {
            self._partition(at): [
                LogRecord(
                    m.offset, _time(m.timestamp), m.key, m.value or b"", [(name, v or b"") for name, v in m.headers]
                )
                for m in messages
            ]
            for at, messages in polled.items()
        }

    def _has_stopped_heartbeats(self) -> bool:
        """Return whether the member should send heartbeats but no longer does.

        kafka-python 3.0 may stop heartbeats for ever when its broker dies. It then stays without a group, and its poll
        uses a whole processor while it waits for messages.
        """
        coordinator = self._consumer._coordinator
        heartbeat = coordinator.heartbeat
        silent_s = time.monotonic() - max(heartbeat.last_send, heartbeat.last_reset)
        # A joining member sends no heartbeats either. It may wait until the group gives up another member.
        longest_s = _MAX_SILENCE_S * (1 if coordinator.stable() else _JOINING_FACTOR)
        return bool(silent_s > longest_s and coordinator.time_to_next_heartbeat() == 0)

    def _finish_join(self) -> None:
        """Let the next poll continue a join that the last poll began.

        A poll of kafka-python 3.0 may end before its join. The next poll joins only if there is still a reason. When
        changed metadata was the reason, there is none any more, and the member stays without partitions and heartbeats.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _raise_if_fenced(self) -> None:
        """Raise `Misconfigured` when another process has joined under this name.

        kafka-python 3.0 then stops the heartbeats, reports nothing, and reads on. Heartbeats may stop for other reasons
        too, so this asks the broker.
        """
        coordinator = self._consumer._coordinator
        if self._instance and coordinator.stable() and not coordinator._heartbeat_enabled:
            try:
                coordinator._net.run(coordinator._send_heartbeat_request)
            except FencedInstanceIdError as error:
                raise _name_taken() from error
            except KafkaError:
                return

    def _rejoin(self, group: str) -> None:
        """Join the group again. The old assignment is gone, so every partition starts again at its stored position."""
        self._check_reachable()
        log.warning("consumer_rejoins", group=group)
        self._close()
        with _kafka():
            self._consumer = self._create()
            self._subscribe(group, self._topics)

    def assigned(self) -> set[Partition]:
        return {self._partition(at) for at in self._consumer.assignment()}

    def seek(self, partition: Partition, offset: int) -> None:
        at = self._topic_partition(partition)
        with _kafka():
            first, end = self._consumer.beginning_offsets([at])[at], self._consumer.end_offsets([at])[at]
            if offset > end or 0 < offset < first:
                raise Misconfigured(
                    f"The stored position of {partition.topic}/{partition.number} is {offset}, but "
                    f"Kafka has offsets {first} to {end}: it is another cluster, or it has lost messages."
                )
            self._consumer.seek(at, max(offset, first))

    def end_offsets(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        try:
            ends = self._consumer.end_offsets(
                [self._topic_partition(partition) for partition in partitions], _OFFSETS_MS
            )
        except KafkaError:
            return {}
        return {self._partition(at): offset for at, offset in ends.items()}

    def first_offsets(self) -> dict[Partition, int]:
        """Return the first offset that Kafka still has, for each assigned partition."""
        with _kafka():
            offsets = self._consumer.beginning_offsets(self._consumer.assignment())
        return {self._partition(at): offset for at, offset in offsets.items()}

    def close(self) -> None:
        """Leave the group, so that other members get the partitions immediately."""
        # kafka-python never takes a static member out of its group. The broker refuses when the name is another's.
        self._consumer._coordinator.is_dynamic_member = lambda: True
        self._close()

    def _close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=5_000)

    def offsets_since(self, since: datetime) -> dict[Partition, tuple[int, int]]:
        """Return (first offset at or after `since`, end offset now) for each assigned partition."""
        milliseconds = int(since.timestamp() * 1000)
        with _kafka():
            assigned = self._consumer.assignment()
            ends = self._consumer.end_offsets(assigned)
            starts = self._consumer.offsets_for_times(dict.fromkeys(assigned, milliseconds))
        return {self._partition(at): (starts[at].offset if starts.get(at) else end, end) for at, end in ends.items()}

    def _partition(self, at: TopicPartition) -> Partition:
        return Partition(at.topic.removeprefix(self._prefix), at.partition)

    def _topic_partition(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.number)


def join_group(config: Settings, group: str, topics: Sequence[str]) -> KafkaLog:
    """Join a consumer group with the topic prefix, the instance name and the session time-out of the settings."""
    return KafkaLog(
        config.kafka,
        group,
        topics,
        prefix=config.topic_prefix,
        instance=config.instance,
        session_s=config.consumer_session_s,
    )


def _create_consumer(
    bootstrap: str, group: str | None, client_id: str | None, instance: str | None, session_s: float
) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=instance if group else None,
        client_id=client_id,
        # A member that joins or leaves takes partitions from others only where it must. They read on meanwhile.
        partition_assignment_strategy=[CooperativeStickyAssignor],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        # These limits bound memory. A larger message still arrives, in a fetch of its own.
        fetch_max_bytes=_FETCH_BYTES,
        receive_message_max_bytes=100_000_000,
        fetch_max_wait_ms=250,
        # A late projector cannot harm positions (compare-and-set), so the group may give up a member soon.
        session_timeout_ms=int(session_s * 1_000),
        # A heartbeat also tells a member that its group changes.
        heartbeat_interval_ms=int(min(_HEARTBEAT_S, session_s / 3) * 1_000),
        metadata_max_age_ms=30_000,
        reconnect_backoff_max_ms=1_000,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def check_reachable(bootstrap: str) -> None:
    """Raise `Unavailable` unless one of these servers accepts connections.

    A kafka-python client that cannot connect leaks its thread and sockets. So call this before a client is created.
    """
    for server in bootstrap.split(","):
        host, _, port = server.strip().rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S):
            return
    raise Unavailable(f"Kafka does not answer at {bootstrap}.")


def _name_taken() -> Misconfigured:
    return Misconfigured(
        "Another process has joined the consumer group under this process's name. "
        "Give each process of a group its own ONESTORY_INSTANCE."
    )


def _time(milliseconds: int) -> datetime:
    seconds, remainder = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=remainder * 1000)


@contextmanager
def _kafka() -> Iterator[None]:
    try:
        yield
    except FencedInstanceIdError as error:
        raise _name_taken() from error
    except InvalidSessionTimeoutError as error:
        raise Misconfigured(
            "Kafka refuses the session time-out of ONESTORY_CONSUMER_SESSION_S. "
            "Its own limits are group.min.session.timeout.ms and group.max.session.timeout.ms."
        ) from error
    except InconsistentGroupProtocolError as error:
        raise Unavailable(
            "The consumer group has members of an earlier version. They must end before this process can join."
        ) from error
    except KafkaError as error:
        raise Unavailable(f"Kafka gives no usable answer ({type(error).__name__}).") from error
