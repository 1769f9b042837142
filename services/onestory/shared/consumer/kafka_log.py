"""A log that is Kafka."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import FencedInstanceIdError, InconsistentGroupProtocolError, InvalidSessionTimeoutError, KafkaError

from onestory.shared.consumer.log import Place, Record
from onestory.shared.errors import Misconfigured, Unavailable

log = structlog.get_logger()

_FETCH_BYTES = 4_000_000
SESSION_S = 10.0
_HEARTBEAT_S = 1.0
_LONGEST_BREATH_S = 20.0
_JOINING = 6
_REACH_S = 3.0


class KafkaLog:
    """A member of a consumer group. The group gives out partitions only; positions are kept elsewhere.

    Without a group it has all partitions, whoever else reads them.

    `instance` makes it a static member: a process that is killed and started again under the same name gets its
    partitions back at once. Each process of a group needs a name of its own: when a second one joins under a name, the
    first one's next poll raises `Misconfigured`. `prefix` stands before the names of topics and groups in Kafka, and
    in no `Place`. `session_s` is how long the group waits for a member that is silent.
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
        session_s: float = SESSION_S,
    ) -> None:
        name = prefix + (client_id or group or "")
        self._prefix, self._topics, self._instance = prefix, [prefix + each for each in topics], instance
        self._group = prefix + group if group else None
        self._open = partial(_consumer, bootstrap, self._group, name, instance or None, session_s)
        reach(bootstrap)
        with _kafka():
            self._consumer = self._open()
            self._begin(self._group, self._topics)
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

    def poll(self, timeout_ms: int, most: int) -> Mapping[Place, Sequence[Record]]:
        if self._group and (self._consumer._closed or self._is_out_of_breath()):
            self._renew(self._group)
        self._raise_if_fenced()
        self._finish_join()
        with _kafka():
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=most)
        return {
            self._place(at): [
                Record(m.offset, _time(m.timestamp), m.key, m.value or b"", [(name, v or b"") for name, v in m.headers])
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

    def _finish_join(self) -> None:
        """Have the next poll go on with a join that the last one began.

        A poll of kafka-python 3.0 that ends before its join does leaves it to the next one, but that one looks only
        whether there is still a reason to join. Where changed metadata was the reason, there is none any more: the
        member then stays without partitions and heartbeats.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rejoining:
            coordinator.request_rejoin()

    def _raise_if_fenced(self) -> None:
        """Raise `Misconfigured` when another process has joined under our name.

        kafka-python 3.0 stops the heartbeats then, tells nobody, and reads on. A heart may stop for other reasons, so
        the broker is asked.
        """
        coordinator = self._consumer._coordinator
        if self._instance and coordinator.stable() and not coordinator._heartbeat_enabled:
            try:
                coordinator._net.run(coordinator._send_heartbeat_request)
            except FencedInstanceIdError as error:
                raise _name_taken() from error
            except KafkaError:
                return

    def _renew(self, group: str) -> None:
        """Join the group anew. What was assigned is not any more, so every partition is begun again where it stands."""
        self._reach()
        log.warning("consumer_joins_again", group=group)
        self._close()
        with _kafka():
            self._consumer = self._open()
            self._begin(group, self._topics)

    def assigned(self) -> set[Place]:
        return {self._place(at) for at in self._consumer.assignment()}

    def seek(self, place: Place, offset: int) -> None:
        at = self._at(place)
        with _kafka():
            first, end = self._consumer.beginning_offsets([at])[at], self._consumer.end_offsets([at])[at]
            if offset > end or 0 < offset < first:
                raise Misconfigured(
                    f"The record stands at {offset} of {place.topic}/{place.partition}; Kafka has {first} to {end}: "
                    "it is another cluster, or it has lost messages."
                )
            self._consumer.seek(at, max(offset, first))

    def end(self, place: Place) -> int | None:
        known: int | None = self._consumer.highwater(self._at(place))
        return known

    def first(self) -> dict[Place, int]:
        """The first offset that each of our partitions still has."""
        with _kafka():
            found = self._consumer.beginning_offsets(self._consumer.assignment())
        return {self._place(at): offset for at, offset in found.items()}

    def close(self) -> None:
        """Leave the group, so that others get the partitions at once."""
        # kafka-python never takes a static member out of its group. The broker refuses to, where the name is another's.
        self._consumer._coordinator.is_dynamic_member = lambda: True
        self._close()

    def _close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=5_000)

    def stretch(self, since: datetime) -> dict[Place, tuple[int, int]]:
        """For each of our partitions, the offset of the first message at or after this time, and the end as of now."""
        milliseconds = int(since.timestamp() * 1000)
        with _kafka():
            assigned = self._consumer.assignment()
            ends = self._consumer.end_offsets(assigned)
            found = self._consumer.offsets_for_times(dict.fromkeys(assigned, milliseconds))
        return {self._place(at): (found[at].offset if found.get(at) else end, end) for at, end in ends.items()}

    def _place(self, at: TopicPartition) -> Place:
        return Place(at.topic.removeprefix(self._prefix), at.partition)

    def _at(self, place: Place) -> TopicPartition:
        return TopicPartition(self._prefix + place.topic, place.partition)


def _consumer(
    bootstrap: str, group: str | None, client_id: str | None, instance: str | None, session_s: float
) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        group_instance_id=instance if group else None,
        client_id=client_id,
        # A member that joins or leaves takes partitions from others only where it must; they read on meanwhile.
        partition_assignment_strategy=[CooperativeStickyAssignor],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        # A message above these limits still comes, alone: they bound memory, not messages.
        fetch_max_bytes=_FETCH_BYTES,
        receive_message_max_bytes=100_000_000,
        fetch_max_wait_ms=250,
        # Positions are safe from a projector that is late, so the group may give up on one soon.
        session_timeout_ms=int(session_s * 1_000),
        # A member hears of a change in its group by a heartbeat.
        heartbeat_interval_ms=int(min(_HEARTBEAT_S, session_s / 3) * 1_000),
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


def _name_taken() -> Misconfigured:
    return Misconfigured(
        "Another process has joined the consumer group under this process's name. "
        "Give each process of a group its own ONESTORY_INSTANCE."
    )


def _time(milliseconds: int) -> datetime:
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


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
        raise Unavailable(f"Kafka does not answer as it should ({type(error).__name__}).") from error
