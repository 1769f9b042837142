"""A log that ends where the live record stands, so that the rebuilt one never knows more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onestory.shared.consumer.log import Log, Place, Record


class Bounded:
    """The messages of a log before an offset in each partition; partitions without one are not there."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._until: Mapping[Place, int] = {}
        self._passed: set[Place] = set()

    def allow(self, until: Mapping[Place, int]) -> None:
        """Further than before, or as far."""
        for place in self._passed:
            self._log.seek(place, self._until[place])
        self._passed.clear()
        self._until = dict(until)

    def poll(self, timeout_ms: int, most: int) -> Mapping[Place, Sequence[Record]]:
        found: dict[Place, Sequence[Record]] = {}
        for place, records in self._log.poll(timeout_ms, most).items():
            within = [record for record in records if record.offset < self._until.get(place, 0)]
            if within:
                found[place] = within
            if len(within) < len(records) and place in self._until:
                self._passed.add(place)
        return found

    def assigned(self) -> set[Place]:
        return self._log.assigned() & self._until.keys()

    def seek(self, place: Place, offset: int) -> None:
        self._passed.discard(place)
        self._log.seek(place, offset)

    def end(self, place: Place) -> int | None:
        return self._until.get(place)
