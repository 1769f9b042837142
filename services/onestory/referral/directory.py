"""Messages of `care.directory` become what commands ask of the directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg

from onestory.referral.domain.listing import listed
from onestory.referral.domain.statement import DirectoryStatement, each_once, statement
from onestory.referral.gauges import Gauges
from onestory.referral.store import listing
from onestory.referral.unusable import note, note_reused
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.topics import DIRECTORY
from onestory.shared.errors import Unprocessable


class Batch(NamedTuple):
    """What can be used, and why the rest cannot: (message, reason)."""

    said: list[DirectoryStatement]
    unusable: list[tuple[Arrival, str]]


class Directory:
    """Projects teams and roles. The transaction is the caller's and holds the positions too.

    What cannot be used is counted and logged, and what was said before still stands.
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
        note(self._gauges, batch.unusable)
        note_reused(self._gauges, DIRECTORY, [said.event_id for said in reused])
