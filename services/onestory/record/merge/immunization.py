"""Merges Immunizations: one fact for one vaccine on one day. Rule `same-vaccination`.

The day is the day in the United Kingdom; a month or a year matches nothing. The procedure code is compared only if one
of the two has no vaccine code, because one procedure can stand for any vaccine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from onestory.record.merge.conflicts import negation_conflict, value_conflict
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Clusters, buckets, joinable_pairs
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import codes, exclude, span, worded
from onestory.shared.fhir.json import Code, objects

RULE = "same-vaccination"
PROCEDURE_EXTENSION = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-VaccinationProcedure"
_NOT_GIVEN = "One says that this was given, another that it was not."
_BATCH = "The batch numbers differ."


class Immunisations:
    """Joins the Immunizations of one person, and finds their conflicts."""

    def __init__(self, readings: Sequence[Reading], rules: MergeRules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._procedures = {each.ordinal: _procedures(each, rules) for each in self._readings}
        self._buckets = list(buckets(self._readings, self._keys).values())

    def join(self, clusters: Clusters) -> None:
        """Joins immunizations that record one vaccination."""
        for one, other in joinable_pairs(self._buckets, clusters):
            if certainty := self._join_certainty(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        """Yields conflicts between given and not given, and between batch numbers."""
        for bucket in self._buckets:
            yield from negation_conflict(
                _NOT_GIVEN, bucket, lambda one, other: self._join_certainty(one, other) is not None
            )
        for group in clusters.joined_groups(self._readings):
            yield from value_conflict(
                "batch", _BATCH, group, lambda each: worded(each.content.get("lotNumber")) or None
            )

    def _keys(self, reading: Reading) -> Iterator[Hashable]:
        given = span(reading.content.get("occurrenceDateTime"))
        if given is not None and given.day is not None:
            for code in reading.codes | self._procedures[reading.ordinal]:
                yield given.day, code

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        """How certain it is that two on one day are the same vaccination; None if they are not."""
        if not one.codes.isdisjoint(other.codes):
            return Certainty.EXACT
        if exclude(one.codes, other.codes):
            return None
        shared = not self._procedures[one.ordinal].isdisjoint(self._procedures[other.ordinal])
        return Certainty.LIKELY if shared else None


def _procedures(reading: Reading, rules: MergeRules) -> frozenset[Code]:
    extensions = objects(reading.content.get("extension"))
    stated = (each.get("valueCodeableConcept") for each in extensions if each.get("url") == PROCEDURE_EXTENSION)
    return frozenset(code for each in stated for code in codes(each, rules.system_aliases) if rules.is_specific(code))
