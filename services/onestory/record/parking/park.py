"""Parking: what cannot be used is kept with its reason, and nobody waits for it (docs/decisions/0003)."""

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
from onestory.record.parking.replay import portions, replay_of
from onestory.record.parking.store import ParkedMessage
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM, DirectoryChanged, Parked, RecordChanged, ReferralChanged
from onestory.shared.identity import is_keepable
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import Producer
from onestory.shared.kafka.reader import ConsumedEvent

log = structlog.get_logger()


class RefusedMessage(NamedTuple):
    """A message, and why it cannot be used; the code of the error's issue is the reason."""

    arrival: ConsumedEvent
    error: Unprocessable


class EverythingParked(Exception):
    """Several publishers' messages are parked and nobody's can be used: the fault is ours, and the process stops."""


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


@dataclass
class Parking:
    """Parks messages, and watches how many. `limit` is per publisher and hour."""

    codec: Codec
    gauges: ProjectorMetrics
    limit: int
    clock: Callable[[], datetime] = now

    def __post_init__(self) -> None:
        self._over: dict[str, datetime] = {}
        self._in_a_row = 0
        self._publishers_in_a_row: set[str] = set()

    def park(self, transaction: psycopg.Connection, refused: Collection[RefusedMessage]) -> None:
        """Keep them and send them on, in this transaction."""
        at = self.clock()
        for arrival, error in refused:
            self._park(transaction, arrival, _parked(arrival, error, at))
        for publisher in {_publisher(arrival) for arrival, _ in refused}:
            self._watch(transaction, publisher, at)
        self._forget_past(at)

    def guard(self, used: int, refused: Collection[RefusedMessage]) -> None:
        """Raises `EverythingParked` when parking is all that this process does, and not for one publisher only.

        Replays do not count: that they are parked again says nothing of what comes in, and stopping would not help.
        """
        if used:
            self._in_a_row = 0
            self._publishers_in_a_row.clear()
            return
        first = [arrival for arrival, _ in refused if replay_of(arrival.headers) is None]
        self._in_a_row += len(first)
        self._publishers_in_a_row |= {name for arrival in first if (name := _publisher(arrival))}
        if self._in_a_row > self.limit and len(self._publishers_in_a_row) > 1:
            raise EverythingParked(f"{self._in_a_row} messages of several publishers in a row cannot be used.")

    def _park(self, transaction: psycopg.Connection, arrival: ConsumedEvent, event: Parked) -> None:
        parked_id = replay_of(arrival.headers)
        if parked_id is not None and parking_store.is_parked(transaction, parked_id, event):
            attempts = parking_store.park_again(transaction, parked_id, event, self.codec)
            if attempts is not None:
                self.gauges.parked_again.labels(event.reason).inc()
                log.warning("parked_again", parked_id=str(parked_id), reason=event.reason, attempts=attempts)
        elif parking_store.park(transaction, event, _system(arrival), arrival.headers, self.codec):
            self._note(event)

    def _note(self, event: Parked) -> None:
        self.gauges.parked.labels(event.reason).inc()
        log.warning(
            "parked",
            parked_id=str(event.parked_id),
            reason=event.reason,
            topic=event.topic,
            partition=event.partition,
            offset=event.offset,
            publisher=event.publisher,
        )

    def _watch(self, transaction: psycopg.Connection, publisher: str | None, at: datetime) -> None:
        name = publisher or "unknown"
        if (
            name in self._over
            or parking_store.parked_since(transaction, publisher, at - parking_store.HOUR) <= self.limit
        ):
            return
        self._over[name] = at + parking_store.HOUR
        self.gauges.over_limit.labels(name).set(1)
        log.error("parking_limit_passed", publisher=name, limit=self.limit)

    def _forget_past(self, at: datetime) -> None:
        for name in [name for name, until in self._over.items() if until < at]:
            del self._over[name]
            self.gauges.over_limit.labels(name).set(0)


def _parked(arrival: ConsumedEvent, error: Unprocessable, at: datetime) -> Parked:
    issue = error.issues[0]
    place = f"{arrival.topic}/{arrival.partition}/{arrival.offset}"
    return Parked(
        # The same message is parked under the same id by every rebuild.
        parked_id=uuid5(NAMESPACE_URL, place),
        reason=issue.code,
        explanation=issue.diagnostics,
        topic=arrival.topic,
        partition=arrival.partition,
        offset=arrival.offset,
        publisher=_publisher(arrival),
        key=arrival.key,
        value=arrival.value,
        attempts=1,
        parked_at=at,
    )


def _publisher(arrival: ConsumedEvent) -> str | None:
    """The organisation, where a message has one that can be kept and shown: what is parked may say anything there."""
    event = arrival.event
    if isinstance(event, ReferralChanged):
        return _shown(event.requester.organisation)
    return _shown(event.source.organisation) if isinstance(event, RecordChanged | DirectoryChanged) else None


def _system(arrival: ConsumedEvent) -> str | None:
    """Which of the publisher's systems it is, in the same way."""
    event = arrival.event
    if isinstance(event, ReferralChanged):
        return REFERRAL_SYSTEM
    return _shown(event.source.system) if isinstance(event, RecordChanged | DirectoryChanged) else None


def _shown(name: str) -> str | None:
    return name if name and name.isprintable() and is_keepable(name) else None


# Replaying: parked messages go to Kafka again as they were, and are marked once it has them.


def replay(connection: psycopg.Connection, producer: Producer, chosen: Sequence[ParkedMessage]) -> None:
    """Send them again in this order.

    What was sent and not marked, because something went away in between, may be sent once more: the record takes an
    event once, whatever the order. Raises `Unavailable`; what is marked by then stays marked.
    """
    done = 0
    with asyncio.Runner() as runner:
        for portion in portions((each.parked_id, each.size) for each in chosen):
            messages = parking_store.messages(connection, portion)
            try:
                positions = runner.run(producer.send([messages[parked_id] for parked_id in portion]))
            except Unavailable as error:
                raise Unavailable(
                    f"Kafka did not acknowledge: {done} of {len(chosen)} parked messages were replayed and marked. "
                    "Repeating is harmless."
                ) from error
            parking_store.mark(connection, portion, positions)
            done += len(portion)
