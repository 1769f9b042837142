"""Reads what an Observation found: its value and its components, in a form that can be compared.

See http://hl7.org/fhir/R4/observation.html. Quantities are compared by `units`, coded values by their codes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from onestory.record.merge.model import Certainty
from onestory.record.merge.rules import MergeRules
from onestory.record.merge.units import CONVERTED, ScaledValue, cells
from onestory.record.merge.values import codes, number, worded
from onestory.shared.fhir.json import Code, first_object, objects, text

_QUANTITIES = {
    "valueQuantity": ("",),
    "valueRange": ("low", "high"),
    "valueRatio": ("numerator", "denominator"),
}
_PLAIN = {"valuePeriod": ("start", "end"), "valueSampledData": ("data",)}
# Components are compared pair by pair up to this number. More, which no panel has, must be equal as written.
_MOST_COMPONENTS = 50
# Components whose values are part of a key.
_KEYED_COMPONENTS = 4
# Greater numbers, which no measurement gives, are compared as written.
_MOST = 1e100


class Quantity(NamedTuple):
    """A number with its comparator, the names of its unit (code and text), and its measure if the unit is known.

    `has_other_name`: the unit also has a name that is not known.
    """

    comparator: str
    value: int | float | None
    unit: frozenset[str]
    measure: ScaledValue | None
    has_other_name: bool

    def match(self, other: Quantity) -> Certainty | None:
        """`EXACT`: equal values whose units share a name; `LIKELY`: one of them was rounded or converted."""
        if self.comparator != other.comparator:
            return None
        if self.value == other.value and (self.unit == other.unit or not self.unit.isdisjoint(other.unit)):
            return Certainty.EXACT
        near = self.measure is not None and other.measure is not None and self.measure.is_near(other.measure)
        return Certainty.LIKELY if near else None

    def bucket_keys(self) -> Iterator[Hashable]:
        """Yields keys such that two quantities that match share at least one."""
        if self.measure:
            yield from self.measure.cells()
        if not self.measure or self.has_other_name:
            yield self.value


class Value(NamedTuple):
    """The value of an Observation or component, whatever its type; each part is keyed by element name."""

    quantities: Mapping[str, Quantity]
    plain: Mapping[str, object]
    codes: frozenset[Code]
    words: str

    def __bool__(self) -> bool:
        return bool(self.quantities or self.plain or self.codes or self.words)

    def match(self, other: Value) -> Certainty | None:
        """How certainly both are the same value; coded values need one code in common."""
        if self.plain != other.plain or self.quantities.keys() != other.quantities.keys():
            return None
        if self.codes or other.codes:
            return None if self.codes.isdisjoint(other.codes) else Certainty.EXACT
        if self.words != other.words:
            return None
        return least(mine.match(other.quantities[name]) for name, mine in self.quantities.items())


class Finding(NamedTuple):
    """The value of an Observation and its components, each with its codes."""

    value: Value
    components: Sequence[tuple[frozenset[Code], Value]]

    def __bool__(self) -> bool:
        return bool(self.value or self.components)

    def match(self, other: Finding) -> Certainty | None:
        """How certainly both hold the same values, in any order of components. Two empty findings are not the same."""
        if not self or not other or len(self.components) != len(other.components):
            return None
        if len(self.components) > _MOST_COMPONENTS:
            return Certainty.EXACT if self == other else None
        return least(
            (
                self.value.match(other.value),
                *(_match_in(each, other.components) for each in self.components),
                *(_match_in(each, self.components) for each in other.components),
            )
        )

    def bucket_keys(self) -> Iterator[Hashable]:
        """Yields keys such that two findings that match share at least one. An empty finding has none."""
        if self.components:
            yield from self._keys_of_components()
        elif self.value.codes:
            yield from self.value.codes
        elif first := next(iter(self.value.quantities.values()), None):
            yield from first.bucket_keys()
        elif self.value:
            yield self.value.words, *sorted(self.value.plain.items(), key=str)

    def _keys_of_components(self) -> Iterator[Hashable]:
        measures = [each.measure for _, value in self.components for each in value.quantities.values()]
        known = sorted(abs(each.value) for each in measures if each)
        count = len(self.components)
        if known and len(known) == count <= _KEYED_COMPONENTS:
            ends = [list(cells(size, 1.01 * CONVERTED)) for size in (known[0], known[-1])]
            yield from product([count], *ends)
        else:
            yield count


def least(matches: Iterator[Certainty | None] | Sequence[Certainty | None]) -> Certainty | None:
    """The least certain of these; None if one is None."""
    found = Certainty.EXACT
    for each in matches:
        if each is None:
            return None
        found = Certainty.LIKELY if each is Certainty.LIKELY else found
    return found


def finding_of(content: Mapping[str, Any], own_codes: Collection[Code], rules: MergeRules) -> Finding:
    """The value and components that an Observation states. `own_codes` are the codes of the Observation."""
    components = []
    for part in objects(content["component"]) if "component" in content else ():
        part_codes = frozenset(codes(part.get("code"), rules.system_aliases))
        components.append((part_codes, _value(part, part_codes, rules)))
    return Finding(_value(content, own_codes, rules), components)


def _value(content: Mapping[str, Any], own_codes: Collection[Code], rules: MergeRules) -> Value:
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
            for part in _QUANTITIES[name]:
                quantities[name + part] = _quantity(first_object(value).get(part) if part else value, own_codes, rules)
        elif name == "valueString" and (written := _quantity_in_words(value, rules)):
            quantities["valueQuantity"] = _quantity(written, own_codes, rules)
        elif name == "valueCodeableConcept":
            found, words = frozenset(codes(value, rules.system_aliases)), worded(first_object(value).get("text"))
        else:
            parts = {part: first_object(value).get(part) for part in _PLAIN[name]} if name in _PLAIN else {"": value}
            # Python treats 1 and True as equal; FHIR does not.
            plain |= {
                name + part: (type(each).__name__, each) for part, each in parts.items() if isinstance(each, str | int)
            }
    return Value(quantities, plain, found, words)


_IN_WORDS = re.compile(r"\s*([<>]=?)?\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(\S{0,20})\s*")


def _quantity_in_words(value: object, rules: MergeRules) -> Mapping[str, Any] | None:
    """The Quantity that a text such as `4.1 mmol/L` states; None for any other text, or a unit in no list."""
    found = _IN_WORDS.fullmatch(value) if isinstance(value, str) and len(value) < 60 else None
    if found is None or (found[3] and not rules.units.knows(worded(found[3]))):
        return None
    amount = float(found[2]) if "." in found[2] else int(found[2])
    return {
        "value": amount,
        **({"unit": found[3]} if found[3] else {}),
        **({"comparator": found[1]} if found[1] else {}),
    }


_NO_VALUE = Value({}, {}, frozenset(), "")


def _quantity(value: object, own_codes: Collection[Code], rules: MergeRules) -> Quantity:
    found = first_object(value)
    unit = frozenset([each for each in (text(found.get("code")).casefold(), worded(found.get("unit"))) if each])
    amount = number(found.get("value"))
    measurable = amount is not None and abs(amount) < _MOST
    measure = rules.units.measure(amount, unit, own_codes) if measurable and amount is not None else None
    has_other_name = any(not rules.units.knows(name) for name in unit)
    return Quantity(text(found.get("comparator")), amount, unit, measure, has_other_name)


def _match_in(
    component: tuple[frozenset[Code], Value], others: Sequence[tuple[frozenset[Code], Value]]
) -> Certainty | None:
    own_codes, value = component
    found = [value.match(other) for codes, other in others if not own_codes.isdisjoint(codes)]
    return Certainty.EXACT if Certainty.EXACT in found else Certainty.LIKELY if Certainty.LIKELY in found else None
