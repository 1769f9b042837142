"""Same type, compatible code, and an identifier in common that is unique to the instance. Rule `same-identifier`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from onestory.record.domain.merge.clusters import Clusters
from onestory.record.domain.merge.contradiction import conflict
from onestory.record.domain.merge.fact import Certainty, Conflict
from onestory.record.domain.merge.likeness import Bucket, buckets, neighbours, pairs
from onestory.record.domain.merge.reading import Reading
from onestory.record.domain.merge.rules import Rules
from onestory.record.domain.merge.shape import exclude, objects, text

RULE = "same-identifier"
# What says nothing, though it looks like an identifier.
_NOTHING = {"", "0", "unknown", "none", "n/a", "tbc", "00000000-0000-0000-0000-000000000000"}


def shared_identifiers(readings: Sequence[Reading], rules: Rules) -> list[Bucket]:
    """Groups of statements of one type that have an identifier in common."""
    return list(buckets([each for each in readings if _counts(each)], lambda each: _identifiers(each, rules)).values())


def join(groups: Sequence[Bucket], clusters: Clusters) -> None:
    for one, other in pairs(neighbours(groups)):
        alike = not (one.withdrawn or other.withdrawn) and _compatible(one, other)
        if not clusters.together(one, other) and alike and clusters.may(one.place, other.place, one_source=True):
            clusters.join(one.place, other.place, RULE, Certainty.EXACT)


def conflicts(groups: Sequence[Bucket], clusters: Clusters) -> Iterator[Conflict]:
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
