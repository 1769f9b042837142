"""Results stand by kind; facts about the person stay; of a topic one state leads."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import HOSPITAL, NAMES, code, said, told

from onestory.record.merge.model import Statement

LOINC = "http://loinc.org"
FACTS = "Social history and other facts"


def vital(place: str, at: str, name: str = "Body weight", **value: Any) -> Statement:
    category = [{"coding": [{"code": "vital-signs"}]}]
    return said("Observation", place, code={"text": name}, category=category, effectiveDateTime=at, **value)


def kilograms(value: float) -> dict[str, Any]:
    return {"valueQuantity": {"value": value, "unit": "kg"}}


def pressure(systolic: int, diastolic: int) -> dict[str, Any]:
    parts = [("8480-6", systolic), ("8462-4", diastolic)]
    return {
        "component": [
            {"code": code(number, "Part", LOINC), "valueQuantity": {"value": value, "unit": "mm[Hg]"}}
            for number, value in parts
        ]
    }


def coded(place: str, number: str, name: str, at: str, **more: Any) -> Statement:
    return said("Observation", place, code=code(number, name), effectiveDateTime=at, **more)


def pregnant(place: str, onset: str, **more: Any) -> Statement:
    active: dict[str, Any] = {"clinicalStatus": {"coding": [{"code": "active"}]}}
    return said("Condition", place, code=code("77386006", "Pregnant"), onsetDateTime=onset, **{**active, **more})


def answer(place: str, number: str, name: str, at: str) -> Statement:
    asked = code("82810-3", "Pregnancy status", LOINC)
    return said("Observation", place, code=asked, effectiveDateTime=at, valueCodeableConcept=code(number, name))


def test_results_stand_in_a_grid_of_kinds_and_days_with_the_newest_first() -> None:
    shown = told(
        vital("a", "2026-11-20", **kilograms(80)),
        vital("b", "2026-11-10", **kilograms(81)),
        vital("c", "2026-11-20", "Blood pressure", **pressure(134, 72)),
    )["Vital signs"]

    assert "Kind20 Nov 202610 Nov 2026Source" in shown
    assert "Body weight80 kg81 kg" in shown
    assert shown.count("Body weight") == 1
    assert "Blood pressure134/72 mmHg" in shown


def test_kinds_of_many_days_have_their_dates_in_the_cells_and_lose_none() -> None:
    days = [
        *(vital(f"w{day}", f"2026-11-{day:02}", **kilograms(day)) for day in range(1, 11, 2)),
        *(vital(f"p{day}", f"2026-11-{day:02}", "Pulse", **kilograms(day)) for day in range(11, 21, 2)),
        *(vital(f"t{day}", f"2026-10-{day:02}", "Height", **kilograms(day)) for day in range(1, 11, 2)),
    ]
    shown = told(*days)["Vital signs"]

    assert "NewestBeforeBeforeBeforeBefore" in shown
    assert "Pulse19 kg 19 Nov 202617 kg 17 Nov 2026" in shown
    assert shown.count(" kg ") == 15


def test_what_is_older_than_the_columns_stands_with_its_date() -> None:
    days = [vital(f"w{day}", f"2026-11-{day:02}", **kilograms(day)) for day in (20, 19, 18, 17, 16)]
    shown = told(*days, vital("p", "2026-11-02", "Pulse", valueString="72 per minute"))["Vital signs"]

    assert "17 Nov 2026EarlierSource" in shown
    assert "16 kg 16 Nov 2026" in shown
    assert "72 per minute 2 Nov 2026" in shown


def test_an_abnormal_result_says_so_in_its_cell_and_a_long_one_has_a_line_of_its_own() -> None:
    high: dict[str, Any] = {"interpretation": [{"coding": [{"code": "H"}]}]}
    long = vital("l", "2026-11-19", "Wound", valueString="A long description of a wound. " * 4)
    shown = told(vital("a", "2026-11-20T10:00:00Z", **kilograms(80), **high), long)["Vital signs"]

    assert "80 kg High 10:00" in shown
    assert "Wound\n19 Nov 2026" in shown
    assert "Newest first" in shown


def test_a_result_of_another_organisation_names_it_in_its_cell() -> None:
    ours = vital("a", "2026-11-20", **kilograms(80))
    theirs = said(
        "Observation",
        "b",
        HOSPITAL,
        code={"text": "Body weight"},
        category=[{"coding": [{"code": "vital-signs"}]}],
        effectiveDateTime="2026-11-10",
        **kilograms(81),
    )
    shown = told(ours, theirs)["Vital signs"]

    assert f"81 kg {NAMES[HOSPITAL]}" in shown


def test_a_blood_pressure_is_one_text_and_swapped_parts_are_marked() -> None:
    one = vital("a", "2026-11-20", "Blood pressure", **pressure(134, 72))
    other = vital("b", "2026-11-21", "Blood pressure", **pressure(72, 134))
    shown = told(one, other)["Vital signs"]

    assert "134/72 mmHg" in shown
    assert "as sent: systolic 72, diastolic 134 mm[Hg]: check" in shown or "as sent: systolic 72" in shown


@pytest.mark.parametrize(
    ("value", "at", "marked"), [(8.25, "2026-11-20", True), (8.25, "2026-09-20", False), (81, "2026-11-20", False)]
)
def test_a_slip_of_the_decimal_point_is_marked(value: float, at: str, marked: bool) -> None:
    shown = told(vital("a", "2026-11-21", **kilograms(82.5)), vital("b", at, **kilograms(value)))["Vital signs"]

    assert f"{value} kg" in shown
    assert ("Check:" in shown) is marked


@pytest.mark.parametrize(("letter", "word"), [("H", "High"), ("LL", "Critically low"), ("POS", "Positive")])
def test_an_interpretation_is_shown_in_words(letter: str, word: str) -> None:
    assert (
        word
        in told(vital("a", "2026-11-20", interpretation=[{"coding": [{"code": letter}]}], **kilograms(80)))[
            "Vital signs"
        ]
    )


def test_a_report_that_only_lists_results_adds_no_line() -> None:
    result = said("Observation", "o", code={"text": "Sodium"}, effectiveDateTime="2026-11-20", valueString="140")
    listed: dict[str, Any] = {"code": {"text": "Blood count"}, "effectiveDateTime": "2026-11-20"}
    listed |= {"result": [{"reference": f"Observation/{result.shared_id}"}]}

    assert "Blood count" not in told(result, said("DiagnosticReport", "r", **listed))["Results"]
    assert "Blood count" in told(result, said("DiagnosticReport", "r", conclusion="Normal", **listed))["Results"]
    assert "Blood count" in told(said("DiagnosticReport", "r", **listed))["Results"]


@pytest.mark.parametrize("value", [{}, {"valueBoolean": True}, {"valueBoolean": False}])
def test_a_fact_about_the_person_does_not_expire_as_a_result(value: dict[str, Any]) -> None:
    shown = told(said("Observation", "o", code={"text": "Cares for a spouse"}, effectiveDateTime="2019-01-01", **value))

    assert "Cares for a spouse" in shown[FACTS]
    assert "Results" not in shown


def test_a_test_without_a_value_stays_a_result() -> None:
    laboratory = [{"coding": [{"code": "laboratory"}]}]
    observation = said(
        "Observation", "o", code={"text": "Urine culture"}, category=laboratory, effectiveDateTime="2026-11-20"
    )

    assert "Urine culture" in told(observation)["Results"]


def test_the_newest_smoking_status_leads_whatever_its_form() -> None:
    asked = code("72166-2", "Tobacco smoking status", LOINC)
    ex = said(
        "Observation",
        "c",
        code=asked,
        effectiveDateTime="2025-05-01",
        valueCodeableConcept=code("8517006", "Ex-smoker"),
    )
    never = coded("a", "266919005", "Never smoked tobacco", "2001-05-01")
    smoker = said("Condition", "b", code=code("77176002", "Smoker"), onsetDateTime="2012-05-01")
    shown = told(never, smoker, ex)

    assert "Ex-smoker\n1 May 2025" in shown[FACTS]
    assert "Before: Smoker (1 May 2012); Never smoked (1 May 2001)" in shown[FACTS]
    assert "Smoker" not in shown["Problems"]


def test_two_states_of_one_day_are_both_told() -> None:
    shown = told(coded("a", "8517006", "Ex-smoker", "2026-05-01"), coded("b", "77176002", "Smoker", "2026-05-01"))

    assert "Sources disagree on one day: Ex-smoker, Smoker." in shown[FACTS]


def test_an_old_pregnancy_is_not_current_and_is_no_problem() -> None:
    shown = told(pregnant("a", "2019-04-01"))

    assert "not current" in shown["Pregnancy"]
    assert "Pregnant" not in shown["Problems"]


def test_a_pregnancy_of_now_stays_a_problem_too_and_stands_high_up() -> None:
    shown = told(pregnant("a", "2026-07-01"), said("Flag", "f", status="active", code={"text": "Falls"}))

    assert "Pregnant" in shown["Problems"]
    assert list(shown).index("Pregnancy") < list(shown).index("Medicines")


def test_a_newer_not_pregnant_contradicts_a_problem_that_could_be_current() -> None:
    shown = told(pregnant("a", "2026-07-01"), answer("b", "60001007", "Not pregnant", "2026-11-20"))

    assert "Not pregnant\n20 Nov 2026" in shown["Pregnancy"]
    assert "still lists “Pregnant” (1 Jul 2026) as active" in shown["Pregnancy"]


def test_a_denied_or_ended_pregnancy_is_no_statement_of_one() -> None:
    refuted: dict[str, Any] = {"verificationStatus": {"coding": [{"code": "refuted"}]}}

    assert "Pregnancy" not in told(pregnant("a", "2026-07-01", **refuted))
    assert "Pregnancy" not in told(pregnant("a", "2026-07-01", abatementDateTime="2026-08-01"))


@needs_clinical_cases
def test_the_pregnancy_of_now_leads_and_that_of_2019_is_before() -> None:
    shown = shown_case("51")

    assert "Pregnant\n6 Jul 2026" in shown["Pregnancy"]
    assert "Before: Pregnant (1 Apr 2019)" in shown["Pregnancy"]
    assert "2019" not in shown["Problems"]


@needs_clinical_cases
def test_a_person_who_is_not_pregnant_now_reads_as_such() -> None:
    shown = shown_case("102")

    assert "Not pregnant\n20 Nov 2026" in shown["Pregnancy"]
    assert "Pregnant" not in shown["Problems"]


@needs_clinical_cases
def test_one_smoking_status_holds() -> None:
    assert shown_case("96")[FACTS].count("Smoker\n") == 1


@needs_clinical_cases
def test_old_results_are_named_with_their_dates() -> None:
    results = shown_case("66")["Results"]

    assert "Left ventricular ejection fraction 20 % (20 Feb 2026" in results
    assert all(each in results for each in ("eGFR using CKD-Epi 24", "MRSA Positive (20 Sep 2025"))


@needs_clinical_cases
def test_a_carer_is_a_fact_and_no_result() -> None:
    shown = shown_case("75")

    assert "Is a carer (husband, dementia)" in shown[FACTS]
    assert "Results" not in shown


@needs_clinical_cases
@pytest.mark.parametrize(("number", "text"), [("63", "134/72 mmHg"), ("64", "Check: 8.25 kg and 82.5 kg")])
def test_odd_vital_signs_are_marked(number: str, text: str) -> None:
    assert text in shown_case(number)["Vital signs"]


@needs_clinical_cases
def test_the_heading_of_a_panel_adds_no_line() -> None:
    assert "Full blood count" not in shown_case("65")["Results"]


def test_a_copy_of_a_cancelled_result_says_first_that_it_is_not_to_be_used() -> None:
    same: dict[str, Any] = {
        "identifier": [{"system": "urn:lab", "value": "26/1"}],
        "code": {"text": "Creatinine"},
        "effectiveDateTime": "2026-11-20T08:00:00Z",
        "valueQuantity": {"value": 320, "unit": "umol/L"},
    }
    cancelled = said("Observation", "o", HOSPITAL, status="cancelled", **{**same, "code": code("1", "Creatinine")})
    copy = said("Observation", "c", status="final", **{**same, "code": code("1", "Creatinine")})

    results = told(cancelled, copy)["Results"]

    assert "DO NOT USE: 320 micromol/L" in results
    assert "Cancelled by the laboratory. Do not use." in results
