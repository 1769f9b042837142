"""What an Observation found, in a form in which two can be compared (http://hl7.org/fhir/R4/observation.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onestory.record.domain.merge.rules import Rules
from onestory.record.domain.merge.shape import Code, codes, first, number, objects, text, worded

_QUANTITIES = ("valueQuantity", "valueRange.low", "valueRange.high", "valueRatio.numerator", "valueRatio.denominator")
_PLAIN = (
    "valueString", "valueBoolean", "valueInteger", "valueTime", "valueDateTime", "valuePeriod.start", "valuePeriod.end",
    "valueSampledData.data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its comparator and what its unit is called, by code and in words."""

    comparator: str
    value: int | float | None
    unit: frozenset[str]

    def is_same(self, other: Quantity) -> bool:
        one_unit = self.unit == other.unit or not self.unit.isdisjoint(other.unit)
        return self.value == other.value and self.comparator == other.comparator and one_unit


@dataclass(frozen=True, slots=True)
class Value:
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


@dataclass(frozen=True, slots=True)
class Finding:
    """A value and the components beside it, each with its codes."""

    value: Value
    components: Sequence[tuple[frozenset[Code], Value]]

    def __bool__(self) -> bool:
        return bool(self.value or self.components)

    def is_same(self, other: Finding) -> bool:
        """Whether the two found the same, in whatever order; nothing is not the same as nothing."""
        if not self or not other or len(self.components) != len(other.components):
            return False
        mine_in_theirs = all(_among(each, other.components) for each in self.components)
        theirs_in_mine = all(_among(each, self.components) for each in other.components)
        return self.value.is_same(other.value) and mine_in_theirs and theirs_in_mine


def finding(content: Mapping[str, Any], rules: Rules) -> Finding:
    parts = objects(content.get("component"))
    components = [(frozenset(codes(part.get("code"), rules.same_system)), _value(part, rules)) for part in parts]
    return Finding(_value(content, rules), components)


def _value(content: Mapping[str, Any], rules: Rules) -> Value:
    quantities = {path: _quantity(found) for path in _QUANTITIES if (found := _at(content, path)) is not None}
    # 1 and True are equal to Python, and not to FHIR.
    plain = {
        path: (type(found).__name__, found) for path in _PLAIN if isinstance(found := _at(content, path), str | int)
    }
    concept = content.get("valueCodeableConcept")
    return Value(quantities, plain, frozenset(codes(concept, rules.same_system)), worded(first(concept).get("text")))


def _at(content: Mapping[str, Any], path: str) -> object:
    element, _, part = path.partition(".")
    return first(content[element]).get(part) if part and element in content else content.get(element)


def _quantity(value: object) -> Quantity:
    found = first(value)
    unit = frozenset(filter(None, (text(found.get("code")).casefold(), worded(found.get("unit")))))
    return Quantity(text(found.get("comparator")), number(found.get("value")), unit)


def _among(component: tuple[frozenset[Code], Value], others: Sequence[tuple[frozenset[Code], Value]]) -> bool:
    found, value = component
    return any(not found.isdisjoint(those) and value.is_same(theirs) for those, theirs in others)
