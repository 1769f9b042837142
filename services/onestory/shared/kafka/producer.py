"""The Kafka producer: it sends messages and waits until every in-sync replica has them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from onestory.shared.errors import Unavailable
from onestory.shared.kafka.schemas import topics

# An append takes about 50 microseconds. After this number other requests get a turn.
_APPENDED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class KafkaMessage:
    """A message to send. When `partition` is None the key decides it, as for all messages about a person.

    A `value` of None is a tombstone: a compacted topic then forgets the earlier messages with this key.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class MessagePosition:
    """The topic, partition and offset of one message."""

    topic: str
    partition: int
    offset: int


class Producer:
    """An idempotent producer with acks=all, for asyncio.

    `timeout_s` bounds a whole send: connecting, metadata, batching, retries and the acknowledgement. After it the
    outcome is unknown, so `send` raises `Unavailable`; a repeat with the same event id is safe. The producer connects
    at the first send, so a process can start without Kafka and report that it is not ready.

    `prefix` is put before the names of topics in Kafka. `KafkaMessage` and `MessagePosition` have the name without it.

    After a send without acknowledgement the next send makes a new connection. kafka-python 3.0 drops its producer id
    when a batch expires while it is being sent. It never requests a new id, and so it never sends again.
    """

    def __init__(self, bootstrap: str, *, timeout_s: float, client_id: str, prefix: str = "") -> None:
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._connect = partial(_connect, bootstrap, timeout_s, prefix + client_id)
        self._connecting = threading.Lock()
        self._metadata_lock = asyncio.Lock()
        self._kafka: KafkaProducer | None = None
        self._known_topics: set[str] = set()

    async def send(self, messages: Sequence[KafkaMessage]) -> list[MessagePosition]:
        """Return the position of each message, once all in-sync replicas have all of them. Raises `Unavailable`."""
        needed, used = {message.topic for message in messages}, None
        try:
            async with asyncio.timeout(self._timeout_s):
                while unknown := needed - self._known_topics:
                    await self._load_metadata(unknown.pop())
                used = self._kafka
                return await self._send(messages)
        except (TimeoutError, KafkaError) as error:
            self._replace(used)
            raise Unavailable(
                "Kafka did not acknowledge in time. The outcome is unknown; repeat with the same Idempotency-Key."
            ) from error

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return len((await asyncio.to_thread(self._partitions, topic))[1])
        except (TimeoutError, KafkaError) as error:
            raise Unavailable("Kafka does not answer.") from error

    async def ready(self) -> bool:
        """Return whether Kafka answers and has every topic of `schemas/topics`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return all([(await asyncio.to_thread(self._partitions, topic))[1] for topic in topics()])
        except (TimeoutError, KafkaError):
            return False

    async def _load_metadata(self, topic: str) -> None:
        # Connecting and the first metadata of a topic may block, so they run in a thread and not in the event loop.
        # One request at a time does this: while Kafka is away, waiting requests must not fill the pool of threads.
        async with self._metadata_lock:
            if topic in self._known_topics:
                return
            kafka, partitions = await asyncio.to_thread(self._partitions, topic)
            if not partitions:
                raise UnknownTopicOrPartitionError(topic)
            if kafka is self._kafka:
                self._known_topics.add(topic)

    async def _send(self, messages: Sequence[KafkaMessage]) -> list[MessagePosition]:
        assert self._kafka is not None
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()
        outcomes: list[Any] = []

        def collect(outcome: Any) -> None:
            # The producer's thread calls this. The event loop is woken once for all messages.
            outcomes.append(outcome)
            if len(outcomes) == len(messages):
                loop.call_soon_threadsafe(_set_done, acknowledged)

        futures = []
        for index, message in enumerate(messages):
            futures.append(self._append(message))
            if index % _APPENDED_AT_ONCE == _APPENDED_AT_ONCE - 1:
                await asyncio.sleep(0)
        for future in futures:
            future.add_both(collect)
        if messages:
            await acknowledged
        return [_position(message.topic, future) for message, future in zip(messages, futures, strict=True)]

    def _append(self, message: KafkaMessage) -> Any:
        assert self._kafka is not None
        topic = self._prefix + message.topic
        return self._kafka.send(topic, message.value, message.key, list(message.headers), partition=message.partition)

    def _partitions(self, topic: str) -> tuple[KafkaProducer, set[int]]:
        """Return the connection and the partitions that it knows. This may block."""
        with self._connecting:
            kafka = self._kafka = self._kafka or self._connect()
        return kafka, kafka.partitions_for(self._prefix + topic) or set()

    def _replace(self, kafka: KafkaProducer | None) -> None:
        if kafka is None or kafka is not self._kafka:
            return
        self._kafka, self._known_topics = None, set()
        # Other sends that still use this connection get the time limit of a send.
        threading.Thread(target=_close, args=[kafka, self._timeout_s], daemon=True).start()

    def close(self) -> None:
        """Close the connection, after waiting for open sends; at most the time limit of a send."""
        if self._kafka is not None:
            _close(self._kafka, self._timeout_s)


def _connect(bootstrap: str, timeout_s: float, client_id: str) -> KafkaProducer:
    timeout_ms = int(timeout_s * 1000)
    return KafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        batch_size=262_144,
        linger_ms=0,
        max_request_size=max(topic.max_message_bytes for topic in topics().values()),
        # The defaults of 60 and 120 s would hold a publisher's request that long.
        max_block_ms=timeout_ms,
        bootstrap_timeout_ms=timeout_ms,
        request_timeout_ms=timeout_ms // 2,
        delivery_timeout_ms=timeout_ms,
        reconnect_backoff_max_ms=500,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )


def _close(kafka: KafkaProducer, timeout_s: float) -> None:
    try:
        kafka.close(timeout=timeout_s)
    except KafkaTimeoutError:
        # The senders of the remaining messages already got `Unavailable`.
        kafka._sender.force_close()
        kafka.close(timeout=timeout_s)


def _set_done(acknowledged: asyncio.Future[None]) -> None:
    if not acknowledged.done():
        acknowledged.set_result(None)


def _position(topic: str, future: Any) -> MessagePosition:
    if future.failed():
        raise future.exception
    meta = future.value
    return MessagePosition(topic, meta.partition, meta.offset)
