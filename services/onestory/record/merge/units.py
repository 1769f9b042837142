"""Compares quantities whose units measure the same thing: 8.1 g/dL is 81 g/L. The units are `schemas/merge/units.yaml`.

Two quantities are the same when they are equal, or when one is the other rounded or converted: at most half a unit of
the last place of the less exact one apart, and not more than a small share of the value.

Measurements without a code are known by their names: `schemas/merge/result-names.yaml`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.clinical_data import clinical_table, read_clinical_data
from onestory.record.merge.values import worded
from onestory.record.text_cache import MAX_READ_LENGTH, cache_texts
from onestory.shared.fhir.json import Code
from onestory.shared.fhir.resource import CodedConcept, concept_at, read_once

_SNOMED = "http://snomed.info/sct"
NEAR = 0.005
"""The greatest difference between two roundings of one value, as a share of it."""
CONVERTED = 0.015
"""The same for two values that were converted."""
_CELL = 0.0075


class UnitConversion(NamedTuple):
    """A value times `factor`, with `plus` added, is a value of `scale`."""

    scale: str
    factor: float
    plus: float


class Units(NamedTuple):
    """The units by name in lower case, and for a code the conversions of one scale to another."""

    units: Mapping[str, UnitConversion]
    measurements: Mapping[Code, Mapping[str, UnitConversion]]
    not_usual: frozenset[str]

    def knows(self, name: str) -> bool:
        """Whether this name of a unit stands in a list."""
        return name in self.units

    def are_usual(self, names: Collection[str], codes: Collection[Code]) -> bool:
        """Whether a reader in the UK expects these names of a unit for a measurement with these codes."""
        if not self.not_usual.isdisjoint(names):
            return False
        scales = {self.units[name].scale for name in names if name in self.units}
        return not any(scales & self.measurements.get(code, {}).keys() for code in codes)

    def measure(self, value: float, names: Collection[str], codes: Collection[Code]) -> ScaledValue | None:
        """The value on the scale of its unit; None for a unit in no list. `codes` are those of the measurement."""
        found = next((self.units[name] for name in sorted(names) if name in self.units), None)
        if found is None:
            return None
        exact, half = value * found.factor + found.plus, _half_place(value) * found.factor
        scale, converted = found.scale, found.factor != 1
        for code in codes:
            further = self.measurements.get(code, {}).get(scale)
            if further:
                exact, half = exact * further.factor + further.plus, half * further.factor
                scale, converted = further.scale, True
                break
        return ScaledValue(scale, exact, half, converted)


class ScaledValue(NamedTuple):
    """A value on a scale. `half` is half a unit of its last written place; `converted`: it was written otherwise."""

    scale: str
    value: float
    half: float
    converted: bool

    def cells(self) -> Iterator[str]:
        """Yields cells such that two measures that are near share one."""
        size = abs(self.value)
        # The less exact of two values reaches the other one.
        yield from cells(self.value, min(CONVERTED, self.half / size if size else 0) + 1e-6)

    def is_near(self, other: ScaledValue) -> bool:
        """Whether both are one value, rounded or converted."""
        if self.scale != other.scale:
            return False
        share = CONVERTED if self.converted is not other.converted else NEAR
        apart, size = abs(self.value - other.value), max(abs(self.value), abs(other.value))
        # The tiny addend absorbs errors of binary fractions.
        return apart <= min(max(self.half, other.half), share * size) + 1e-9 * size


def units_of(table: Mapping[str, Any]) -> Units:
    """The units of the data file. Raises `KeyError` or `TypeError` if something is missing."""
    units = {
        name: _conversion(scale, each) for scale, listed in table["scales"].items() for name, each in listed.items()
    }
    measurements: dict[Code, dict[str, UnitConversion]] = {}
    for each in table["measurements"]:
        for written in each["codes"]:
            system, bar, code = written.rpartition("|")
            of_code = measurements.setdefault((system if bar else _SNOMED, code), {})
            of_code[each["from"]] = _conversion(each["to"], each)
        measurements.setdefault(named(each["of"]), {})[each["from"]] = _conversion(each["to"], each)
    return Units(units, measurements, frozenset(table["not-usual"]))


def cells(value: float, reach: float) -> Iterator[str]:
    """Yields cells such that two values share one if they differ by no more than the reach of one of them."""
    if not value:
        yield "zero"
        return
    size, sign = math.log(abs(value)), "+" if value > 0 else "-"
    for cell in range(math.floor((size - reach) / _CELL), math.floor((size + reach) / _CELL) + 1):
        yield f"{sign}{cell}"


def _conversion(scale: str, written: Mapping[str, Any]) -> UnitConversion:
    return UnitConversion(scale, float(written["factor"]), float(written.get("plus", 0)))


def _half_place(value: float) -> float:
    written = repr(value)
    if "e" in written or "." not in written:
        return 0.5 if isinstance(value, int) else 0.0
    decimals = written.partition(".")[2]
    return 0.5 if decimals == "0" else 0.5 / 10 ** len(decimals)


def named(measurement: str) -> Code:
    """The code that stands for the name of a measurement. No code system of a source is empty."""
    return ("", measurement)


class _ResultNames(NamedTuple):
    measurements: Mapping[str, str]
    ignored: re.Pattern[str]


@clinical_table
def _result_names() -> _ResultNames:
    table = read_clinical_data("merge/result-names")
    ignored = sorted(table["ignored"], key=len, reverse=True)
    return _ResultNames(
        {name: kind for kind, names in table["names"].items() for name in names},
        re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ignored))})(?!\w)"),
    )


@cache_texts(8192, read=MAX_READ_LENGTH)
def measurement_named(name: str) -> str:
    """The measurement that a name stands for; "" if it is in no list."""
    names, letters = _result_names(), worded(name)
    return names.measurements.get(letters) or names.measurements.get(worded(names.ignored.sub(" ", letters)), "")


def code_by_name(content: Mapping[str, Any]) -> Code | None:
    """The measurement that a resource names, else its own name; None if it has no name."""
    return _code_by_name(concept_at(content, "code"))


@read_once
def _code_by_name(concept: CodedConcept) -> Code | None:
    names = concept.names
    known = next(filter(None, map(measurement_named, names)), "") or next(filter(None, map(worded, names)), "")
    return named(known) if known else None
