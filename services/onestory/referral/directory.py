"""Messages of `care.directory` become what commands ask of the directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg
import structlog

from onestory.referral.domain.listing import listed
from onestory.referral.domain.statement import DirectoryStatement, each_once, statement
from onestory.referral.gauges import Gauges
from onestory.referral.store import listing
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.errors import Unprocessable

log = structlog.get_logger()


class Batch(NamedTuple):
    """What can be used, and why the rest cannot: (message, reason)."""

    said: list[DirectoryStatement]
    unusable: list[tuple[Arrival, str]]


class Directory:
    """Projects teams and roles. The transaction is the caller's and holds the positions too.

    What cannot be used is counted and logged, and stops nobody: whoever published it is told by the record room, which
    parks what cannot be read at all.
    """

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def prepare(self, arrivals: Sequence[Arrival]) -> Batch:
        """Which messages can be used, and which cannot."""
        batch = Batch([], [])
        for arrival in arrivals:
            try:
                said = statement(arrival)
            except Unprocessable as error:
                batch.unusable.append((arrival, error.issues[0].code))
                continue
            if said is not None:
                batch.said.append(said)
        return batch

    def write(self, transaction: psycopg.Connection, batch: Batch) -> Callable[[], None]:
        """Let stand what stands now."""
        once, reused = each_once(batch.said)
        if once:
            listing.lock(transaction)
            kept = listing.keep(transaction, once)
            reused += [said for said in once if (said.shared_id, said.event_id) not in kept]
            listing.put(transaction, [listed(each) for each in listing.standing(transaction, {id_ for id_, _ in kept})])
        waiting = listing.unresolved(transaction) if once else {}
        return lambda: self._observe(batch, reused, waiting)

    def _observe(self, batch: Batch, reused: Sequence[DirectoryStatement], waiting: dict[str, int]) -> None:
        self._gauges.directory_waits(waiting)
        for arrival, reason in batch.unusable:
            self._gauges.unusable.labels(reason).inc()
            place = {"topic": arrival.topic, "partition": arrival.partition, "offset": arrival.offset}
            log.warning("directory_unusable", reason=reason, **place)
        for said in reused:
            self._gauges.unusable.labels("event-id-reused").inc()
            log.warning("directory_unusable", reason="event-id-reused", event_id=str(said.event_id))
