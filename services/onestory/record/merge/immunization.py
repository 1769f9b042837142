"""Merges Immunizations: one fact for one vaccine on one day. Rule `same-vaccination`.

The day is the day in the United Kingdom; a month or a year matches nothing. The procedure code, and what the
vaccination protects against, are compared only if one of the two has no vaccine code, because one procedure can stand
for any vaccine. Different sites, or different numbers of a dose, are different vaccinations.
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
        self._rules = rules
        self._procedures = {each.ordinal: _procedures(each, rules) for each in self._readings}
        self._kinds: dict[int, frozenset[str]] = {}
        # What a vaccination protects against is compared only with one that has no vaccine code.
        self._compares_kinds = any(not each.codes for each in self._readings)
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
            for kind in self._kinds_of(reading) if self._compares_kinds else ():
                yield given.day, kind

    def _kinds_of(self, reading: Reading) -> frozenset[str]:
        if reading.ordinal not in self._kinds:
            self._kinds[reading.ordinal] = self._rules.vaccines.kinds(reading.content)
        return self._kinds[reading.ordinal]

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        """How certain it is that two on one day are the same vaccination; None if they are not."""
        if self._are_two_doses(one, other):
            return None
        if not one.codes.isdisjoint(other.codes):
            return Certainty.EXACT
        if exclude(one.codes, other.codes):
            return None
        shared = not self._procedures[one.ordinal].isdisjoint(self._procedures[other.ordinal])
        if not (one.codes and other.codes):
            kinds, others = self._kinds_of(one), self._kinds_of(other)
            shared = shared or bool(kinds and (kinds <= others or others <= kinds))
        return Certainty.LIKELY if shared else None

    def _are_two_doses(self, one: Reading, other: Reading) -> bool:
        """Whether site or number of the dose show two vaccinations."""
        aliases = self._rules.system_aliases
        sites, other_sites = (frozenset(codes(each.content.get("site"), aliases)) for each in (one, other))
        doses, other_doses = _dose_numbers(one), _dose_numbers(other)
        return exclude(sites, other_sites) or bool(doses and other_doses and doses.isdisjoint(other_doses))


def _dose_numbers(reading: Reading) -> frozenset[str]:
    applied = objects(reading.content.get("protocolApplied"))
    numbers = (each.get("doseNumberPositiveInt") or each.get("doseNumberString") for each in applied)
    return frozenset(str(each) for each in numbers if isinstance(each, int | str) and each)


def _procedures(reading: Reading, rules: MergeRules) -> frozenset[Code]:
    extensions = objects(reading.content.get("extension"))
    stated = (each.get("valueCodeableConcept") for each in extensions if each.get("url") == PROCEDURE_EXTENSION)
    return frozenset(code for each in stated for code in codes(each, rules.system_aliases) if rules.is_specific(code))
