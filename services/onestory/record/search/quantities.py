"""Quantities and numbers in search, such as `gt5.4|http://unitsofmeasure.org|mg`.

FHIR R4, http://hl7.org/fhir/R4/search.html#quantity and #number. Units are compared by system and code, or by code or
unit. They are not converted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from onestory.shared.errors import Malformed

_COMPARISON = re.compile(
    r"(?P<prefix>[a-z]{2})?(?P<number>[+-]?\d{1,30}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?)", re.ASCII
)
_PREFIXES = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")
_APPROXIMATION = Decimal("0.1")
_LESS, _GREATER = ("<", "<="), (">", ">=")


class Bounds(NamedTuple):
    """The numbers that a value may be. None means open. A single number has equal bounds."""

    low: Decimal | None
    high: Decimal | None


class QuantityComparison(NamedTuple):
    """A value of a quantity or number parameter. `system` and `code` are empty for any unit."""

    prefix: str
    number: Decimal
    system: str = ""
    code: str = ""

    def matches(self, value: Any) -> bool:
        """Whether a number, Quantity or Range of a resource matches."""
        stated = bounds_of(value)
        return stated is not None and self._has_unit(value) and self._matches_number(stated)

    def _has_unit(self, value: Any) -> bool:
        if not self.code and not self.system:
            return True
        return any(self._is_unit(part) for part in _quantities(value))

    def _is_unit(self, quantity: Mapping[str, Any]) -> bool:
        if self.system:
            return quantity.get("system") == self.system and self.code in ("", quantity.get("code"))
        return self.code in (quantity.get("code"), quantity.get("unit"))

    def _matches_number(self, stated: Bounds) -> bool:
        low, high, number = stated.low, stated.high, self.number
        match self.prefix:
            case "gt":
                return high is None or high > number
            case "ge":
                return high is None or high >= number
            case "lt":
                return low is None or low < number
            case "le":
                return low is None or low <= number
            case "sa":
                return low is not None and low > number
            case "eb":
                return high is not None and high < number
            case "ne":
                return not self._contains(stated)
            case "ap":
                margin = abs(number) * _APPROXIMATION
                return (high is None or high >= number - margin) and (low is None or low <= number + margin)
            case _:
                return self._contains(stated)

    def _contains(self, stated: Bounds) -> bool:
        # The number stands for all that round to it: 5.4 for 5.35 up to, but not including, 5.45.
        half = Decimal(5).scaleb(int(self.number.as_tuple().exponent) - 1)
        if stated.low is None or stated.high is None:
            return False
        return stated.low >= self.number - half and stated.high < self.number + half


def parse_quantity(parts: list[str], parameter: str) -> QuantityComparison:
    """The comparison in `[prefix][number]` or `[prefix][number]|[system]|[code]`. Raises `Malformed`."""
    if len(parts) not in (1, 3):
        raise Malformed(
            f"{parameter}: the value is not a quantity. Send a number, number|system|code or number||code.",
            code="value",
        )
    compared = parse_number(parts[0], parameter)
    return compared._replace(system=parts[1], code=parts[2]) if len(parts) == 3 else compared


def parse_number(text: str, parameter: str) -> QuantityComparison:
    """The comparison in `[prefix][number]`. Raises `Malformed`."""
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise Malformed(f"{parameter}: the value is not a number. Send one, such as 5.4 or ge5.4.", code="value")
    if (match["prefix"] or "eq") not in _PREFIXES:
        raise Malformed(
            f"{parameter}: this prefix is not supported. Send one of {', '.join(_PREFIXES)}, or none.",
            code="not-supported",
        )
    return QuantityComparison(match["prefix"] or "eq", Decimal(match["number"]))


def bounds_of(value: Any) -> Bounds | None:
    """The bounds of a number, a Quantity with its comparator, or a Range. None for any other value."""
    if isinstance(value, dict) and ("low" in value or "high" in value):
        low, high = (_number(_object(value.get(name)).get("value")) for name in ("low", "high"))
        return Bounds(low, high) if low is not None or high is not None else None
    quantity = _object(value)
    number = _number(quantity.get("value")) if quantity else _number(value)
    if number is None:
        return None
    comparator = quantity.get("comparator")
    return Bounds(None if comparator in _LESS else number, None if comparator in _GREATER else number)


def sort_text(value: Any) -> str | None:
    """A text that sorts as the number of a value does. None for a value without a number."""
    bounds = bounds_of(value)
    number = (bounds.high if bounds.low is None else bounds.low) if bounds else None
    if number is None:
        return None
    # The bits of a double sort as the number does, if the sign bit is flipped, and all bits of a negative number.
    (bits,) = struct.unpack(">Q", struct.pack(">d", float(number)))
    return f"{bits ^ ((1 << 64) - 1 if bits >> 63 else 1 << 63):016x}"


def _quantities(value: Any) -> list[Mapping[str, Any]]:
    quantity = _object(value)
    limits = [_object(quantity.get(name)) for name in ("low", "high") if name in quantity]
    return limits or [quantity]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> Decimal | None:
    # A number of JSON. The shortest text of a float is the text that was sent.
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None
