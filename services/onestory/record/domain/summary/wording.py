"""What a resource says, in the words of its source: names, doses, values, dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.domain.summary import moments
from onestory.record.domain.summary.plain import all_named, each, first, named, number, objects

_NAMES = ("code", "medicationCodeableConcept", "vaccineCode", "type", "category", "description")
_STATUSES = ("clinicalStatus", "verificationStatus")
_UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}


def name_of(content: Mapping[str, Any]) -> str:
    """What it is about; never empty."""
    found = next((name for element in _NAMES if element in content for name in all_named(content, element)), "")
    return found or first(content, "title") or first(content, "description") or "(not named by its source)"


def own_name(content: Mapping[str, Any]) -> str:
    """What its source calls it; empty where only something else names it, as a Medication does."""
    return next((name for element in _NAMES[:3] if (name := named(content.get(element)))), "")


def status_of(content: Mapping[str, Any]) -> str:
    """Its statuses as its source gives them, such as `active, confirmed`."""
    coded = [found for element in _STATUSES if (found := _status(content.get(element)))]
    plain = [first(content, "status")] if first(content, "status") else []
    negative = ["not to be given"] if content.get("doNotPerform") is True else []
    return ", ".join([*negative, *plain, *coded])


def in_brief(content: Mapping[str, Any]) -> str:
    """A statement in a few words, to stand beside what contradicts it."""
    parts = [name_of(content), status_of(content), *doses(content), value_of(content), first(content, "description")]
    return ", ".join(part for part in parts if part)


def notes(content: Mapping[str, Any]) -> list[str]:
    """The free text of a source."""
    return [found for found in each(content, "note", "text") if isinstance(found, str)]


def doses(content: Mapping[str, Any]) -> list[str]:
    """The dosage instructions of a request or statement."""
    found = [_dose(dosage) for name in ("dosageInstruction", "dosage") for dosage in objects(content, name)]
    return [dose for dose in found if dose]


def quantity(value: Any) -> str:
    """A Quantity, such as `< 5.00 mmol/L`."""
    if not isinstance(value, Mapping):
        return ""
    parts = [first(value, "comparator"), number(value.get("value")), first(value, "unit") or first(value, "code")]
    return " ".join(part for part in parts if part)


def value_of(content: Mapping[str, Any]) -> str:
    """The value of an Observation with its components; empty where it has none."""
    components = [_component(part) for part in objects(content, "component")]
    return "; ".join(part for part in [_value(content), *components] if part)


def dated(content: Mapping[str, Any], element: str) -> str:
    """A choice such as `onset[x]` in words, whichever of its types it has."""
    return "; ".join(_dated(content, element))


def _dated(content: Mapping[str, Any], element: str) -> Iterator[str]:
    for name in ("DateTime", "Date", "String", "Instant"):
        if found := first(content, f"{element}{name}"):
            yield moments.shown(found)
    for period in objects(content, f"{element}Period"):
        yield period_of(period)
    for age in objects(content, f"{element}Age"):
        yield f"at age {quantity(age)}"
    for span in objects(content, f"{element}Range"):
        yield f"{quantity(span.get('low'))} to {quantity(span.get('high'))}"


def period_of(period: Any) -> str:
    """A Period in words."""
    start, end = first(period, "start"), first(period, "end")
    words = [f"from {moments.shown(start)}" if start else "", f"until {moments.shown(end)}" if end else ""]
    return " ".join(word for word in words if word)


def _status(concept: Any) -> str:
    return first(concept, "coding", "code") or named(concept)


def _value(content: Mapping[str, Any]) -> str:
    for name, found in content.items():
        if name.startswith("value") and name != "value":
            return _value_as_text(found)
    absent = named(content.get("dataAbsentReason"))
    return f"no value: {absent}" if absent else ""


def _value_as_text(found: Any) -> str:
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, str):
        return moments.shown(found)
    if isinstance(found, int | float):
        return number(found)
    if not isinstance(found, Mapping):
        return ""
    for one, other, between in (("low", "high", " to "), ("numerator", "denominator", " / ")):
        if one in found or other in found:
            return between.join(part for part in (quantity(found.get(one)), quantity(found.get(other))) if part)
    return named(found) or quantity(found) or period_of(found) or "(a value that only its resource shows)"


def _component(part: Mapping[str, Any]) -> str:
    return f"{named(part.get('code'))}: {_value(part)}".strip(": ")


def _dose(dosage: Mapping[str, Any]) -> str:
    written = first(dosage, "text") or first(dosage, "patientInstruction")
    if written:
        return written
    amounts = [quantity(each) for each in objects(dosage, "doseAndRate", "doseQuantity")]
    ranges = [
        f"{quantity(each.get('low'))} to {quantity(each.get('high'))}"
        for each in objects(dosage, "doseAndRate", "doseRange")
    ]
    often = [_often(each) for each in objects(dosage, "timing", "repeat")]
    needed = ["as needed"] if dosage.get("asNeededBoolean") is True else all_named(dosage, "asNeededCodeableConcept")
    parts = [*amounts, *ranges, *all_named(dosage, "timing", "code"), *often, *all_named(dosage, "route"), *needed]
    return ", ".join(part for part in parts if part)


def _often(repeat: Mapping[str, Any]) -> str:
    times, period, unit = number(repeat.get("frequency")), number(repeat.get("period")), first(repeat, "periodUnit")
    if not (times and period and unit):
        return ""
    named_unit = _UNITS.get(unit, unit)
    every = (
        f"{'an' if named_unit == 'hour' else 'a'} {named_unit}" if period == "1" else f"every {period} {named_unit}s"
    )
    return f"{'once' if times == '1' else f'{times} times'} {every}"
