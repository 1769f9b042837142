"""Parking: what cannot be used is kept with its reason, and nobody waits for it (docs/decisions/0003)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

import psycopg
import structlog

from onestory.record.domain.replay import replay_of
from onestory.record.gauges import Gauges
from onestory.record.store import parked
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.codec import Codec
from onestory.shared.errors import Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM, DirectoryChanged, Parked, RecordChanged, ReferralChanged
from onestory.shared.identity import is_keepable

log = structlog.get_logger()


class Refused(NamedTuple):
    """A message, and why it cannot be used; the code of the error's issue is the reason."""

    arrival: Arrival
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
    gauges: Gauges
    limit: int
    clock: Callable[[], datetime] = now

    def __post_init__(self) -> None:
        self._over: dict[str, datetime] = {}
        self._in_a_row = 0
        self._publishers_in_a_row: set[str] = set()

    def park(self, transaction: psycopg.Connection, refused: Collection[Refused]) -> None:
        """Keep them and send them on, in this transaction."""
        at = self.clock()
        for arrival, error in refused:
            self._park(transaction, arrival, _parked(arrival, error, at))
        for publisher in {_publisher(arrival) for arrival, _ in refused}:
            self._watch(transaction, publisher, at)
        self._forget_past(at)

    def guard(self, used: int, refused: Collection[Refused]) -> None:
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

    def _park(self, transaction: psycopg.Connection, arrival: Arrival, event: Parked) -> None:
        parked_id = replay_of(arrival.headers)
        if parked_id is not None and parked.is_parked(transaction, parked_id, event):
            attempts = parked.park_again(transaction, parked_id, event, self.codec)
            if attempts is not None:
                self.gauges.parked_again.labels(event.reason).inc()
                log.warning("parked_again", parked_id=str(parked_id), reason=event.reason, attempts=attempts)
        elif parked.park(transaction, event, _system(arrival), arrival.headers, self.codec):
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
        if name in self._over or parked.parked_since(transaction, publisher, at - parked.HOUR) <= self.limit:
            return
        self._over[name] = at + parked.HOUR
        self.gauges.over_limit.labels(name).set(1)
        log.error("parking_limit_passed", publisher=name, limit=self.limit)

    def _forget_past(self, at: datetime) -> None:
        for name in [name for name, until in self._over.items() if until < at]:
            del self._over[name]
            self.gauges.over_limit.labels(name).set(0)


def _parked(arrival: Arrival, error: Unprocessable, at: datetime) -> Parked:
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


def _publisher(arrival: Arrival) -> str | None:
    """The organisation, where a message has one that can be kept and shown: what is parked may say anything there."""
    event = arrival.event
    if isinstance(event, ReferralChanged):
        return _shown(event.requester.organisation)
    return _shown(event.source.organisation) if isinstance(event, RecordChanged | DirectoryChanged) else None


def _system(arrival: Arrival) -> str | None:
    """Which of the publisher's systems it is, in the same way."""
    event = arrival.event
    if isinstance(event, ReferralChanged):
        return REFERRAL_SYSTEM
    return _shown(event.source.system) if isinstance(event, RecordChanged | DirectoryChanged) else None


def _shown(name: str) -> str | None:
    return name if name and name.isprintable() and is_keepable(name) else None
