"""Who is compared with whom: statements that share a key, in the order of their ids (design section 6)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from onestory.record.domain.merge.reading import Reading

Keys = Callable[[Reading], Iterable[Hashable]]
Bucket = list[Reading]


def buckets(readings: Sequence[Reading], keys: Keys) -> dict[Hashable, Bucket]:
    """The statements of each key that more than one has, in the order of their ids."""
    found: dict[Hashable, Bucket] = {}
    for reading in readings:
        for key in keys(reading):
            found.setdefault(key, []).append(reading)
    return {key: bucket for key, bucket in found.items() if len(bucket) > 1}


def several_sources(bucket: Bucket) -> bool:
    """Whether more than one source speaks: else nothing can be joined by what is said."""
    first = bucket[0].said.source
    return any(reading.said.source != first for reading in bucket)


def neighbours(found: Iterable[Bucket]) -> dict[int, Bucket]:
    """For each place, all that share a key with it, itself too, in the order of their ids."""
    of: dict[int, list[Bucket]] = {}
    for bucket in found:
        for reading in bucket:
            of.setdefault(reading.place, []).append(bucket)
    return {place: groups[0] if len(groups) == 1 else _union(groups) for place, groups in sorted(of.items())}


def pairs(near: dict[int, Bucket]) -> Iterator[tuple[Reading, Reading]]:
    """Every two that share a key, once, in the order of their ids."""
    for place, group in near.items():
        at = bisect_right(group, place, key=_place)
        one = group[at - 1]
        for other in group[at:]:
            yield one, other


def _union(groups: Sequence[Bucket]) -> Bucket:
    together = {reading.place: reading for group in groups for reading in group}
    return [together[place] for place in sorted(together)]


def _place(reading: Reading) -> int:
    return reading.place
