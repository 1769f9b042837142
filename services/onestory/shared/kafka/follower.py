"""Reads a topic without a consumer group: every process gets every message, and no position is stored.

`TopicFollower` follows a topic without end. `read_since` reads it once, from a time until now.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from onestory.shared.backoff import GrowingPause
from onestory.shared.errors import Misconfigured, Unavailable, Unprocessable
from onestory.shared.events import ConsumedMessage, Event
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.consumer import KafkaLog, LogRecord, Partition
from onestory.shared.kafka.reader import LogReader, StoredPosition

_WAIT_MS = 200
_MAX_MESSAGES = 500
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
# A poll does not show whether the broker is lost or has no messages. After this silence it gets a request.
_MAX_SILENCE_S = 5.0
_RANGE_WAIT_MS = 500

log = structlog.get_logger()


class FollowedMessage(NamedTuple):
    """A message with its position. `event` is None when the bytes cannot be decoded."""

    partition: int
    offset: int
    event: Event | None


class MessageListener(Protocol):
    """Gets the messages that a `TopicFollower` reads, in the thread of its `run`."""

    def on_start(self, offsets: Mapping[int, int]) -> None:
        """Following starts at these offsets by partition number. Earlier messages no longer count."""

    def on_messages(self, messages: Sequence[FollowedMessage]) -> None:
        """Take the next messages. Those of one partition are in order."""


class TopicFollower:
    """Follows one topic, from `lookback` before the start, without end. It reconnects when Kafka was lost."""

    def __init__(
        self, bootstrap: str, topic: str, codec: Codec, listener: MessageListener, lookback: timedelta, prefix: str = ""
    ) -> None:
        self._open = partial(KafkaLog, bootstrap, None, [topic], client_id="onestory-following", prefix=prefix)
        self._topic = topic
        self._codec = codec
        self._listener = listener
        self._lookback = lookback
        self._next: dict[int, int] = {}
        self.last_contact_at = time.monotonic()
        """Monotonic time of the last answer from Kafka."""

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop` is set."""
        pause = GrowingPause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while not stop.is_set():
            try:
                with closing(self._open()) as kafka:
                    self._begin(kafka)
                    pause.reset()
                    self._follow(kafka, stop)
            except Unavailable:
                pause_s = pause.next_s()
                log.warning("follower_retries", topic=self._topic, again_in_s=pause_s)
                stop.wait(pause_s)

    def _begin(self, kafka: KafkaLog) -> None:
        """Continue at the last offsets. At the start, or when Kafka no longer has them, begin at the lookback."""
        try:
            for number, offset in self._next.items():
                kafka.seek(Partition(self._topic, number), offset)
        except Misconfigured:
            log.warning("follower_restarts", topic=self._topic)
            self._next = {}
        if not self._next:
            offsets = kafka.offsets_since(datetime.now(UTC) - self._lookback)
            self._next = {partition.number: start for partition, (start, _) in offsets.items()}
            for number, offset in self._next.items():
                kafka.seek(Partition(self._topic, number), offset)
            self._listener.on_start(dict(self._next))

    def _follow(self, kafka: KafkaLog, stop: threading.Event) -> None:
        while not stop.is_set():
            polled = kafka.poll(_WAIT_MS, _MAX_MESSAGES)
            messages = [self._message(partition, record) for partition, records in polled.items() for record in records]
            if messages:
                self.last_contact_at = time.monotonic()
                self._listener.on_messages(messages)
                self._next |= {message.partition: message.offset + 1 for message in messages}
            elif time.monotonic() - self.last_contact_at > _MAX_SILENCE_S:
                kafka.first_offsets()
                self.last_contact_at = time.monotonic()

    def _message(self, partition: Partition, record: LogRecord) -> FollowedMessage:
        try:
            return FollowedMessage(partition.number, record.offset, self._codec.decode(record.value))
        except Unprocessable:
            # The projector of the topic parks such a message. A follower only counts its offset.
            return FollowedMessage(partition.number, record.offset, None)


def read_since(log: KafkaLog, codec: Codec, since: datetime) -> Iterator[ConsumedMessage]:
    """Yield the messages of all partitions from `since` to the end offsets at the time of the call.

    `log` must have no group. The messages of one partition are in order. Only one batch of a few megabytes is in memory
    at a time. Raises `Unavailable`.
    """
    reader = LogReader(log, codec)
    offsets = log.offsets_since(since)
    for partition, (start, _) in offsets.items():
        reader.start(partition, StoredPosition(start, since))
    unfinished = {partition for partition, (start, end) in offsets.items() if start < end}
    while unfinished:
        batch = reader.gather(_RANGE_WAIT_MS)
        for message in batch.messages:
            if message.offset < offsets[Partition(message.topic, message.partition)][1]:
                yield message
        unfinished -= {
            partition
            for partition, move in batch.moves.items()
            if move.new_position.next_offset >= offsets[partition][1]
        }
