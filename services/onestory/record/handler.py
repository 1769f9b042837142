"""From events to the record: what one transaction does with a batch of messages."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import psycopg

from onestory.record.aliases import project_links
from onestory.record.domain.prepare import Prepared, Sorted, first_of_each, prepare, sort_out
from onestory.record.gauges import Gauges
from onestory.record.heartbeat import project_sources
from onestory.record.parking import Parking, Refused, now
from onestory.record.projection import project_directory, project_persons, project_referrals
from onestory.record.store import events, states
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.topics import DIRECTORY
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import Keys, is_person_key


class Batch(NamedTuple):
    """Messages that can be projected, and messages that cannot."""

    ready: list[Prepared]
    refused: list[Refused]


class Projector:
    """Writes batches. The transaction is the caller's and holds the positions too, so each is written exactly once."""

    def __init__(self, keys: Keys, authorities: Collection[str], parking: Parking, gauges: Gauges) -> None:
        self._keys = keys
        self._authorities = frozenset(authorities)
        self._parking = parking
        self._gauges = gauges

    def prepare(self, arrivals: Sequence[Arrival]) -> Batch:
        """Which messages can be used, as rows, and which cannot."""
        batch = Batch([], [])
        for arrival in arrivals:
            try:
                batch.ready.append(prepare(arrival, self._keys, self._authorities))
            except Unprocessable as error:
                batch.refused.append(Refused(arrival, error))
        return batch

    def write(self, transaction: psycopg.Connection, batch: Batch) -> Callable[[], None]:
        """Project what can be used and park the rest."""
        found = _sort_out(transaction, batch.ready)
        touched = project_persons(transaction, _on(found, persons=True))
        project_referrals(transaction, found)
        project_directory(transaction, _on(found, persons=False))
        # Referrals are made here: nobody falls silent who makes none.
        project_sources(transaction, [event for event in [*found.new, *found.repeated] if event.referral is None])
        refused = batch.refused + [Refused(event.arrival, _reused()) for event in found.reused]
        self._parking.guard(len(found.new) + len(found.repeated), refused)
        refused += project_links(transaction, found.new, self._gauges)
        self._parking.park(transaction, refused)
        states.change(transaction, touched | {key for each in refused if (key := _person_key(each.arrival))})
        return lambda: self._observe(found.new)

    def _observe(self, new: Collection[Prepared]) -> None:
        visible_at = now()
        self._gauges.projected.inc(sum(len(event.statements) for event in new))
        for event in new:
            self._gauges.delay.observe((visible_at - event.event.published_at).total_seconds())


def _person_key(arrival: Arrival) -> str | None:
    """Whom a message is about, by its key: that something of them is parked is shown to those who read of them."""
    key = (arrival.key or b"").decode("ascii", errors="replace")
    return key if arrival.topic != DIRECTORY and is_person_key(key) else None


def _reused() -> Unprocessable:
    return Unprocessable("The event id was used for other content before.", code="event-id-reused")


def _sort_out(transaction: psycopg.Connection, ready: list[Prepared]) -> Sorted:
    known = events.add(transaction, first_of_each(ready).values())
    return sort_out(ready, dict(events.fingerprints(transaction, known)))


def _on(found: Sorted, *, persons: bool) -> Sorted:
    """The part about persons, or the part about the directory."""
    return Sorted(*([event for event in part if (event.arrival.topic != DIRECTORY) is persons] for part in found))
