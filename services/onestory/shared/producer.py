"""The Kafka producer: send, and wait until every in-sync replica has it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError

from onestory.shared.contracts.topics import topics
from onestory.shared.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to Kafka. `partition` is None where the key decides it, as it does for everything about a person."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where Kafka put a message."""

    topic: str
    partition: int
    offset: int


class Producer:
    """An idempotent producer with acks=all, for asyncio.

    `timeout_s` bounds the whole of a send: connecting, metadata, batching, retries and the acknowledgement. After it
    the outcome is unknown, so `Unavailable` is raised: repeating under the same event id is safe. The connection is
    made at the first send, so that a process can start, and say that it is not ready, while Kafka is away.

    `prefix` stands before the names of topics in Kafka, and in no `Message` or `Position`.

    After a send that was not acknowledged the next one makes a new connection: kafka-python 3.0 drops its producer id
    when a batch expires that it had begun to send, asks for no other one, and never sends again.
    """

    def __init__(self, bootstrap: str, *, timeout_s: float, client_id: str, prefix: str = "") -> None:
        self._timeout_s = timeout_s
        self._prefix = prefix
        self._connect = partial(_connect, bootstrap, timeout_s, prefix + client_id)
        self._connecting = threading.Lock()
        self._learning = asyncio.Lock()
        self._kafka: KafkaProducer | None = None
        self._known: set[str] = set()

    async def send(self, messages: Sequence[Message]) -> list[Position]:
        """Where each message stands, once all in-sync replicas have every one. Raises `Unavailable`."""
        wanted, used = {message.topic for message in messages}, None
        try:
            async with asyncio.timeout(self._timeout_s):
                while unknown := wanted - self._known:
                    await self._learn(unknown.pop())
                used = self._kafka
                return await self._send(messages)
        except (TimeoutError, KafkaError) as error:
            self._part_with(used)
            raise Unavailable(
                "Kafka did not acknowledge in time. The outcome is unknown; repeat with the same Idempotency-Key."
            ) from error

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return len((await asyncio.to_thread(self._partitions, topic))[1])
        except (TimeoutError, KafkaError) as error:
            raise Unavailable("Kafka does not answer.") from error

    async def ready(self) -> bool:
        """Whether Kafka answers with the topics that it should have."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return all([(await asyncio.to_thread(self._partitions, topic))[1] for topic in topics()])
        except (TimeoutError, KafkaError):
            return False

    async def _learn(self, topic: str) -> None:
        # What may block (connecting, the first metadata of a topic) may not stop the event loop.
        # One at a time: while Kafka is away, waiting requests may not fill the pool of threads.
        async with self._learning:
            if topic in self._known:
                return
            kafka, partitions = await asyncio.to_thread(self._partitions, topic)
            if not partitions:
                raise UnknownTopicOrPartitionError(topic)
            if kafka is self._kafka:
                self._known.add(topic)

    async def _send(self, messages: Sequence[Message]) -> list[Position]:
        assert self._kafka is not None
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        outcomes: list[Any] = []

        def answer(outcome: Any) -> None:
            # Called by the producer's thread: the event loop is woken once for all messages, not for each.
            outcomes.append(outcome)
            if len(outcomes) == len(messages):
                loop.call_soon_threadsafe(_done, answered)

        futures = [self._append(message) for message in messages]
        for future in futures:
            future.add_both(answer)
        if messages:
            await answered
        return [_position(message.topic, future) for message, future in zip(messages, futures, strict=True)]

    def _append(self, message: Message) -> Any:
        assert self._kafka is not None
        topic = self._prefix + message.topic
        return self._kafka.send(topic, message.value, message.key, list(message.headers), partition=message.partition)

    def _partitions(self, topic: str) -> tuple[KafkaProducer, set[int]]:
        """The partitions, and the connection that knows them."""
        with self._connecting:
            kafka = self._kafka = self._kafka or self._connect()
        return kafka, kafka.partitions_for(self._prefix + topic) or set()

    def _part_with(self, kafka: KafkaProducer | None) -> None:
        if kafka is None or kafka is not self._kafka:
            return
        self._kafka, self._known = None, set()
        # What others have on their way through it has the time that a send has.
        threading.Thread(target=_close, args=[kafka, self._timeout_s], daemon=True).start()

    def close(self) -> None:
        """Wait for what is on its way, at most as long as a send may take."""
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
        # The library's own 60 and 120 s would hold a publisher's request that long.
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
        # Whoever sent what is left has been told that its outcome is unknown.
        kafka._sender.force_close()
        kafka.close(timeout=timeout_s)


def _done(answered: asyncio.Future[None]) -> None:
    if not answered.done():
        answered.set_result(None)


def _position(topic: str, future: Any) -> Position:
    if future.failed():
        raise future.exception
    meta = future.value
    return Position(topic, meta.partition, meta.offset)
