"""What an Observation found, in a form in which two can be compared (http://hl7.org/fhir/R4/observation.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from onestory.record.domain.merge.rules import Rules
from onestory.record.domain.merge.shape import Code, codes, first, number, objects, text, worded

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
