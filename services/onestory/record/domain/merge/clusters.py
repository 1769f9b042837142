"""Which statements are together, and why: pairs are offered one by one, and each is joined or not for good."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from onestory.record.domain.merge.fact import Certainty, Join
from onestory.record.domain.merge.reading import Reading
from onestory.record.domain.merge.shape import exclude


class Clusters:
    """Starts with each statement alone. `apart` names, for a place, those that a clinician keeps apart from it."""

    def __init__(self, readings: Sequence[Reading], apart: Mapping[int, Collection[int]]) -> None:
        self._readings = readings
        self._root = list(range(len(readings)))
        self._members: dict[int, list[int]] = {}
        self._sources = [{reading.source} for reading in readings]
        self._apart = apart
        self.joins: dict[int, list[Join]] = {}

    def root(self, place: int) -> int:
        """The place that stands for all that are together with this one."""
        return self._root[place]

    def together(self, one: Reading, other: Reading) -> bool:
        """Whether two are one fact."""
        return self._root[one.place] == self._root[other.place]

    def members(self, root: int) -> list[int]:
        """All that are together, in no order."""
        return self._members.get(root, [root])

    def every(self) -> Iterator[list[int]]:
        """All clusters, those of one statement too, each with its places in order."""
        for place, root in enumerate(self._root):
            if root == place:
                yield sorted(self._members[place]) if place in self._members else [place]

    def groups(self, readings: Iterable[Reading]) -> Iterator[list[Reading]]:
        """Those of these statements that are together, where there are several."""
        if self.joins:
            found: dict[int, list[Reading]] = {}
            for reading in readings:
                found.setdefault(self._root[reading.place], []).append(reading)
            yield from (group for group in found.values() if len(group) > 1)

    def sources(self, place: int) -> set[tuple[str, str]]:
        """The sources of all that are together with this one."""
        return self._sources[self._root[place]]

    def may(self, one: int, other: int, *, one_source: bool = False, other_codes: bool = False) -> bool:
        """Whether these may still be joined: they are not together, and the union would hold no pair that a clinician
        keeps apart, nor two statements of one source that were not together before (unless `one_source`), nor two that
        their codes tell apart (unless `other_codes`), with whatever vague third statement between them.
        """
        a, b = self._root[one], self._root[other]
        if a == b or not (one_source or self._sources[a].isdisjoint(self._sources[b])):
            return False
        return not ((self._apart and self._kept_apart(a, b)) or (not other_codes and self._told_apart(a, b)))

    def join(self, one: int, other: int, rule: str, certainty: Certainty) -> None:
        """Joins two that `may` be."""
        a, b = sorted((self._root[one], self._root[other]))
        self._sources[a] |= self._sources[b]
        moved = self._members.pop(b, [b])
        self._members.setdefault(a, [a]).extend(moved)
        for place in moved:
            self._root[place] = a
        least, greatest = sorted((one, other))
        names = (self._readings[least].said.shared_id, self._readings[greatest].said.shared_id)
        self.joins.setdefault(a, []).extend([*self.joins.pop(b, []), Join(*names, rule, certainty)])

    def _told_apart(self, a: int, b: int) -> bool:
        readings = self._readings
        mine = {readings[place].codes for place in self.members(a)}
        theirs = {readings[place].codes for place in self.members(b)}
        return mine != theirs and any(exclude(one, other) for one in mine for other in theirs)

    def _kept_apart(self, a: int, b: int) -> bool:
        others = set(self.members(b))
        return any(not others.isdisjoint(self._apart.get(place, ())) for place in self.members(a))
