"""What dose directions say, as far as two of them can be compared (http://hl7.org/fhir/R4/dosage.html)."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

from onestory.record.domain.merge.shape import bare_codes, first, number, objects, text, worded

_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1, "d": 24, "wk": 168, "mo": 730, "a": 8766}
_TIMED = ("dayOfWeek", "timeOfDay", "when")


class Step(NamedTuple):
    """One instruction, in parts that can be compared; what is not said is empty."""

    amounts: frozenset[Hashable]
    often: Hashable
    times: frozenset[str]
    named: frozenset[str]
    as_needed: str


def steps(directions: object) -> list[Step]:
    """How much how often, by structure: one step, or several one after or beside another."""
    found = (_step(each) for each in objects(directions))
    return [step for step in found if any(step)]


def wording(directions: object) -> str | None:
    """The directions in words; None where there are none."""
    words = " ; ".join(filter(None, (worded(each.get("text")) for each in objects(directions))))
    return words or None


def _step(dosage: Mapping[str, Any]) -> Step:
    timing = first(dosage.get("timing"))
    repeat = first(timing.get("repeat"))
    times = frozenset(item for name in _TIMED for item in _strings(repeat.get(name)))
    named = frozenset(bare_codes(timing.get("code")))
    return Step(frozenset(_amounts(dosage)), _daily(repeat), times, named, _as_needed(dosage))


def _as_needed(dosage: Mapping[str, Any]) -> str:
    stated = dosage.get("asNeededBoolean")
    return ("as needed" if stated else "regularly") if isinstance(stated, bool) else ""


def _amounts(dosage: Mapping[str, Any]) -> Iterator[Hashable]:
    for rate in objects(dosage.get("doseAndRate")):
        if "doseQuantity" in rate:
            yield quantity(rate["doseQuantity"])
        if "doseRange" in rate:
            span = first(rate["doseRange"])
            yield quantity(span.get("low")), quantity(span.get("high"))
        if "rateQuantity" in rate:
            yield "rate", quantity(rate["rateQuantity"])


def _daily(repeat: Mapping[str, Any]) -> Hashable:
    """Times a day: twice a day is every twelve hours. What cannot be reckoned is kept as it is."""
    frequency, period = number(repeat.get("frequency")), number(repeat.get("period"))
    unit = text(repeat.get("periodUnit"))
    most = number(repeat.get("frequencyMax"))
    if frequency is None and period is None:
        return None
    try:
        return round((frequency or 1) * 24 / ((period or 1) * _HOURS[unit]), 6), most
    except (KeyError, OverflowError, ZeroDivisionError, ValueError):
        return frequency, period, unit, most


def quantity(value: object) -> tuple[Hashable, ...]:
    """A Quantity: comparator, number and unit (its code, else its words)."""
    found = first(value)
    return (
        text(found.get("comparator")),
        number(found.get("value")),
        text(found.get("code")) or worded(found.get("unit")),
    )


def _strings(value: object) -> Iterator[str]:
    yield from (each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
