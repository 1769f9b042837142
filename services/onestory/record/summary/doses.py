"""Writes dosage instructions and timings as text (http://hl7.org/fhir/R4/dosage.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from onestory.record.summary import dates as summary_dates
from onestory.record.summary.dates import events
from onestory.record.summary.notation import (
    Written,
    directions,
    is_timing_code,
    plain_notation,
    plain_number,
    read_written,
    timing_word,
    unit_words,
)
from onestory.record.summary.values import COMPARATORS, between, period_text, value_as_text
from onestory.shared.fhir.json import codes_of, concept_text, concept_texts, number_text, objects_at, text_at, values_at
from onestory.shared.fhir.resource import read_once

UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}
"""UCUM units of time, as words."""
_WORD = re.compile(r"\w+")
_SMALL_WORDS = frozenset(["a", "an", "at", "for", "in", "on", "the", "to", "use", "with", "day", "days"])
_COUNTS = {"1": "once", "2": "twice"}
_RATIO_UNITS = ("numerator", "denominator")


def doses(content: Mapping[str, Any]) -> list[str]:
    """The dosage instructions of a request or statement, as text."""
    return list(_doses(content))


@read_once
def _doses(content: Mapping[str, Any]) -> tuple[str, ...]:
    found = [_dose(dosage) for name in ("dosageInstruction", "dosage") for dosage in objects_at(content, name)]
    return tuple([dose for dose in found if dose])


def _dose(dosage: Mapping[str, Any]) -> str:
    """A dose in the source's words, with the coded elements that these words do not state.

    "As directed" must not replace a coded dose, and a coded dose that differs from the words must be seen.
    """
    texts = (text_at(dosage, "text"), text_at(dosage, "patientInstruction"))
    written = "; ".join(dict.fromkeys(directions(part) for part in texts if part))
    if not written:
        return ", ".join(part for part, _ in _coded_dose(dosage, None) if part)
    stated = read_written(written)
    missing = [part for part, covered in _coded_dose(dosage, stated) if part and not covered]
    return f"{written} ({', '.join(missing)})" if missing else written


def _coded_dose(dosage: Mapping[str, Any], stated: Written | None) -> Iterator[tuple[str, bool]]:
    """Yields each coded part, and whether the written directions state it too."""
    for part in _amounts(dosage):
        yield part, _has_numbers(part, stated)
    for timing in objects_at(dosage, "timing"):
        # The next event is read first.
        yield ", ".join(f"on {summary_dates.shown(event)}" for event in reversed(events(timing))), False
    for part in _timing_codes(dosage):
        yield part, _has_words(part, stated)
    for repeat in objects_at(dosage, "timing", "repeat"):
        yield _frequency(repeat), _has_frequency(repeat, stated)
        for part in _timing_details(repeat):
            yield part, _has_words(part, stated)
    for part in concept_texts(dosage, "route"):
        yield part, _has_words(part, stated)
    for part in concept_texts(dosage, "site"):
        yield part, _has_words(part, stated)
    reasons = [plain_notation(reason) for reason in concept_texts(dosage, "asNeededCodeableConcept")]
    if dosage.get("asNeededBoolean") is True and not reasons:
        yield "when required", stated is not None and stated.when_required
    for reason in reasons:
        same = stated is not None and stated.when_required and reason.casefold() in stated.text
        yield f"for {reason}" if stated and stated.when_required else f"when required for {reason}", same
    for part in concept_texts(dosage, "additionalInstruction"):
        yield directions(part), _has_words(part, stated)
    for most in objects_at(dosage, "maxDosePerPeriod"):
        yield f"at most {_ratio_text(most)}", False
    for name, when in (("maxDosePerAdministration", "at a time"), ("maxDosePerLifetime", "in a lifetime")):
        for most in objects_at(dosage, name):
            yield f"at most {dose_quantity(most)} {when}", False


def _amounts(dosage: Mapping[str, Any]) -> Iterator[str]:
    # The dosage of a MedicationAdministration has one dose and one rate of its own.
    for name in ("dose", "rateQuantity"):
        if name in dosage:
            yield dose_quantity(dosage[name])
    for ratio in objects_at(dosage, "rateRatio"):
        yield _ratio_text(ratio)
    for amount in objects_at(dosage, "doseAndRate"):
        for name in ("doseQuantity", "rateQuantity"):
            yield dose_quantity(amount.get(name))
        for name in ("doseRange", "rateRange"):
            for span in objects_at(amount, name):
                yield between(dose_quantity(span.get("low")), dose_quantity(span.get("high")))
        for ratio in objects_at(amount, "rateRatio"):
            yield _ratio_text(ratio)


def dose_quantity(value: Any) -> str:
    """A Quantity of a dose: without a trailing zero, and with a comparator in words; "" if it is none."""
    if not isinstance(value, Mapping):
        return ""
    comparator = text_at(value, "comparator")
    words = COMPARATORS.get(comparator, comparator)
    number = plain_number(value.get("value"))
    unit = unit_words(text_at(value, "unit") or text_at(value, "code"), number)
    return " ".join(part for part in (words, number, unit) if part)


def _ratio_text(ratio: Mapping[str, Any]) -> str:
    """A Ratio such as `20 mg in 24 hours`."""
    return " in ".join(part for part in (dose_quantity(ratio.get(name)) for name in _RATIO_UNITS) if part)


def _has_numbers(part: str, stated: Written | None) -> bool:
    return stated is not None and read_written(part).numbers <= stated.numbers


def _has_words(part: str, stated: Written | None) -> bool:
    words = _WORD.findall(part.casefold())
    return stated is not None and all(
        word in stated.text or word in stated.numbers for word in words if word not in _SMALL_WORDS
    )


def _has_frequency(repeat: Mapping[str, Any], stated: Written | None) -> bool:
    if stated is None or "frequencyMax" in repeat or "periodMax" in repeat:
        return False
    often = f"{count_text(repeat.get('frequency')) or '1'} {text_at(repeat, 'periodUnit')}"
    return count_text(repeat.get("period")) in ("", "1") and stated.frequencies == {often}


def _timing_codes(dosage: Mapping[str, Any]) -> Iterator[str]:
    for concept in objects_at(dosage, "timing", "code"):
        coded = [code for _, code in codes_of({"code": concept}, "code") if is_timing_code(code)]
        yield timing_word(coded[0]) if coded else timing_word(concept_text(concept))


def timing_words(timing: Mapping[str, Any]) -> list[str]:
    """The code and the repetition of a Timing in words."""
    words = [each for repeat in objects_at(timing, "repeat") for each in _timing(repeat)]
    return [each for each in [*_timing_codes({"timing": timing}), *words] if each]


def _timing(repeat: Mapping[str, Any]) -> Iterator[str]:
    yield _frequency(repeat)
    yield from _timing_details(repeat)


def _timing_details(repeat: Mapping[str, Any]) -> Iterator[str]:
    for name, before in (("dayOfWeek", "on "), ("timeOfDay", "at "), ("when", "")):
        if stated := [timing_word(found) for found in values_at(repeat, name) if isinstance(found, str)]:
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
    often = _COUNTS.get(times, f"{times} times")
    if not period:
        return often
    unit = text_at(repeat, "periodUnit")
    named_unit, periods = UNITS.get(unit, unit), _up_to(period, repeat.get("periodMax"))
    if periods == "1":
        return directions(f"{often} {'an' if named_unit == 'hour' else 'a'} {named_unit}")
    return directions(f"{often} every {periods} {named_unit}s")


def _up_to(least: str, most: Any) -> str:
    return f"{least} to {count_text(most)}" if count_text(most) else least


def count_text(value: Any) -> str:
    """A count as text: 1.0 is written as 1."""
    return number_text(value).removesuffix(".0")
