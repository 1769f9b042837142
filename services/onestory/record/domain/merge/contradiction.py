"""Conflicts: who stands on which side. Shown, never resolved by hiding."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from onestory.record.domain.merge.fact import Conflict
from onestory.record.domain.merge.reading import Reading

Clash = Callable[[Reading, Reading], bool]


def conflict(kind: str, explanation: str, *sides: Iterable[Reading]) -> Conflict:
    """A conflict with its sides in the order of their ids."""
    named = (tuple(sorted(reading.said.shared_id for reading in side)) for side in sides)
    return Conflict(kind, explanation, tuple(sorted(named)))


def two_sided(
    kind: str, explanation: str, one: Sequence[Reading], other: Sequence[Reading], clash: Clash
) -> Iterator[Conflict]:
    """At most one conflict: of those on either side that clash with someone on the other."""
    against = [b for b in other if any(clash(a, b) for a in one)]
    if against:
        yield conflict(kind, explanation, [a for a in one if any(clash(a, b) for b in against)], against)


def opposed(explanation: str, bucket: Sequence[Reading], clash: Clash) -> Iterator[Conflict]:
    """What is said beside its negation."""
    negative = [reading for reading in bucket if reading.negative]
    if negative and len(negative) < len(bucket):
        positive = [reading for reading in bucket if not reading.negative]
        yield from two_sided("negation", explanation, positive, negative, clash)


def differing(
    kind: str, explanation: str, group: Iterable[Reading], said: Callable[[Reading], Hashable]
) -> Iterator[Conflict]:
    """A conflict where those of a group say different things; what says nothing (None) is on no side."""
    sides: dict[Hashable, list[Reading]] = {}
    for reading in group:
        if (value := said(reading)) is not None:
            sides.setdefault(value, []).append(reading)
    if len(sides) > 1:
        yield conflict(kind, explanation, *sides.values())
