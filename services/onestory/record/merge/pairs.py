"""Who is compared with whom: statements that share a key, in the order of their ids (design section 6)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

from onestory.record.merge.conflicts import conflict
from onestory.record.merge.model import Certainty, FactConflict, Join
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import exclude, objects, text

# Which statements are together, and why: pairs are offered one by one, and each is joined or not for good.


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


Keys = Callable[[Reading], Iterable[Hashable]]
Bucket = list[Reading]
Source = tuple[str, str]


def buckets(readings: Sequence[Reading], keys: Keys) -> dict[Hashable, Bucket]:
    """The statements of each key that more than one has, in the order of their ids."""
    found: dict[Hashable, Bucket] = {}
    for reading in readings:
        for key in keys(reading):
            found.setdefault(key, []).append(reading)
    return {key: bucket for key, bucket in found.items() if len(bucket) > 1}


def several_sources(bucket: Bucket) -> bool:
    """Whether more than one source speaks: else nothing can be joined by what is said."""
    first = bucket[0].source
    return any(reading.source != first for reading in bucket)


def neighbours(found: Iterable[Bucket]) -> dict[int, Bucket]:
    """For each place, all that share a key with it, itself too, in the order of their ids."""
    of: dict[int, list[Bucket]] = {}
    for bucket in found:
        for reading in bucket:
            of.setdefault(reading.place, []).append(bucket)
    return {place: groups[0] if len(groups) == 1 else _union(groups) for place, groups in sorted(of.items())}


def offered(found: Iterable[Bucket], clusters: Clusters) -> Iterator[tuple[Reading, Reading]]:
    """Every two that share a key, say both yes or both no, and may be joined; once, in the order of their ids.

    Who is offered a pair joins it at once or not at all: the next offers heed what was joined.
    """
    shared = [bucket for bucket in found if several_sources(bucket)]
    near = neighbours(shared)
    by_source = {id(group): _by_source(group) for group in {id(group): group for group in near.values()}.values()}
    for place, group in near.items():
        if place == group[-1].place:
            continue
        one = group[bisect_right(group, place, key=in_order) - 1] if place != group[0].place else group[0]
        for other in _others(one, by_source[id(group)], clusters.sources(place)):
            if one.negative is other.negative and clusters.may(place, other.place):
                yield one, other


def pairs(near: Mapping[int, Bucket]) -> Iterator[tuple[Reading, Reading]]:
    """Every two that share a key, once, in the order of their ids."""
    for place, group in near.items():
        at = bisect_right(group, place, key=in_order)
        for other in group[at:]:
            yield group[at - 1], other


def _others(one: Reading, by_source: Mapping[Source, Bucket], taken: Collection[Source]) -> Sequence[Reading]:
    """Those after this one whose sources do not speak in its fact."""
    after = [
        said[bisect_right(said, one.place, key=in_order) :] for source, said in by_source.items() if source not in taken
    ]
    return after[0] if len(after) == 1 else sorted((each for said in after for each in said), key=in_order)


def _by_source(group: Bucket) -> dict[Source, Bucket]:
    found: dict[Source, Bucket] = {}
    for reading in group:
        found.setdefault(reading.source, []).append(reading)
    return found


def _union(groups: Sequence[Bucket]) -> Bucket:
    together = {reading.place: reading for group in groups for reading in group}
    return [together[place] for place in sorted(together)]


def in_order(reading: Reading) -> int:
    """The key by which statements are in the order of their ids."""
    return reading.place


# Same type, compatible code, and an identifier in common that is unique to the instance. Rule `same-identifier`.

RULE = "same-identifier"
# What says nothing, though it looks like an identifier.
_NOTHING = {"", "0", "unknown", "none", "n/a", "tbc", "00000000-0000-0000-0000-000000000000"}


def shared_identifiers(readings: Sequence[Reading], rules: Rules) -> list[Bucket]:
    """Groups of statements of one type that have an identifier in common."""
    return list(buckets([each for each in readings if _counts(each)], lambda each: _identifiers(each, rules)).values())


def join_identifiers(groups: Sequence[Bucket], clusters: Clusters) -> None:
    for one, other in pairs(neighbours(groups)):
        alike = not (one.withdrawn or other.withdrawn) and _compatible(one, other)
        if not clusters.together(one, other) and alike and clusters.may(one.place, other.place, one_source=True):
            clusters.join(one.place, other.place, RULE, Certainty.EXACT)


def identifier_conflicts(groups: Sequence[Bucket], clusters: Clusters) -> Iterator[FactConflict]:
    """One identifier, and statements that cannot be of one thing."""
    for group in groups:
        together: dict[int, Bucket] = {}
        standing = [each for each in group if not each.withdrawn]
        for reading in standing:
            together.setdefault(clusters.root(reading.place), []).append(reading)
        if len(together) > 1 and any(not _compatible(standing[0], each) for each in standing):
            explanation = (
                "One identifier stands on statements that differ in what they are about or contradict each other."
            )
            yield conflict("identifier", explanation, *together.values())


def _compatible(one: Reading, other: Reading) -> bool:
    return one.negative is other.negative and not exclude(one.codes, other.codes)


def _counts(reading: Reading) -> bool:
    return reading.decision is None and "identifier" in reading.content


def _identifiers(reading: Reading, rules: Rules) -> Iterator[Hashable]:
    kind = reading.said.resource_type
    seen = set()
    for identifier in objects(reading.content["identifier"]):
        system, value = text(identifier.get("system")), text(identifier.get("value")).strip()
        types = rules.unique.get(system, frozenset())
        if (types is None or kind in types) and value.casefold() not in _NOTHING:
            seen.add((kind, system, value))
    yield from seen
