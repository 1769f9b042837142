"""Observation: one line for one measurement. Rule `same-observation`.

Code, time, value with unit, and components have to be the same; body site, method and specimen must not differ where
both are said. A day without a time meets a time on it, less surely. What has no value is compared with nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.merge.conflicts import conflict, opposed
from onestory.record.merge.dates import ClinicalSpan, span
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Bucket, Clusters, buckets, offered, several_sources
from onestory.record.merge.reading import Reading, one_of
from onestory.record.merge.rules import Rules
from onestory.record.merge.values import Code, codes, exclude, first, number, objects, reference_id, text, worded

# What an Observation found, in a form in which two can be compared (http://hl7.org/fhir/R4/observation.html).

_QUANTITIES = {
    "valueQuantity": ("",),
    "valueRange": ("low", "high"),
    "valueRatio": ("numerator", "denominator"),
}
_PLAIN = {"valuePeriod": ("start", "end"), "valueSampledData": ("data",)}


class Quantity(NamedTuple):
    """A number with its comparator and what its unit is called, by code and in words."""

    comparator: str
    value: int | float | None
    unit: frozenset[str]

    def is_same(self, other: Quantity) -> bool:
        one_unit = self.unit == other.unit or not self.unit.isdisjoint(other.unit)
        return self.value == other.value and self.comparator == other.comparator and one_unit


class Value(NamedTuple):
    """A value of any type, by element."""

    quantities: Mapping[str, Quantity]
    plain: Mapping[str, object]
    codes: frozenset[Code]
    words: str

    def __bool__(self) -> bool:
        return bool(self.quantities or self.plain or self.codes or self.words)

    def is_same(self, other: Value) -> bool:
        if self.plain != other.plain or self.quantities.keys() != other.quantities.keys():
            return False
        if self.codes or other.codes:
            return not self.codes.isdisjoint(other.codes)
        alike = all(mine.is_same(other.quantities[name]) for name, mine in self.quantities.items())
        return alike and self.words == other.words


class Finding(NamedTuple):
    """A value and the components beside it, each with its codes."""

    value: Value
    components: Sequence[tuple[frozenset[Code], Value]]

    def __bool__(self) -> bool:
        return bool(self.value or self.components)

    def is_same(self, other: Finding) -> bool:
        """Whether the two found the same, in whatever order; nothing is not the same as nothing."""
        if not self or not other or len(self.components) != len(other.components):
            return False
        if len(self.components) > _MOST_COMPONENTS:
            return self == other
        mine_in_theirs = all(_among(each, other.components) for each in self.components)
        theirs_in_mine = all(_among(each, self.components) for each in other.components)
        return self.value.is_same(other.value) and mine_in_theirs and theirs_in_mine


def finding(content: Mapping[str, Any], rules: Rules) -> Finding:
    parts = objects(content["component"]) if "component" in content else ()
    components = [(frozenset(codes(part.get("code"), rules.same_system)), _value(part, rules)) for part in parts]
    return Finding(_value(content, rules), components)


def _value(content: Mapping[str, Any], rules: Rules) -> Value:
    stated = [name for name in content if name.startswith("value")]
    if not stated:
        return _NOTHING
    quantities: dict[str, Quantity] = {}
    plain: dict[str, object] = {}
    found: frozenset[Code] = frozenset()
    words = ""
    for name in stated:
        value = content[name]
        if name in _QUANTITIES:
            quantities |= {
                name + part: _quantity(first(value).get(part) if part else value) for part in _QUANTITIES[name]
            }
        elif name == "valueCodeableConcept":
            found, words = frozenset(codes(value, rules.same_system)), worded(first(value).get("text"))
        else:
            parts = {part: first(value).get(part) for part in _PLAIN[name]} if name in _PLAIN else {"": value}
            # 1 and True are equal to Python, and not to FHIR.
            plain |= {
                name + part: (type(each).__name__, each) for part, each in parts.items() if isinstance(each, str | int)
            }
    return Value(quantities, plain, found, words)


# Each is looked for among all others. Of more, which no panel has, those alone are the same that are so to the letter.
_MOST_COMPONENTS = 50
_NOTHING = Value({}, {}, frozenset(), "")


def _quantity(value: object) -> Quantity:
    found = first(value)
    unit = frozenset([each for each in (text(found.get("code")).casefold(), worded(found.get("unit"))) if each])
    return Quantity(text(found.get("comparator")), number(found.get("value")), unit)


def _among(component: tuple[frozenset[Code], Value], others: Sequence[tuple[frozenset[Code], Value]]) -> bool:
    found, value = component
    return any(not found.isdisjoint(those) and value.is_same(theirs) for those, theirs in others)


RULE = "same-observation"
_NOT_DONE = "One says that this was observed, another that it was not."
_VALUE = "The values differ."
_NOWHERE: frozenset[Code] = frozenset()


class Specimen(NamedTuple):
    """What was looked at; `numbers` are its identifiers by system."""

    reference: str
    numbers: Mapping[str, str]
    types: frozenset[Code]


class Observed(NamedTuple):
    """An observation as the rule compares it. `until` is the end of a period."""

    when: ClinicalSpan | None
    until: ClinicalSpan | None
    finding: Finding
    site: frozenset[Code]
    method: frozenset[Code]
    specimen: Specimen | None


class Observations:
    """The observations of one person, with the specimens that they may refer to."""

    def __init__(self, readings: Sequence[Reading], specimens: Sequence[Reading], rules: Rules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._specimens = {each.said.shared_id: each.content for each in specimens}
        self._rules = rules
        self._observed: dict[int, Observed] = {}
        of_code = buckets(self._readings, lambda each: each.codes).values()
        compared = {each.place: each for bucket in of_code if _worth_comparing(bucket) for each in bucket}
        self._buckets = list(buckets([compared[place] for place in sorted(compared)], _keys).values())

    def join(self, clusters: Clusters) -> None:
        for one, other in offered(self._buckets, clusters):
            if certainty := self._same(one, other):
                clusters.join(one.place, other.place, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        for bucket in self._buckets:
            yield from opposed(_NOT_DONE, bucket, lambda one, other: self._when(one, other) is not None)
        for group in clusters.groups(self._readings):
            # What this rule joined has one value.
            if all(join.rule == RULE for join in clusters.joins[clusters.root(group[0].place)]):
                continue
            values = self._by_value(group)
            if len(values) > 1:
                yield conflict("value", _VALUE, *values)

    def _same(self, one: Reading, other: Reading) -> Certainty | None:
        when = self._when(one, other)
        if when is None:
            return None
        a, b = self._read(one), self._read(other)
        if exclude(a.site, b.site) or exclude(a.method, b.method) or not a.finding.is_same(b.finding):
            return None
        if a.site != b.site or (a.specimen is None) is not (b.specimen is None):
            when = Certainty.LIKELY
        if a.specimen and b.specimen:
            return _one_specimen(a.specimen, b.specimen, when)
        return when

    def _when(self, one: Reading, other: Reading) -> Certainty | None:
        """How surely two were at one time."""
        a, b = self._read(one), self._read(other)
        if a.when is None or b.when is None or (a.until is None) is not (b.until is None):
            return None
        if a.until and b.until and not a.until.overlaps(b.until):
            return None
        if not a.when.overlaps(b.when):
            return None
        return Certainty.EXACT if a.when.moment and b.when.moment else Certainty.LIKELY

    def _by_value(self, group: Bucket) -> list[Bucket]:
        kinds: list[Bucket] = []
        for reading in group:
            found = self._read(reading).finding
            if not found:
                continue
            alike = (kind for kind in kinds if self._read(kind[0]).finding.is_same(found))
            kind = next(alike, None)
            if kind is None:
                kinds.append([reading])
            else:
                kind.append(reading)
        return kinds

    def _read(self, reading: Reading) -> Observed:
        if reading.place not in self._observed:
            self._observed[reading.place] = self._look(reading.content)
        return self._observed[reading.place]

    def _look(self, content: Mapping[str, Any]) -> Observed:
        same = self._rules.same_system
        return Observed(
            _when(content),
            span(first(content["effectivePeriod"]).get("end")) if "effectivePeriod" in content else None,
            finding(content, self._rules),
            frozenset(codes(content["bodySite"], same)) if "bodySite" in content else _NOWHERE,
            frozenset(codes(content["method"], same)) if "method" in content else _NOWHERE,
            self._specimen(content["specimen"]) if "specimen" in content else None,
        )

    def _specimen(self, reference: object) -> Specimen:
        target = reference_id(reference)
        found = self._specimens.get(target, {})
        stated = [*objects(first(reference).get("identifier")), *objects(found.get("identifier"))]
        stated += objects(found.get("accessionIdentifier"))
        numbers = {text(each.get("system")): text(each.get("value")) for each in stated}
        return Specimen(target, numbers, frozenset(codes(found.get("type"), self._rules.same_system)))


def _worth_comparing(bucket: Bucket) -> bool:
    return several_sources(bucket) or any(each.negative for each in bucket)


def _when(content: Mapping[str, Any]) -> ClinicalSpan | None:
    stated = one_of(content, "effectiveDateTime", "effectiveInstant")
    return span(stated) or span(first(content.get("effectivePeriod")).get("start"))


def _keys(reading: Reading) -> Iterator[Hashable]:
    when = _when(reading.content)
    if when is not None and when.day is not None:
        for code in reading.codes:
            yield when.day, code


def _one_specimen(a: Specimen, b: Specimen, when: Certainty) -> Certainty | None:
    if a.reference and a.reference == b.reference:
        return when
    shared = [(a.numbers[system], b.numbers[system]) for system in a.numbers.keys() & b.numbers.keys() if system]
    if exclude(a.types, b.types) or (shared and all(mine != theirs for mine, theirs in shared)):
        return None
    return when if shared else Certainty.LIKELY
