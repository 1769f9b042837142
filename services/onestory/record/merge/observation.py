"""Merges Observations: one fact for one measurement. Rule `same-observation`.

Code, time, value with unit, and components must be the same. Body site, method and specimen must not differ where both
state them. A date without a time matches a time on that day with `likely` certainty. An Observation without a value
matches nothing. See http://hl7.org/fhir/R4/observation.html.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.merge.conflicts import conflict, negation_conflict
from onestory.record.merge.model import Certainty, FactConflict
from onestory.record.merge.pairs import Bucket, Clusters, buckets, has_several_sources, joinable_pairs
from onestory.record.merge.reading import Reading, first_present
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.values import ClinicalSpan, codes, exclude, number, reference_id, span, worded
from onestory.shared.fhir.json import Code, first_object, objects, text

RULE = "same-observation"
_NOT_DONE = "One says that this was observed, another that it was not."
_VALUE = "The values differ."
_NO_CODES: frozenset[Code] = frozenset()

_QUANTITIES = {
    "valueQuantity": ("",),
    "valueRange": ("low", "high"),
    "valueRatio": ("numerator", "denominator"),
}
_PLAIN = {"valuePeriod": ("start", "end"), "valueSampledData": ("data",)}


# Components are compared pair by pair up to this number. More, which no panel has, must be equal as written.
_MOST_COMPONENTS = 50


class Quantity(NamedTuple):
    """A number with its comparator, and the names of its unit (code and text)."""

    comparator: str
    value: int | float | None
    unit: frozenset[str]

    def is_same(self, other: Quantity) -> bool:
        """Whether value and comparator are equal, and the units share a name."""
        one_unit = self.unit == other.unit or not self.unit.isdisjoint(other.unit)
        return self.value == other.value and self.comparator == other.comparator and one_unit


class Value(NamedTuple):
    """The value of an Observation or component, whatever its type; each part is keyed by element name."""

    quantities: Mapping[str, Quantity]
    plain: Mapping[str, object]
    codes: frozenset[Code]
    words: str

    def __bool__(self) -> bool:
        return bool(self.quantities or self.plain or self.codes or self.words)

    def is_same(self, other: Value) -> bool:
        """Whether both are the same value; coded values need one code in common."""
        if self.plain != other.plain or self.quantities.keys() != other.quantities.keys():
            return False
        if self.codes or other.codes:
            return not self.codes.isdisjoint(other.codes)
        alike = all(mine.is_same(other.quantities[name]) for name, mine in self.quantities.items())
        return alike and self.words == other.words


class Finding(NamedTuple):
    """The value of an Observation and its components, each with its codes."""

    value: Value
    components: Sequence[tuple[frozenset[Code], Value]]

    def __bool__(self) -> bool:
        return bool(self.value or self.components)

    def is_same(self, other: Finding) -> bool:
        """Whether both hold the same values, in any order of components. Two empty findings are not the same."""
        if not self or not other or len(self.components) != len(other.components):
            return False
        if len(self.components) > _MOST_COMPONENTS:
            return self == other
        mine_in_theirs = all(_is_in(each, other.components) for each in self.components)
        theirs_in_mine = all(_is_in(each, self.components) for each in other.components)
        return self.value.is_same(other.value) and mine_in_theirs and theirs_in_mine


def finding_of(content: Mapping[str, Any], rules: MergeRules) -> Finding:
    """The value and components that an Observation states."""
    parts = objects(content["component"]) if "component" in content else ()
    components = [(frozenset(codes(part.get("code"), rules.system_aliases)), _value(part, rules)) for part in parts]
    return Finding(_value(content, rules), components)


def _value(content: Mapping[str, Any], rules: MergeRules) -> Value:
    stated = [name for name in content if name.startswith("value")]
    if not stated:
        return _NO_VALUE
    quantities: dict[str, Quantity] = {}
    plain: dict[str, object] = {}
    found: frozenset[Code] = frozenset()
    words = ""
    for name in stated:
        value = content[name]
        if name in _QUANTITIES:
            quantities |= {
                name + part: _quantity(first_object(value).get(part) if part else value) for part in _QUANTITIES[name]
            }
        elif name == "valueCodeableConcept":
            found, words = frozenset(codes(value, rules.system_aliases)), worded(first_object(value).get("text"))
        else:
            parts = {part: first_object(value).get(part) for part in _PLAIN[name]} if name in _PLAIN else {"": value}
            # Python treats 1 and True as equal; FHIR does not.
            plain |= {
                name + part: (type(each).__name__, each) for part, each in parts.items() if isinstance(each, str | int)
            }
    return Value(quantities, plain, found, words)


_NO_VALUE = Value({}, {}, frozenset(), "")


def _quantity(value: object) -> Quantity:
    found = first_object(value)
    unit = frozenset([each for each in (text(found.get("code")).casefold(), worded(found.get("unit"))) if each])
    return Quantity(text(found.get("comparator")), number(found.get("value")), unit)


def _is_in(component: tuple[frozenset[Code], Value], others: Sequence[tuple[frozenset[Code], Value]]) -> bool:
    own_codes, value = component
    return any(not own_codes.isdisjoint(codes) and value.is_same(other) for codes, other in others)


class Specimen(NamedTuple):
    """The specimen of an observation; `numbers` are its identifiers, keyed by system."""

    reference: str
    numbers: Mapping[str, str]
    types: frozenset[Code]


class Observed(NamedTuple):
    """The values of an Observation that are compared. `until` is the end of an effectivePeriod."""

    when: ClinicalSpan | None
    until: ClinicalSpan | None
    finding: Finding
    site: frozenset[Code]
    method: frozenset[Code]
    specimen: Specimen | None


class Observations:
    """Joins the Observations of one person, and finds their conflicts. They may refer to the given Specimens."""

    def __init__(self, readings: Sequence[Reading], specimens: Sequence[Reading], rules: MergeRules) -> None:
        self._readings = [each for each in readings if each.comparable]
        self._specimens = {each.statement.shared_id: each.content for each in specimens}
        self._rules = rules
        self._observed: dict[int, Observed] = {}
        of_code = buckets(self._readings, lambda each: each.codes).values()
        compared = {each.ordinal: each for bucket in of_code if _worth_comparing(bucket) for each in bucket}
        self._buckets = list(buckets([compared[ordinal] for ordinal in sorted(compared)], _keys).values())

    def join(self, clusters: Clusters) -> None:
        """Joins observations of one measurement."""
        for one, other in joinable_pairs(self._buckets, clusters):
            if certainty := self._join_certainty(one, other):
                clusters.join(one.ordinal, other.ordinal, RULE, certainty)

    def conflicts(self, clusters: Clusters) -> Iterator[FactConflict]:
        """Yields conflicts between observed and not observed, and between values of one fact."""
        for bucket in self._buckets:
            yield from negation_conflict(_NOT_DONE, bucket, self._at_one_time)
        for group in clusters.joined_groups(self._readings):
            # Statements that only this rule joined have equal values.
            if all(join.rule == RULE for join in clusters.joins[clusters.root(group[0].ordinal)]):
                continue
            by_value = self._by_value(group)
            if len(by_value) > 1:
                yield conflict("value", _VALUE, *by_value)

    def _at_one_time(self, one: Reading, other: Reading) -> bool:
        return self._certainty_of_time(one, other) is not None

    def _join_certainty(self, one: Reading, other: Reading) -> Certainty | None:
        when = self._certainty_of_time(one, other)
        if when is None:
            return None
        a, b = self._compared(one), self._compared(other)
        if exclude(a.site, b.site) or exclude(a.method, b.method) or not a.finding.is_same(b.finding):
            return None
        if a.site != b.site or (a.specimen is None) is not (b.specimen is None):
            when = Certainty.LIKELY
        if a.specimen and b.specimen:
            return _specimen_certainty(a.specimen, b.specimen, when)
        return when

    def _certainty_of_time(self, one: Reading, other: Reading) -> Certainty | None:
        """How certain it is that both were made at one time; None if they were not."""
        a, b = self._compared(one), self._compared(other)
        if a.when is None or b.when is None or (a.until is None) is not (b.until is None):
            return None
        if a.until and b.until and not a.until.overlaps(b.until):
            return None
        if not a.when.overlaps(b.when):
            return None
        return Certainty.EXACT if a.when.moment and b.when.moment else Certainty.LIKELY

    def _by_value(self, group: Bucket) -> list[Bucket]:
        """The statements that have a value, grouped by it."""
        by_value: list[Bucket] = []
        for reading in group:
            finding = self._compared(reading).finding
            if not finding:
                continue
            same = next((other for other in by_value if self._compared(other[0]).finding.is_same(finding)), None)
            if same is None:
                by_value.append([reading])
            else:
                same.append(reading)
        return by_value

    def _compared(self, reading: Reading) -> Observed:
        if reading.ordinal not in self._observed:
            self._observed[reading.ordinal] = self._parse(reading.content)
        return self._observed[reading.ordinal]

    def _parse(self, content: Mapping[str, Any]) -> Observed:
        aliases = self._rules.system_aliases
        return Observed(
            _effective_start(content),
            span(first_object(content["effectivePeriod"]).get("end")) if "effectivePeriod" in content else None,
            finding_of(content, self._rules),
            frozenset(codes(content["bodySite"], aliases)) if "bodySite" in content else _NO_CODES,
            frozenset(codes(content["method"], aliases)) if "method" in content else _NO_CODES,
            self._specimen(content["specimen"]) if "specimen" in content else None,
        )

    def _specimen(self, reference: object) -> Specimen:
        target = reference_id(reference)
        found = self._specimens.get(target, {})
        stated = [*objects(first_object(reference).get("identifier")), *objects(found.get("identifier"))]
        stated += objects(found.get("accessionIdentifier"))
        numbers = {text(each.get("system")): text(each.get("value")) for each in stated}
        return Specimen(target, numbers, frozenset(codes(found.get("type"), self._rules.system_aliases)))


def _worth_comparing(bucket: Bucket) -> bool:
    return has_several_sources(bucket) or any(each.negative for each in bucket)


def _effective_start(content: Mapping[str, Any]) -> ClinicalSpan | None:
    stated = first_present(content, "effectiveDateTime", "effectiveInstant")
    return span(stated) or span(first_object(content.get("effectivePeriod")).get("start"))


def _keys(reading: Reading) -> Iterator[Hashable]:
    when = _effective_start(reading.content)
    if when is not None and when.day is not None:
        for code in reading.codes:
            yield when.day, code


def _specimen_certainty(a: Specimen, b: Specimen, when: Certainty) -> Certainty | None:
    if a.reference and a.reference == b.reference:
        return when
    shared = [(a.numbers[system], b.numbers[system]) for system in a.numbers.keys() & b.numbers.keys() if system]
    if exclude(a.types, b.types) or (shared and all(mine != theirs for mine, theirs in shared)):
        return None
    return when if shared else Certainty.LIKELY
