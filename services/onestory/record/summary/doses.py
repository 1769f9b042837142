"""Writes dosage instructions and timings as text (http://hl7.org/fhir/R4/dosage.html)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.summary import dates as summary_dates
from onestory.record.summary.dates import events
from onestory.record.summary.values import period_text, quantity_text, value_as_text
from onestory.shared.fhir.json import concept_texts, number_text, objects_at, text_at, values_at

UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
"""UCUM units of time, as words."""
_WHEN = {
    "MORN": "in the morning",
    "NOON": "at noon",
    "AFT": "in the afternoon",
    "EVE": "in the evening",
    "NIGHT": "at night",
    "HS": "before sleep",
    "WAKE": "on waking",
    "C": "with meals",
    "AC": "before meals",
    "PC": "after meals",
}


def doses(content: Mapping[str, Any]) -> list[str]:
    """The dosage instructions of a request or statement, as text."""
    found = [_dose(dosage) for name in ("dosageInstruction", "dosage") for dosage in objects_at(content, name)]
    return [dose for dose in found if dose]


def _dose(dosage: Mapping[str, Any]) -> str:
    """A dose in the source's words, with its coded elements: "as directed" must not replace a coded dose."""
    texts = (text_at(dosage, "text"), text_at(dosage, "patientInstruction"))
    written = "; ".join(dict.fromkeys(part for part in texts if part))
    coded = ", ".join(part for part in _coded_dose(dosage) if part)
    if not (written and coded):
        return written or coded
    return written if coded.casefold() in written.casefold() else f"{written} (as coded: {coded})"


def _coded_dose(dosage: Mapping[str, Any]) -> Iterator[str]:
    for amount in objects_at(dosage, "doseAndRate"):
        for name in ("doseQuantity", "doseRange", "rateQuantity", "rateRange", "rateRatio"):
            yield value_as_text(amount.get(name))
    for timing in objects_at(dosage, "timing"):
        # The next event is read first.
        yield ", ".join(f"on {summary_dates.shown(event)}" for event in reversed(events(timing)))
    yield from concept_texts(dosage, "timing", "code")
    for repeat in objects_at(dosage, "timing", "repeat"):
        yield from _timing(repeat)
    yield from concept_texts(dosage, "route")
    if dosage.get("asNeededBoolean") is True:
        yield "as needed"
    yield from (f"as needed: {reason}" for reason in concept_texts(dosage, "asNeededCodeableConcept"))
    yield from concept_texts(dosage, "additionalInstruction")
    for most in objects_at(dosage, "maxDosePerPeriod"):
        yield f"at most {value_as_text(most)}"
    for name, when in (("maxDosePerAdministration", "at a time"), ("maxDosePerLifetime", "in a lifetime")):
        for most in objects_at(dosage, name):
            yield f"at most {quantity_text(most)} {when}"


def timing_words(timing: Mapping[str, Any]) -> list[str]:
    """The code and the repetition of a Timing in words."""
    words = [each for repeat in objects_at(timing, "repeat") for each in _timing(repeat)]
    return [each for each in [*concept_texts(timing, "code"), *words] if each]


def _timing(repeat: Mapping[str, Any]) -> Iterator[str]:
    yield _frequency(repeat)
    for name, before in (("dayOfWeek", "on "), ("timeOfDay", "at "), ("when", "")):
        if stated := [_WHEN.get(found, found) for found in values_at(repeat, name) if isinstance(found, str)]:
            yield f"{before}{', '.join(stated)}"
    for name in ("boundsDuration", "boundsRange"):
        for lasting in objects_at(repeat, name):
            yield f"for {value_as_text(lasting)}"
    yield period_text(repeat.get("boundsPeriod"))
    if count := number_text(repeat.get("count")):
        yield f"{count} in all"


def _frequency(repeat: Mapping[str, Any]) -> str:
    frequency, period = count_text(repeat.get("frequency")), count_text(repeat.get("period"))
    if not (frequency or period):
        return ""
    # If only the period is stated, the frequency is once (http://hl7.org/fhir/R4/datatypes.html#Timing).
    times = _up_to(frequency or "1", repeat.get("frequencyMax"))
    often = "once" if times == "1" else f"{times} times"
    if not period:
        return often
    unit = text_at(repeat, "periodUnit")
    named_unit, periods = UNITS.get(unit, unit), _up_to(period, repeat.get("periodMax"))
    if periods == "1":
        return f"{often} {'an' if named_unit == 'hour' else 'a'} {named_unit}"
    return f"{often} every {periods} {named_unit}s"


def _up_to(least: str, most: Any) -> str:
    return f"{least} to {count_text(most)}" if count_text(most) else least


def count_text(value: Any) -> str:
    """A count as text: 1.0 is written as 1."""
    return number_text(value).removesuffix(".0")
