"""Follows a topic without a group: every process that follows hears of every message, and keeps no position."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from onestory.shared.consumer.kafka_log import KafkaLog
from onestory.shared.consumer.log import Place, Record
from onestory.shared.contracts.codec import Codec
from onestory.shared.errors import Misconfigured, Unavailable, Unprocessable
from onestory.shared.events import Event

_WAIT_MS = 200
_MOST = 500
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
# A broker that has gone away looks like one that has nothing to say, unless it is asked.
_ASKED_AFTER_S = 5.0

log = structlog.get_logger()


class Heard(NamedTuple):
    """A message: where it stands, and what it says; None for what cannot be read."""

    partition: int
    offset: int
    event: Event | None


class Follower(Protocol):
    """What is told. It is called in the thread of `Following.run`."""

    def begins(self, offsets: Mapping[int, int]) -> None:
        """Each partition is followed from here on; what was heard before counts no more."""

    def hears(self, messages: Sequence[Heard]) -> None:
        """The next messages, each partition's in order."""


class Following:
    """Reads one topic, from a while before it began to the end, and on. Kafka may go away and come back."""

    def __init__(
        self, bootstrap: str, topic: str, codec: Codec, follower: Follower, since: timedelta, prefix: str = ""
    ) -> None:
        self._open = partial(KafkaLog, bootstrap, None, [topic], client_id="onestory-following", prefix=prefix)
        self._topic = topic
        self._codec = codec
        self._follower = follower
        self._since = since
        self._next: dict[int, int] = {}
        self.in_contact_at = time.monotonic()
        """When Kafka last answered."""

    def run(self, stop: threading.Event) -> None:
        """Until stopped."""
        pause_s = _FIRST_PAUSE_S
        while not stop.is_set():
            try:
                with closing(self._open()) as kafka:
                    self._begin(kafka)
                    pause_s = _FIRST_PAUSE_S
                    self._follow(kafka, stop)
            except Unavailable:
                log.warning("following_waits", topic=self._topic, again_in_s=pause_s)
                stop.wait(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    def _begin(self, kafka: KafkaLog) -> None:
        """Go on where it was; or, at first and where Kafka has no such place any more, a while ago."""
        try:
            for partition, offset in self._next.items():
                kafka.seek(Place(self._topic, partition), offset)
        except Misconfigured:
            log.warning("following_begins_anew", topic=self._topic)
            self._next = {}
        if not self._next:
            began = kafka.stretch(datetime.now(UTC) - self._since)
            self._next = {place.partition: first for place, (first, _) in began.items()}
            for partition, offset in self._next.items():
                kafka.seek(Place(self._topic, partition), offset)
            self._follower.begins(dict(self._next))

    def _follow(self, kafka: KafkaLog, stop: threading.Event) -> None:
        while not stop.is_set():
            polled = kafka.poll(_WAIT_MS, _MOST)
            messages = [self._heard(place, record) for place, records in polled.items() for record in records]
            if messages:
                self.in_contact_at = time.monotonic()
                self._follower.hears(messages)
                self._next |= {each.partition: each.offset + 1 for each in messages}
            elif time.monotonic() - self.in_contact_at > _ASKED_AFTER_S:
                kafka.first()
                self.in_contact_at = time.monotonic()

    def _heard(self, place: Place, record: Record) -> Heard:
        try:
            return Heard(place.partition, record.offset, self._codec.decode(record.value))
        except Unprocessable:
            # Whoever keeps what it says parks it; here it says nothing.
            return Heard(place.partition, record.offset, None)
