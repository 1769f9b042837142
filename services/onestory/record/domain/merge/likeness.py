"""Who is compared with whom: statements that share a key, in the order of their ids (design section 6)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.reading import Reading

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
