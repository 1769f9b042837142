"""Tests of how units, numbers and timings are written."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case

from onestory.record.summary.doses import doses
from onestory.record.summary.notation import directions, plain_notation, unit_words
from onestory.record.summary.values import quantity_text


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("10 U", "10 units"),
        ("10u", "10 units"),
        ("1 IU daily", "1 unit daily"),
        ("4-6U before meals", "4-6 units before meals"),
        ("10,000 u", "10,000 units"),
        ("100mcg", "100 micrograms"),
        ("62.5 \u00b5g", "62.5 micrograms"),
        ("500mcg/5ml", "500 micrograms/5ml"),
        ("1.0 mg", "1 mg"),
        ("2.50mg", "2.5mg"),
        (".5 mg", "0.5 mg"),
        ("10 mg OD", "10 mg once a day"),
        ("500 mg tds PRN", "500 mg 3 times a day when required"),
        ("5mg Oral OD", "5mg Oral once a day"),
        ("10 mg PO bd", "10 mg PO twice a day"),
        ("200 micrograms inhaled QDS PRN", "200 micrograms inhaled 4 times a day when required"),
    ],
)
def test_a_dose_that_could_be_misread_is_written_out(written: str, shown: str) -> None:
    assert plain_notation(written) == shown


@pytest.mark.parametrize(
    "written",
    ["vitamin B12 5.0", "1.05 mg", "10.25 mg", "check 5 U&Es", "1 drop OD", "version 1.0", "U 100", "10 mg on Monday"],
)
def test_what_is_no_misleading_dose_stays_as_it_is(written: str) -> None:
    assert plain_notation(written) == written


def test_a_frequency_that_is_deadly_if_read_as_daily_is_in_capitals() -> None:
    assert directions("Four tablets once weekly") == "Four tablets ONCE WEEKLY"


@pytest.mark.parametrize(
    ("unit", "number", "shown"),
    [
        ("tablet", "4", "tablets"),
        ("tablet", "1", "tablet"),
        ("{tablet}", "2", "tablets"),
        ("[iU]", "10", "units"),
        ("ug/L", "5", "micrograms/L"),
        ("U/L", "35", "units/L"),
        ("mL/h", "5", "mL/hour"),
        ("mmol/L", "5", "mmol/L"),
    ],
)
def test_a_unit_is_a_word(unit: str, number: str, shown: str) -> None:
    assert unit_words(unit, number) == shown


def test_a_result_keeps_the_zero_that_tells_how_exact_it_is() -> None:
    assert quantity_text({"comparator": "<", "value": "5.00", "unit": "ug/L"}) == "< 5.00 micrograms/L"


def dose(text: str = "", **elements: Any) -> str:
    return "; ".join(doses({"dosageInstruction": [{**({"text": text} if text else {}), **elements}]}))


def timing(frequency: int, unit: str, **elements: Any) -> dict[str, Any]:
    return {"repeat": {"frequency": frequency, "period": 1, "periodUnit": unit, **elements}}


def amount(value: str, unit: str) -> list[dict[str, Any]]:
    return [{"doseQuantity": {"value": value, "unit": unit}}]


def test_coded_elements_that_the_words_state_are_not_repeated() -> None:
    shown = dose("TWO tablets twice a day", timing=timing(2, "d"), doseAndRate=amount("2", "tablet"))

    assert shown == "TWO tablets twice a day"


def test_a_coded_frequency_that_differs_from_the_words_is_shown() -> None:
    assert dose("One tablet ONCE A WEEK", timing=timing(1, "d")) == "One tablet ONCE A WEEK (once a day)"


def test_a_coded_amount_that_differs_from_the_words_is_shown() -> None:
    assert dose("Take one at night", doseAndRate=amount("4", "tablet")) == "Take one at night (4 tablets)"


def test_a_code_of_a_timing_is_written_in_words() -> None:
    assert dose(timing=timing(1, "d", when=["ACM"])) == "once a day, before breakfast"
    assert dose(timing={"code": {"coding": [{"code": "BID"}], "text": "BID"}}) == "twice a day"


def test_when_required_has_its_reason() -> None:
    reason = {"text": "pain"}
    assert dose("2.5 mg PRN", asNeededCodeableConcept=reason) == "2.5 mg when required (for pain)"
    assert dose("2.5 mg", asNeededCodeableConcept=reason) == "2.5 mg (when required for pain)"


def test_a_limit_of_a_dose_says_its_side() -> None:
    shown = dose(doseAndRate=[{"doseQuantity": {"comparator": "<", "value": "4.0", "unit": "U"}}])

    assert shown == "less than 4 units"


def test_a_rate_says_over_how_long() -> None:
    rate = {"numerator": {"value": "20.0", "unit": "mg"}, "denominator": {"value": 24, "unit": "h"}}

    assert dose(doseAndRate=[{"rateRatio": rate}]) == "20 mg in 24 hours"


@needs_clinical_cases
def test_insulin_is_in_units_and_its_times_in_words() -> None:
    medicines = shown_case("92")["Medicines"]

    assert "10 units" in medicines
    assert "6 units" in medicines
    assert not {" U", "IU", "ACM", "ACV"} & {word for word in (" U", "IU", "ACM", "ACV") if word in medicines}


@needs_clinical_cases
def test_small_doses_have_no_trailing_zero_and_no_short_unit() -> None:
    medicines = shown_case("17")["Medicines"]

    assert not [found for found in ("1.0 mg", " .5 mg", "mcg", " ug") if found in medicines]
