"""Merges AllergyIntolerances: one fact for one substance. Rule `same-substance`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onestory.record.merge.conflicts import negation_conflict, two_sided_conflict
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Clusters, buckets, joinable_pairs
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import codes, exclude
from onestory.shared.fhir.json import Code, objects

RULE = "same-substance"
_REFUTED = "One says that the person reacts to this, another that the person does not."
_STATUS = "One says that this allergy is there, another that it has gone."


class Allergies:
    """Joins the allergies of one person, and finds their conflicts.

    A missing status counts as active, because no source states that the allergy has gone.
    """

    def __init__(self, readings: Sequence[Reading], rules: MergeRules) -> None:
        self._rules = rules
        self._readings = [each for each in readings if each.comparable]
        self._substances = {each.ordinal: self._substances_of(each) for each in self._readings}
        self._buckets = buckets(self._readings, lambda each: self._substances[each.ordinal])

    def join(self, clusters: Clusters) -> None:
        """Joins allergies to one substance."""
        for one, other in joinable_pairs(self._buckets.values(), clusters):
            if certainty := self._join_certainty(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        """Yields conflicts of an allergy with its denial, and of a current allergy with one that has gone."""

        def contradict(one: Reading, other: Reading) -> bool:
            return clusters.are_joined(one, other) or self._join_certainty(one, other) is not None

        for bucket in [*self._buckets.values(), *clusters.joined_groups(self._readings)]:
            yield from negation_conflict(_REFUTED, bucket, contradict)
            gone = [each for each in bucket if _gone(each) and not each.negative]
            active = [each for each in bucket if not _gone(each) and not each.negative]
            yield from two_sided_conflict("status", _STATUS, active, gone, contradict)

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        # Both are coded, for different substances: a reaction to one substance must not hide the other.
        if exclude(one.codes, other.codes):
            return None
        if not one.codes.isdisjoint(other.codes):
            return Certainty.EXACT
        return None if self._substances[one.ordinal].isdisjoint(self._substances[other.ordinal]) else Certainty.LIKELY

    def _substances_of(self, reading: Reading) -> frozenset[Code]:
        reactions = objects(reading.content.get("reaction"))
        coded = (code for each in reactions for code in codes(each.get("substance"), self._rules.system_aliases))
        return reading.codes.union(code for code in coded if self._rules.is_specific(code))


def _gone(reading: Reading) -> bool:
    return reading.phase == "completed"
