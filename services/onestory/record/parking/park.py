"""Parks messages that cannot be used, with their reason, so that no later message waits for them.

The reasons for the limits are in docs/explanation/decisions/0003.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

import psycopg
import structlog

from onestory.record.parking import store as parking_store
from onestory.record.parking.replay import replay_batches, replayed_id
from onestory.record.parking.store import ParkedMessage
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import (
    REFERRAL_SYSTEM,
    ConsumedMessage,
    DirectoryChanged,
    Parked,
    RecordChanged,
    ReferralChanged,
)
from onestory.shared.identity import is_storable
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import Producer

log = structlog.get_logger()


class RefusedMessage(NamedTuple):
    """A message, and why it cannot be used. The code of the error's first issue is the reason."""

    message: ConsumedMessage
    error: Unprocessable


class EverythingParked(Exception):
    """Messages of several publishers were parked, and none could be used.

    The fault is in this process or its environment, so the process stops.
    """


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


@dataclass
class Parking:
    """Parks messages, and watches how many. `limit` is the number of messages for each publisher and hour."""

    codec: Codec
    metrics: ProjectorMetrics
    limit: int
    clock: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        self._over_until: dict[str, datetime] = {}
        self._parked_in_a_row = 0
        self._publishers_in_a_row: set[str] = set()

    def park(self, transaction: psycopg.Connection, refused: Collection[RefusedMessage]) -> None:
        """Park these messages in this transaction, and set the metric of publishers above the limit."""
        at = self.clock()
        for message, error in refused:
            self._park(transaction, message, _parked_event(message, error, at))
        for publisher in {_publisher(message) for message, _ in refused}:
            self._check_limit(transaction, publisher, at)
        self._end_past_alerts(at)

    def stop_if_all_parked(self, used: int, refused: Collection[RefusedMessage]) -> None:
        """Raise `EverythingParked` when this process only parks, and does so for several publishers.

        `used` is how many messages of the batch could be used. Replays do not count: when they are parked again, this
        shows nothing about new messages, and stopping would not help.
        """
        if used:
            self._parked_in_a_row = 0
            self._publishers_in_a_row.clear()
            return
        new = [message for message, _ in refused if replayed_id(message.headers) is None]
        self._parked_in_a_row += len(new)
        self._publishers_in_a_row |= {name for message in new if (name := _publisher(message))}
        if self._parked_in_a_row > self.limit and len(self._publishers_in_a_row) > 1:
            raise EverythingParked(f"{self._parked_in_a_row} messages of several publishers in a row cannot be used.")

    def _park(self, transaction: psycopg.Connection, message: ConsumedMessage, event: Parked) -> None:
        parked_id = replayed_id(message.headers)
        if parked_id is not None and parking_store.is_replay_of(transaction, parked_id, event):
            attempts = parking_store.park_again(transaction, parked_id, event, self.codec)
            if attempts is not None:
                self.metrics.parked_again.labels(event.reason).inc()
                log.warning("parked_again", parked_id=str(parked_id), reason=event.reason, attempts=attempts)
        elif parking_store.park(transaction, event, _system(message), message.headers, self.codec):
            self._count_and_log(event)

    def _count_and_log(self, event: Parked) -> None:
        self.metrics.parked.labels(event.reason).inc()
        log.warning(
            "parked",
            parked_id=str(event.parked_id),
            reason=event.reason,
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            publisher=event.publisher,
        )

    def _check_limit(self, transaction: psycopg.Connection, publisher: str | None, at: datetime) -> None:
        name = publisher or "unknown"
        if (
            name in self._over_until
            or parking_store.parked_since(transaction, publisher, at - parking_store.HOUR) <= self.limit
        ):
            return
        self._over_until[name] = at + parking_store.HOUR
        self.metrics.over_limit.labels(name).set(1)
        log.error("parking_limit_passed", publisher=name, limit=self.limit)

    def _end_past_alerts(self, at: datetime) -> None:
        for name in [name for name, until in self._over_until.items() if until < at]:
            del self._over_until[name]
            self.metrics.over_limit.labels(name).set(0)


def _parked_event(message: ConsumedMessage, error: Unprocessable, at: datetime) -> Parked:
    issue = error.issues[0]
    position = f"{message.topic}/{message.partition}/{message.offset}"
    return Parked(
        # Every rebuild parks the same message under the same id.
        parked_id=uuid5(NAMESPACE_URL, position),
        reason=issue.code,
        explanation=issue.diagnostics,
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        publisher=_publisher(message),
        key=message.key,
        value=message.value,
        attempts=1,
        parked_at=at,
    )


def _publisher(message: ConsumedMessage) -> str | None:
    """The ODS code of the publisher; None when the message has none that can be stored and shown.

    A parked message may have any text there.
    """
    event = message.event
    if isinstance(event, ReferralChanged):
        return _printable_name(event.requester.organisation)
    return _printable_name(event.source.organisation) if isinstance(event, RecordChanged | DirectoryChanged) else None


def _system(message: ConsumedMessage) -> str | None:
    """The publisher's system, with the same rule."""
    event = message.event
    if isinstance(event, ReferralChanged):
        return REFERRAL_SYSTEM
    return _printable_name(event.source.system) if isinstance(event, RecordChanged | DirectoryChanged) else None


def _printable_name(name: str) -> str | None:
    return name if name and name.isprintable() and is_storable(name) else None


def replay(connection: psycopg.Connection, producer: Producer, parked: Sequence[ParkedMessage]) -> None:
    """Send parked messages to Kafka again, in this order, and mark them as replayed.

    When the connection is lost between sending and marking, a message may be sent twice. That is harmless: the record
    takes each event once, in any order. Raises `Unavailable`; what is marked by then stays marked.
    """
    done = 0
    with asyncio.Runner() as runner:
        for batch in replay_batches((message.parked_id, message.size) for message in parked):
            messages = parking_store.messages_to_replay(connection, batch)
            try:
                positions = runner.run(producer.send([messages[parked_id] for parked_id in batch]))
            except Unavailable as error:
                raise Unavailable(
                    f"Kafka did not acknowledge: {done} of {len(parked)} parked messages were replayed and marked. "
                    "It is safe to repeat the command."
                ) from error
            parking_store.mark_replayed(connection, batch, positions)
            done += len(batch)
