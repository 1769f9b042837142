"""Tests of how a medicine stands on the page, and of what shares a row."""

from __future__ import annotations

from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, code, said, told

from onestory.record.merge.model import Statement

AMLODIPINE = code("39732011000001102", "Amlodipine 5mg tablets")
REPEAT = {"coding": [{"code": "continuous"}]}


def prescribed(name: str = "m", organisation: str = GP, **elements: Any) -> Statement:
    base: dict[str, Any] = {
        "status": "active",
        "intent": "order",
        "authoredOn": "2026-11-01",
        "medicationCodeableConcept": AMLODIPINE,
        **elements,
    }
    return said("MedicationRequest", name, organisation, **base)


def supplied(name: str = "d", **elements: Any) -> Statement:
    base: dict[str, Any] = {
        "status": "completed",
        "whenHandedOver": "2026-11-10",
        "medicationCodeableConcept": AMLODIPINE,
        **elements,
    }
    return said("MedicationDispense", name, HOSPITAL, **base)


def heading(*statements: Statement) -> str:
    """The heading over the first row."""
    return told(*statements)["Medicines"].partition("\n")[0]


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"doNotPerform": True}, "DO NOT GIVE"),
        ({"courseOfTherapyType": REPEAT}, "Regular"),
        ({"dosageInstruction": [{"text": "Two QDS PRN"}]}, "When required"),
        ({"dosageInstruction": [{"text": "One a day", "asNeededCodeableConcept": {"text": "pain"}}]}, "When required"),
        ({"courseOfTherapyType": {"coding": [{"code": "acute"}]}}, "Courses (acute)"),
        (
            {"dosageInstruction": [{"text": "2.5 mg PRN"}], "note": [{"text": "Just in case box"}]},
            "Anticipatory: kept just in case, not started",
        ),
        ({"dosageInstruction": [{"text": "10 mg via syringe driver"}]}, "Syringe driver or continuous infusion"),
        ({"status": "on-hold"}, "Paused"),
        ({"status": "draft"}, "Planned, or not known if taken"),
        ({"status": "stopped"}, "Stopped or ended, or not taken"),
        ({"status": "completed", "courseOfTherapyType": REPEAT}, "Regular"),
        (
            {"courseOfTherapyType": REPEAT, "dispenseRequest": {"validityPeriod": {"end": "2026-10-01"}}},
            "Authorisation or supply ended, or not issued lately",
        ),
    ],
)
def test_each_standing_has_a_heading_of_its_own(elements: dict[str, Any], expected: str) -> None:
    assert heading(prescribed(**elements)) == expected


@pytest.mark.parametrize(
    "dosage",
    [
        {"text": "One a day for 7 days"},
        {"text": "One a day", "timing": {"repeat": {"boundsDuration": {"value": 1, "code": "wk"}}}},
    ],
)
def test_a_course_whose_duration_is_over_has_ended(dosage: dict[str, Any]) -> None:
    medicines = told(prescribed(dosageInstruction=[dosage]))["Medicines"]

    assert medicines.startswith("Stopped or ended")
    assert "Ended 7 Nov 2026" in medicines


def test_a_repeat_does_not_end_with_the_days_of_one_instruction() -> None:
    repeat = prescribed(dosageInstruction=[{"text": "One a day for 7 days"}], courseOfTherapyType=REPEAT)

    assert heading(repeat) == "Regular"


def test_a_first_step_of_a_dose_does_not_end_the_medicine() -> None:
    steps = [{"text": "Two a day for 3 days"}, {"text": "then one a day"}]

    assert heading(prescribed(dosageInstruction=steps)) == "Regular"


def test_words_after_a_duration_keep_the_medicine_going() -> None:
    assert heading(prescribed(dosageInstruction=[{"text": "Two a day for 3 days then one a day"}])) == "Regular"


def test_an_ended_authorisation_is_not_called_stopped() -> None:
    lapsed = prescribed(courseOfTherapyType=REPEAT, dispenseRequest={"validityPeriod": {"end": "2026-10-01"}})

    medicines = told(lapsed)["Medicines"]

    assert "Authorisation ended 1 Oct 2026" in medicines
    assert "Stopped" not in medicines


def test_a_completed_supply_says_when_it_was_supplied() -> None:
    medicines = told(prescribed(status="completed", courseOfTherapyType=REPEAT))["Medicines"]

    assert "Supplied 1 Nov 2026" in medicines
    assert "Stopped" not in medicines


def test_a_medicine_that_was_only_supplied_is_on_the_list() -> None:
    medicines = told(supplied())["Medicines"]

    assert medicines.startswith("Supplied or given; matched to no current prescription")
    assert "10 Nov 2026 by Vale Royal Hospital" in medicines


def test_a_supply_of_a_prescription_is_its_last_issue() -> None:
    medicines = told(prescribed(courseOfTherapyType=REPEAT), supplied())["Medicines"]

    assert "Last issued 10 Nov 2026" in medicines
    assert "no current prescription" not in medicines


def test_a_supply_with_another_dose_keeps_its_own_row() -> None:
    one, other = ([{"text": words}] for words in ("One a day", "Two a day"))

    medicines = told(prescribed(dosageInstruction=one), supplied(dosageInstruction=other))["Medicines"]

    assert "One a day" in medicines
    assert "Two a day" in medicines


def test_a_stopped_issue_is_not_hidden_in_the_row_of_its_plan() -> None:
    plan = prescribed("plan", intent="plan", courseOfTherapyType=REPEAT)
    issue = prescribed("issue", status="stopped", statusReason={"text": "Rash"})

    assert "STOPPED by Harbour Street Surgery" in told(plan, issue)["Medicines"]


def test_issues_that_name_no_plan_stand_in_the_row_of_the_plan() -> None:
    plan = prescribed("plan", intent="plan", authoredOn="2026-01-01", courseOfTherapyType=REPEAT)
    issues = [prescribed(f"i{month}", status="completed", authoredOn=f"2026-{month}-03") for month in ("09", "10")]

    medicines = told(plan, *issues)["Medicines"]

    assert "Last issued 3 Oct 2026" in medicines
    assert medicines.count("Amlodipine") == 1


@needs_clinical_cases
def test_a_repeat_with_six_issues_is_one_row() -> None:
    medicines = shown_case("10")["Medicines"]

    assert medicines.count("Amlodipine") == 1
    assert "Last issued 3 Nov 2026" in medicines
    assert "Stopped" not in medicines


@needs_clinical_cases
def test_a_paused_medicine_has_a_heading_and_its_reason() -> None:
    medicines = shown_case("12")["Medicines"]

    assert "Clopidogrel" in medicines.partition("Paused")[2]
    assert "Suspended 7 days before hip replacement 24 Nov" in medicines


@needs_clinical_cases
@pytest.mark.parametrize(
    ("number", "heading_text", "words"),
    [
        ("11", "Paused", "PAUSED by RZ3, 20 Nov 2026"),
        ("19", "Anticipatory", "Midazolam"),
        ("20", "Supplied or given", "Clozaril"),
        ("22", "Supplied or given", "Ibuprofen"),
        ("25", "not issued lately", "Not issued since 11 Feb 2024"),
        ("105", "Planned", "Edoxaban"),
        ("108", "Regular", "Supplied 27 Nov 2026"),
    ],
)
def test_the_shared_cases_stand_where_a_nurse_looks(number: str, heading_text: str, words: str) -> None:
    assert words in shown_case(number)["Medicines"].partition(heading_text)[2]


@needs_clinical_cases
def test_a_course_of_long_ago_has_no_row_and_is_counted_and_named() -> None:
    rows, _, older = shown_case("94")["Medicines"].partition("More is held: 1 older")

    assert "Clarithromycin" not in rows
    assert "Clarithromycin 500mg tablets (3 Feb 2025)" in older


@needs_clinical_cases
def test_a_code_that_names_another_product_is_shown_with_the_words() -> None:
    assert "The code says “Methotrexate 10mg tablets”" in shown_case("99")["Medicines"]


@needs_clinical_cases
def test_strengths_of_one_medicine_stand_together_the_newest_first() -> None:
    medicines = shown_case("28")["Medicines"]

    assert medicines.index("5mg tablets") < medicines.index("2.5mg tablets") < medicines.index("1.25mg tablets")


def test_a_repeat_of_one_source_is_called_one_also_where_another_source_leads() -> None:
    repeat = prescribed("g", GP, courseOfTherapyType=REPEAT, authoredOn="2026-03-01")
    newer = prescribed("h", HOSPITAL, authoredOn="2026-11-20")

    medicines = told(repeat, newer)["Medicines"]

    assert "Prescribed 20 Nov 2026" in medicines
    assert "Repeat" in medicines
