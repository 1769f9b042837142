"""Immunization: one line for one vaccine on one day. Rule `same-vaccination`.

The day is the United Kingdom's. A month or a year is no day. The code of the procedure counts where one of two does not
say by code which vaccine it was: a procedure alone may be that of any vaccine.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from onestory.record.merge.conflicts import differing, opposed
from onestory.record.merge.dates import span
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Clusters, buckets, offered
from onestory.record.merge.reading import Reading
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import Code, codes, exclude, objects, worded

RULE = "same-vaccination"
PROCEDURE = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-VaccinationProcedure"
_NOT_GIVEN = "One says that this was given, another that it was not."
_BATCH = "The batch numbers differ."


class Immunisations:
    """The immunisations of one person."""

    def __init__(self, readings: Sequence[Reading], rules: Rules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._procedures = {each.place: _procedures(each, rules) for each in self._readings}
        self._buckets = list(buckets(self._readings, self._keys).values())

    def join(self, clusters: Clusters) -> None:
        for one, other in offered(self._buckets, clusters):
            if certainty := self._same(one, other):
                clusters.join(one.place, other.place, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        for bucket in self._buckets:
            yield from opposed(_NOT_GIVEN, bucket, lambda one, other: self._same(one, other) is not None)
        for group in clusters.groups(self._readings):
            yield from differing("batch", _BATCH, group, lambda each: worded(each.content.get("lotNumber")) or None)

    def _keys(self, reading: Reading) -> Iterator[Hashable]:
        given = span(reading.content.get("occurrenceDateTime"))
        if given is not None and given.day is not None:
            for code in reading.codes | self._procedures[reading.place]:
                yield given.day, code

    def _same(self, one: Reading, other: Reading) -> Certainty | None:
        """Of two on one day."""
        if not one.codes.isdisjoint(other.codes):
            return Certainty.EXACT
        if exclude(one.codes, other.codes):
            return None
        shared = not self._procedures[one.place].isdisjoint(self._procedures[other.place])
        return Certainty.LIKELY if shared else None


def _procedures(reading: Reading, rules: Rules) -> frozenset[Code]:
    extensions = objects(reading.content.get("extension"))
    stated = (each.get("valueCodeableConcept") for each in extensions if each.get("url") == PROCEDURE)
    return frozenset(code for each in stated for code in codes(each, rules.same_system) if rules.tells(code))
