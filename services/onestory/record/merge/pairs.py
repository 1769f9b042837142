"""Finds the pairs of statements to compare, and keeps track of which statements are joined.

Statements are compared only when they share a key, in the order of their ids. Pairs come one by one, and each is
joined or rejected for good. The rule `same-identifier` is here too, because it applies to every type.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush

from onestory.record.merge.conflicts import conflict
from onestory.record.merge.model import Certainty, FactConflict, Join
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import exclude
from onestory.shared.fhir.json import objects, text

RULE = "same-identifier"
# Values that look like an identifier but identify nothing.
_NOTHING = {"", "0", "unknown", "none", "n/a", "tbc", "00000000-0000-0000-0000-000000000000"}
SMALL = 12
"""Groups up to this size are compared pair by pair."""
Source = tuple[str, str]
Bucket = list[Reading]


Keys = Callable[[Reading], Iterable[Hashable]]


class Clusters:
    """Clusters of joined statements (union-find). Each statement starts alone; `joins` are kept by cluster root.

    `apart` holds, for an ordinal, the ordinals that a clinician keeps apart from it.
    """

    def __init__(self, readings: Sequence[Reading], apart: Mapping[int, Collection[int]]) -> None:
        self._readings = readings
        self._root = list(range(len(readings)))
        self._members: dict[int, list[int]] = {}
        self._sources = [{reading.source} for reading in readings]
        self._apart = apart
        self.joins: dict[int, list[Join]] = {}

    def root(self, ordinal: int) -> int:
        """The ordinal that identifies the cluster of this statement."""
        return self._root[ordinal]

    def are_joined(self, one: Reading, other: Reading) -> bool:
        """Whether two statements are in one cluster."""
        return self._root[one.ordinal] == self._root[other.ordinal]

    def members(self, root: int) -> list[int]:
        """The ordinals of a cluster, unsorted."""
        return self._members.get(root, [root])

    def all_members(self) -> Iterator[list[int]]:
        """Yields the sorted ordinals of every cluster, also of single statements."""
        for ordinal, root in enumerate(self._root):
            if root == ordinal:
                yield sorted(self._members[ordinal]) if ordinal in self._members else [ordinal]

    def joined_groups(self, readings: Iterable[Reading]) -> Iterator[list[Reading]]:
        """Yields the given statements by cluster, for each cluster that holds more than one of them."""
        if self.joins:
            found: dict[int, list[Reading]] = {}
            for reading in readings:
                found.setdefault(self._root[reading.ordinal], []).append(reading)
            yield from (group for group in found.values() if len(group) > 1)

    def sources(self, ordinal: int) -> set[tuple[str, str]]:
        """The sources of all statements in the cluster of this one."""
        return self._sources[self._root[ordinal]]

    def can_join(self, one: int, other: int, *, allow_same_source: bool = False, ignore_codes: bool = False) -> bool:
        """Whether two statements may be joined.

        The answer is no if they are joined already, or if the union would hold a pair that a clinician keeps apart.
        Unless `allow_same_source`, it is no if the union would hold two statements of one source. Unless
        `ignore_codes`, it is no if codes on the two sides exclude each other: a vague third statement must not connect
        two different things. It is no if the two are not qualified in the same way: a cancer is none of the family.
        """
        a, b = self._root[one], self._root[other]
        if a == b or not (allow_same_source or self._sources[a].isdisjoint(self._sources[b])):
            return False
        if self._readings[a].qualifier != self._readings[b].qualifier:
            return False
        return not ((self._apart and self._kept_apart(a, b)) or (not ignore_codes and self._codes_differ(a, b)))

    def join(self, one: int, other: int, rule: str, certainty: Certainty) -> None:
        """Joins the clusters of two statements. Check `can_join` first."""
        a, b = sorted((self._root[one], self._root[other]))
        self._sources[a] |= self._sources[b]
        moved = self._members.pop(b, [b])
        self._members.setdefault(a, [a]).extend(moved)
        for ordinal in moved:
            self._root[ordinal] = a
        least, greatest = sorted((one, other))
        names = (self._readings[least].statement.shared_id, self._readings[greatest].statement.shared_id)
        self.joins.setdefault(a, []).extend([*self.joins.pop(b, []), Join(*names, rule, certainty)])

    def _codes_differ(self, a: int, b: int) -> bool:
        readings = self._readings
        mine = {readings[ordinal].codes for ordinal in self.members(a)}
        theirs = {readings[ordinal].codes for ordinal in self.members(b)}
        return mine != theirs and any(exclude(one, other) for one in mine for other in theirs)

    def _kept_apart(self, a: int, b: int) -> bool:
        others = set(self.members(b))
        return any(not others.isdisjoint(self._apart.get(ordinal, ())) for ordinal in self.members(a))


def buckets(readings: Sequence[Reading], keys: Keys) -> dict[Hashable, Bucket]:
    """The statements of each key that at least two of them have, in the order of their ids."""
    found: dict[Hashable, Bucket] = {}
    for reading in readings:
        for key in keys(reading):
            found.setdefault(key, []).append(reading)
    return {key: bucket for key, bucket in found.items() if len(bucket) > 1}


def has_several_sources(bucket: Bucket) -> bool:
    """Whether the statements come from more than one source. If not, no content rule can join them."""
    first = bucket[0].source
    return any(reading.source != first for reading in bucket)


def candidates(shared: Iterable[Bucket]) -> dict[int, Bucket]:
    """For each ordinal, all statements that share a key with it, itself included, in the order of their ids."""
    buckets_of: dict[int, list[Bucket]] = {}
    for bucket in shared:
        for reading in bucket:
            buckets_of.setdefault(reading.ordinal, []).append(bucket)
    # Statements with the same buckets have the same candidates.
    unions: dict[tuple[int, ...], Bucket] = {}
    found: dict[int, Bucket] = {}
    for ordinal, groups in sorted(buckets_of.items()):
        key = tuple([id(group) for group in groups])
        if key not in unions:
            unions[key] = groups[0] if len(groups) == 1 else _union(groups)
        found[ordinal] = unions[key]
    return found


def joinable_pairs(shared: Iterable[Bucket], clusters: Clusters) -> Iterator[tuple[Reading, Reading]]:
    """Yields each pair that shares a key, agrees on negation and may be joined; once, in the order of the ids.

    The consumer must join a pair before it takes the next one: later pairs depend on earlier joins.
    """
    groups = candidates([bucket for bucket in shared if bucket and has_several_sources(bucket)])
    # Many ordinals have the same group: it is split by source once.
    by_source: dict[int, _BySource] = {}
    for ordinal, group in groups.items():
        if ordinal == group[-1].ordinal:
            continue
        start = bisect_right(group, ordinal, key=by_ordinal) if ordinal != group[0].ordinal else 1
        one = group[start - 1]
        if len(group) <= SMALL:
            later: Iterable[Reading] = [each for each in group[start:] if each.negative is one.negative]
        else:
            if id(group) not in by_source:
                by_source[id(group)] = _BySource(group, clusters)
            later = by_source[id(group)].after(one)
        for other in later:
            if clusters.can_join(ordinal, other.ordinal):
                yield one, other


class _BySource:
    """A group by source and negation. It passes over statements that can no longer be joined, so that it stays fast."""

    def __init__(self, group: Bucket, clusters: Clusters) -> None:
        self._clusters = clusters
        self._parts: dict[tuple[bool, Source], Bucket] = {}
        for reading in group:
            self._parts.setdefault((reading.negative, reading.source), []).append(reading)
        # For a source and a part: where to go on from each position. Clusters only grow, so a way is never shortened.
        self._next: dict[tuple[Source, Source, bool], list[int]] = {}

    def after(self, one: Reading) -> Iterator[Reading]:
        """Yields the later statements that agree on negation, whose sources are not in the cluster, in order of ids.

        The cluster may grow between two of them.
        """
        clusters, negative = self._clusters, one.negative
        ahead: list[tuple[int, int, Source]] = []
        for (kind, source), part in self._parts.items():
            if kind is negative and source not in clusters.sources(one.ordinal):
                self._push(ahead, one, source, bisect_right(part, one.ordinal, key=by_ordinal))
        while ahead:
            _, position, source = heappop(ahead)
            if source in clusters.sources(one.ordinal):
                continue
            other = self._parts[negative, source][position]
            if one.source not in clusters.sources(other.ordinal):
                yield other
            if source not in clusters.sources(one.ordinal):
                self._push(ahead, one, source, position + 1)

    def _push(self, ahead: list[tuple[int, int, Source]], one: Reading, source: Source, start: int) -> None:
        part = self._parts[one.negative, source]
        position = self._free(one, source, part, start)
        if position < len(part):
            heappush(ahead, (part[position].ordinal, position, source))

    def _free(self, one: Reading, source: Source, part: Bucket, start: int) -> int:
        """The first position from `start` on whose cluster does not hold the source of this statement."""
        following = self._next.setdefault((one.source, source, one.negative), [])
        if not following:
            following.extend(range(len(part) + 1))
        position, passed = start, []
        while position < len(part):
            if following[position] != position:
                passed.append(position)
                position = following[position]
            elif one.source in self._clusters.sources(part[position].ordinal):
                passed.append(position)
                following[position] = position + 1
                position += 1
            else:
                break
        for each in passed:
            following[each] = position
        return position


def _union(groups: Sequence[Bucket]) -> Bucket:
    members = {reading.ordinal: reading for group in groups for reading in group}
    return [members[ordinal] for ordinal in sorted(members)]


def by_ordinal(reading: Reading) -> int:
    """The sort key that orders statements by their ids."""
    return reading.ordinal


def shared_identifiers(readings: Sequence[Reading], rules: MergeRules) -> list[Bucket]:
    """Groups of statements of one type that share a unique identifier."""
    identified = [reading for reading in readings if reading.plan_decision is None and "identifier" in reading.content]
    return list(buckets(identified, lambda reading: _unique_identifiers(reading, rules)).values())


def join_identifiers(groups: Sequence[Bucket], clusters: Clusters) -> None:
    """Joins statements that share a unique identifier and have compatible codes."""
    parts = [part for group in groups for part in _by_negation(group)]
    joined: set[int] = set()
    for ordinal, group in candidates(parts).items():
        if id(group) in joined:
            continue
        after = bisect_right(group, ordinal, key=by_ordinal)
        one = group[after - 1]
        for other in group[after:]:
            if clusters.are_joined(one, other) or not _compatible(one, other):
                continue
            if clusters.can_join(one.ordinal, other.ordinal, allow_same_source=True):
                clusters.join(one.ordinal, other.ordinal, RULE, Certainty.EXACT)
        if all(clusters.are_joined(one, other) for other in group):
            joined.add(id(group))


def _by_negation(group: Bucket) -> Iterator[Bucket]:
    """Yields the statements that are not withdrawn: those that state something, then those that deny it."""
    for negative in (False, True):
        part = [each for each in group if each.negative is negative and not each.withdrawn]
        if len(part) > 1:
            yield part


def identifier_conflicts(groups: Sequence[Bucket], clusters: Clusters) -> Iterator[FactConflict]:
    """Yields a conflict where statements share an identifier but cannot be about the same thing."""
    for group in groups:
        by_cluster: dict[int, Bucket] = {}
        valid = [reading for reading in group if not reading.withdrawn]
        for reading in valid:
            by_cluster.setdefault(clusters.root(reading.ordinal), []).append(reading)
        if len(by_cluster) > 1 and any(not _compatible(valid[0], reading) for reading in valid):
            explanation = "Statements with one identifier are about different things or contradict each other."
            yield conflict("identifier", explanation, *by_cluster.values())


def _compatible(one: Reading, other: Reading) -> bool:
    return one.negative is other.negative and not exclude(one.codes, other.codes)


def _unique_identifiers(reading: Reading, rules: MergeRules) -> Iterator[Hashable]:
    kind = reading.statement.resource_type
    seen = set()
    for identifier in objects(reading.content["identifier"]):
        system, value = text(identifier.get("system")), text(identifier.get("value")).strip()
        types = rules.unique_systems.get(system, frozenset())
        if (types is None or kind in types) and value.casefold() not in _NOTHING:
            seen.add((kind, system, value))
    yield from seen
