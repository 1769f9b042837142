"""Writes the values of a resource as text: quantities, ranges, periods, results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.record.summary import dates as summary_dates
from onestory.record.summary.notation import unit_words
from onestory.shared.fhir.json import concept_text, number_text, objects_at, text_at

COMPARATORS = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}
"""The comparators of a Quantity, in words."""


def quantity_text(value: Any) -> str:
    """A Quantity as text, such as `< 5.00 mmol/L`; "" for anything else."""
    if not isinstance(value, Mapping):
        return ""
    number = number_text(value.get("value"))
    # A zero at the end tells how exactly a result was measured; a missing one before the point is misread.
    number = f"0{number}" if number.startswith(".") else number
    unit = unit_words(text_at(value, "unit") or text_at(value, "code"), number)
    parts = [text_at(value, "comparator"), number, unit]
    return " ".join(part for part in parts if part)


def value_text(content: Mapping[str, Any]) -> str:
    """The value of an Observation and its components as text; "" if it has none."""
    components = [_component(part) for part in objects_at(content, "component")]
    return "; ".join(part for part in [_value(content), *components] if part)


def has_value(content: Mapping[str, Any]) -> bool:
    """Whether an Observation states a value of any type, or a component."""
    return "component" in content or any(name.startswith("value") for name in content)


def range_text(span: Mapping[str, Any]) -> str:
    """A Range or a reference range as text, such as `60 mL/min or more`; "" if it has no limit."""
    return between(quantity_text(span.get("low")), quantity_text(span.get("high")))


def between(low: str, high: str) -> str:
    """Two limits as text; "" if there is none."""
    if low and high:
        return f"{low} to {high}"
    return f"{low} or more" if low else f"{high} or less" if high else ""


def period_text(period: Any) -> str:
    """A Period as text."""
    start, end = text_at(period, "start"), text_at(period, "end")
    words = [f"from {summary_dates.shown(start)}" if start else "", f"until {summary_dates.shown(end)}" if end else ""]
    return " ".join(word for word in words if word)


def _value(content: Mapping[str, Any]) -> str:
    for name, found in content.items():
        if name.startswith("value") and name != "value":
            # A text may look like a date without being one.
            return found if name == "valueString" and isinstance(found, str) else value_as_text(found)
    absent = concept_text(content.get("dataAbsentReason"))
    return f"no value: {absent}" if absent else ""


def value_as_text(found: Any) -> str:
    """A value of any FHIR type as text."""
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, str):
        return summary_dates.shown(found)
    if isinstance(found, int | float):
        return number_text(found)
    if not isinstance(found, Mapping):
        return ""
    if "low" in found or "high" in found:
        return range_text(found)
    if "numerator" in found or "denominator" in found:
        parts = (quantity_text(found.get("numerator")), quantity_text(found.get("denominator")))
        return " / ".join(part for part in parts if part)
    return concept_text(found) or quantity_text(found) or period_text(found) or "(see the resource for this value)"


def _component(part: Mapping[str, Any]) -> str:
    return f"{concept_text(part.get('code'))}: {_value(part)}".strip(": ")
