"""Messages of `care.directory` become what commands ask of the directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg

from onestory.referral.directory import projection_store
from onestory.referral.directory.rows import DirectoryStatement, each_once, listed, statement
from onestory.referral.metrics import ReferralMetrics, note, note_reused
from onestory.shared.errors import Unprocessable
from onestory.shared.kafka.reader import ConsumedEvent
from onestory.shared.kafka.schemas import DIRECTORY


class DirectoryBatch(NamedTuple):
    """What can be used, and why the rest cannot: (message, reason)."""

    said: list[DirectoryStatement]
    unusable: list[tuple[ConsumedEvent, str]]


class Directory:
    """Projects teams and roles. The transaction is the caller's and holds the positions too.

    What cannot be used is counted and logged, and what was said before still stands.
    """

    def __init__(self, gauges: ReferralMetrics) -> None:
        self._gauges = gauges

    def prepare(self, arrivals: Sequence[ConsumedEvent]) -> DirectoryBatch:
        """Which messages can be used, and which cannot."""
        batch = DirectoryBatch([], [])
        for arrival in arrivals:
            try:
                said = statement(arrival)
            except Unprocessable as error:
                batch.unusable.append((arrival, error.issues[0].code))
                continue
            if said is not None:
                batch.said.append(said)
        return batch

    def write(self, transaction: psycopg.Connection, batch: DirectoryBatch) -> Callable[[], None]:
        """Let stand what stands now."""
        once, reused = each_once(batch.said)
        if once:
            projection_store.lock(transaction)
            kept = projection_store.keep(transaction, once)
            reused += [said for said in once if (said.shared_id, said.event_id) not in kept]
            projection_store.put(
                transaction, [listed(each) for each in projection_store.standing(transaction, {id_ for id_, _ in kept})]
            )
        waiting = projection_store.unresolved(transaction) if once else {}
        return lambda: self._observe(batch, reused, waiting)

    def _observe(self, batch: DirectoryBatch, reused: Sequence[DirectoryStatement], waiting: dict[str, int]) -> None:
        self._gauges.directory_waits(waiting)
        note(self._gauges, batch.unusable)
        note_reused(self._gauges, DIRECTORY, [said.event_id for said in reused])
