"""AllergyIntolerance: one line for one substance. Rule `same-substance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.merge.conflicts import opposed, two_sided
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Clusters, buckets, offered
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import Code, codes, exclude, objects

RULE = "same-substance"
_REFUTED = "One says that the person reacts to this, another that the person does not."
_STATUS = "One says that this allergy is there, another that it has gone."


class Allergies:
    """The allergies of one person. A missing status counts as active: nobody said that the allergy has gone."""

    def __init__(self, readings: Sequence[Reading], rules: Rules) -> None:
        self._rules = rules
        self._readings = [each for each in readings if each.comparable]
        self._substances = {each.place: self._all_substances(each) for each in self._readings}
        self._buckets = buckets(self._readings, lambda each: self._substances[each.place])

    def join(self, clusters: Clusters) -> None:
        for one, other in offered(self._buckets.values(), clusters):
            if certainty := self._same(one, other):
                clusters.join(one.place, other.place, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        def clash(one: Reading, other: Reading) -> bool:
            return clusters.together(one, other) or self._same(one, other) is not None

        for bucket in [*self._buckets.values(), *clusters.groups(self._readings)]:
            yield from opposed(_REFUTED, bucket, clash)
            gone = [each for each in bucket if _gone(each) and not each.negative]
            there = [each for each in bucket if not _gone(each) and not each.negative]
            yield from two_sided("status", _STATUS, there, gone, clash)

    def _same(self, one: Reading, other: Reading) -> Certainty | None:
        # Both say by code what it is to, and not the same: a reaction to one substance must not hide the other.
        if exclude(one.codes, other.codes):
            return None
        if not one.codes.isdisjoint(other.codes):
            return Certainty.EXACT
        return None if self._substances[one.place].isdisjoint(self._substances[other.place]) else Certainty.LIKELY

    def _all_substances(self, reading: Reading) -> frozenset[Code]:
        reactions = objects(reading.content.get("reaction"))
        coded = (code for each in reactions for code in codes(each.get("substance"), self._rules.same_system))
        return reading.codes.union(code for code in coded if self._rules.tells(code))


def _gone(reading: Reading) -> bool:
    return reading.standing == "completed"
