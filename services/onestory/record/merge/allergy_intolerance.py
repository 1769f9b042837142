"""Merges AllergyIntolerances: one fact for one substance. Rule `same-substance`.

Statements of other types that tell of an allergy join nothing here, but they contradict and are contradicted.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from onestory.record.merge.allergy_phrases import (
    DENIED,
    FAMILY,
    REFUTED,
    RESOLVED,
    UNKNOWN,
    WARNING,
    AllergyReading,
)
from onestory.record.merge.allergy_reading import read_allergy
from onestory.record.merge.conflicts import conflict, two_sided_conflict
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Clusters, buckets, joinable_pairs
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import codes, exclude
from onestory.shared.fhir.json import Code, objects

RULE = "same-substance"
_REFUTED = "One says that the person reacts to this, another that the person does not."
_STATUS = "One says that this allergy is there, another that it has gone."
_NONE_KNOWN = "One source says that none is known, another names one."
_INTOLERANCE = "AllergyIntolerance"


class Allergies:
    """Joins the allergies of one person, and finds their conflicts.

    A missing status counts as active, because no source states that the allergy has gone. `elsewhere` are the readings
    of the other types in `types_with_allergies`; those that tell of no allergy are left out.
    """

    def __init__(self, readings: Sequence[Reading], elsewhere: Sequence[Reading], rules: MergeRules) -> None:
        self._rules = rules
        self._readings = [each for each in readings if each.comparable]
        self._substances = {each.ordinal: self._substances_of(each) for each in self._readings}
        self._buckets = buckets(self._readings, lambda each: self._substances[each.ordinal])
        self._told: dict[int, AllergyReading] = {}
        for each in (*self._readings, *elsewhere):
            if each.comparable and (told := read_allergy(each.statement.resource_type, each.content)):
                self._told[each.ordinal] = told
        self._elsewhere = [each for each in elsewhere if each.ordinal in self._told]

    def join(self, clusters: Clusters) -> None:
        """Joins allergies to one substance."""
        for one, other in joinable_pairs(self._buckets.values(), clusters):
            if certainty := self._join_certainty(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        """Yields conflicts of an allergy with its denial, and of a current allergy with one that has gone."""

        def contradict(one: Reading, other: Reading) -> bool:
            return clusters.are_joined(one, other) or self._same_allergen(one, other)

        every = [each for each in (*self._readings, *self._elsewhere) if not self._is_no_own(each)]
        named = buckets(every, self._keys)
        for bucket in [*named.values(), *clusters.joined_groups(self._readings)]:
            positive = [each for each in bucket if not self._denies(each)]
            denials = [each for each in bucket if self._denies(each)]
            yield from two_sided_conflict("negation", _REFUTED, positive, denials, contradict)
            gone = [each for each in positive if self._gone(each)]
            active = [each for each in positive if not self._gone(each)]
            yield from two_sided_conflict("status", _STATUS, active, gone, contradict)
        yield from self._none_known_conflicts(every)

    def _none_known_conflicts(self, every: Sequence[Reading]) -> Iterator[FactConflict]:
        """Yields one conflict for each set of denied categories, with all that it denies on the other side."""
        denials: dict[frozenset[str], list[Reading]] = {}
        for each in every:
            told = self._told[each.ordinal]
            if told.standing == DENIED and not told.allergens:
                denials.setdefault(told.categories, []).append(each)
        named = [each for each in every if not (self._denies(each) or self._gone(each))] if denials else []
        for categories, group in denials.items():
            denied = [each for each in named if _covers(categories, self._told[each.ordinal].categories)]
            if denied:
                yield conflict("none-known", _NONE_KNOWN, group, denied)

    def _is_no_own(self, reading: Reading) -> bool:
        return self._told[reading.ordinal].standing in (FAMILY, UNKNOWN, WARNING)

    def _denies(self, reading: Reading) -> bool:
        return reading.negative or self._told[reading.ordinal].standing in (REFUTED, DENIED)

    def _gone(self, reading: Reading) -> bool:
        if reading.statement.resource_type == _INTOLERANCE and reading.phase:
            return reading.phase == "completed"
        return self._told[reading.ordinal].standing == RESOLVED

    def _same_allergen(self, one: Reading, other: Reading) -> bool:
        types = {one.statement.resource_type, other.statement.resource_type}
        if types == {_INTOLERANCE} and one.codes and other.codes:
            return self._join_certainty(one, other) is not None
        return set(self._keys(one)) & set(self._keys(other)) != set()

    def _keys(self, reading: Reading) -> Iterator[Hashable]:
        """What two statements must have in common to be about one allergen: a substance, or the name of an allergen."""
        yield from self._substances.get(reading.ordinal, ())
        yield from self._told[reading.ordinal].allergens

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        if self._is_no_own(one) is not self._is_no_own(other):
            return None
        # Both are coded, for different substances: a reaction to one substance must not hide the other.
        if exclude(one.codes, other.codes):
            return None
        if not one.codes.isdisjoint(other.codes):
            return Certainty.EXACT
        return None if self._substances[one.ordinal].isdisjoint(self._substances[other.ordinal]) else Certainty.LIKELY

    def _substances_of(self, reading: Reading) -> frozenset[Code]:
        reactions = objects(reading.content.get("reaction"))
        coded = (code for each in reactions for code in codes(each.get("substance"), self._rules.system_aliases))
        return reading.codes.union(
            self._rules.substances.get(code, code) for code in coded if self._rules.is_specific(code)
        )


def _covers(denied: frozenset[str], named: frozenset[str]) -> bool:
    """Whether a denial of these categories covers an allergy of others. An allergy without a category may be of any."""
    return not denied or not named or not denied.isdisjoint(named)
