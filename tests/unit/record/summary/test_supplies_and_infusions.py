"""A short supply without a kind of course is no repeat, a rate is an infusion, and an end in words ends a course."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.medicines import order, use
from tests.unit.record.summary.written import GP, HOSPITAL, PATIENT, said, told

ENDED = "Authorisation or supply ended, or not issued lately"
INFUSION = "Syringe driver or continuous infusion"
UCUM = "http://unitsofmeasure.org"


def supplied(days: int, on: str, organisation: str = HOSPITAL, words: str = "2.5 mg OD", **more: Any) -> str:
    duration = {"value": days, "unit": "days", "code": "d", "system": UCUM}
    request = {"expectedSupplyDuration": duration}
    return told(order("a", organisation, "Bisoprolol 2.5mg tablets", words, on, dispenseRequest=request, **more))[
        "Medicines"
    ]


def test_a_supply_for_home_that_has_ended_is_not_regular_and_not_stopped() -> None:
    shown = supplied(7, "2026-11-01")
    assert shown.startswith(ENDED)
    assert "Supply of 7 days ended 7 Nov 2026: ask if it goes on" in shown


def test_a_supply_of_a_week_that_lasts_stands_among_the_courses_and_says_until_when() -> None:
    shown = supplied(7, "2026-11-20")
    assert shown.startswith("Courses")
    assert "Supply of 7 days until 26 Nov 2026; not stated if it goes on" in shown
    assert "Acute" not in shown


def test_a_supply_of_two_weeks_stays_regular_while_it_lasts() -> None:
    assert supplied(14, "2026-11-20").startswith("Regular")


@pytest.mark.parametrize(
    "more",
    [
        {"courseOfTherapyType": {"coding": [{"code": "continuous"}]}},
        {"intent": "plan"},
    ],
)
def test_a_repeat_does_not_end_with_one_supply(more: dict[str, Any]) -> None:
    assert supplied(28, "2026-10-01", **more).startswith("Regular")


def test_a_supply_that_is_not_to_go_on_is_a_course() -> None:
    shown = supplied(5, "2026-11-05", words="30 mg QDS. Not for continuation by GP")
    assert shown.startswith("Stopped or ended")
    assert "Ended 9 Nov 2026" in shown
    assert supplied(5, "2026-11-20", words="30 mg QDS. Not for continuation by GP").startswith("Courses")


def test_a_course_that_a_pharmacy_handed_over_is_not_taken_for_half_a_year() -> None:
    def handed(words: str) -> str:
        supply = said(
            "MedicationDispense",
            "d",
            "FA123",
            status="completed",
            medicationCodeableConcept={"text": "Nitrofurantoin 100mg capsules"},
            whenHandedOver="2026-11-02T10:00:00Z",
            dosageInstruction=[{"text": words}],
        )
        return told(supply)["Medicines"]

    assert handed("One twice a day for 3 days").startswith(ENDED)
    assert handed("One twice a day").startswith("Supplied or given")


def test_a_month_from_the_own_practice_is_an_issue_of_a_repeat() -> None:
    practice = {"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": GP}}
    patient = {**PATIENT, "generalPractitioner": [practice]}
    month = {"expectedSupplyDuration": {"value": 28, "unit": "days", "code": "d", "system": UCUM}}
    issue = order("a", GP, "Bisoprolol 2.5mg tablets", "One daily", "2026-10-01", dispenseRequest=month)
    assert told(issue, patient=patient)["Medicines"].startswith("Regular")
    assert told(issue)["Medicines"].startswith(ENDED)


def rate(unit: str, name: str = "Furosemide", route: str = "", **more: Any) -> str:
    amount = {"rateQuantity": {"value": 10, "unit": unit, "code": unit, "system": UCUM}}
    dosage = {"doseAndRate": [amount], **({"route": {"text": route}} if route else {}), **more}
    return told(order("a", HOSPITAL, name, dosageInstruction=[dosage]))["Medicines"]


def test_a_coded_rate_of_what_is_injected_is_an_infusion() -> None:
    assert rate("mg/h").startswith(INFUSION)
    assert rate("mL/h", route="Intravenous").startswith(INFUSION)


def test_an_infusion_that_runs_on_the_ward_is_one_and_shows_its_rate() -> None:
    dosage = {"text": "VRIII as per chart", "rateQuantity": {"value": 2, "unit": "units/h"}}
    given = said(
        "MedicationAdministration",
        "a",
        HOSPITAL,
        status="in-progress",
        medicationCodeableConcept={"text": "Actrapid"},
        effectivePeriod={"start": "2026-11-20T20:00:00Z"},
        dosage=dosage,
    )
    shown = told(given)["Medicines"]
    assert shown.startswith(INFUSION)
    assert "VRIII as per chart (2 units/hour)" in shown
    assert "Running when it was sent" in shown


@pytest.mark.parametrize(("later", "missed"), [("2026-11-10", True), ("2026-11-21", False)])
def test_a_last_dose_that_was_not_given_is_told_at_the_line(later: str, *, missed: bool) -> None:
    def given(local_id: str, on: str, status: str) -> Any:
        concept = {"text": "Zuclopenthixol decanoate 200mg/1ml solution for injection ampoules"}
        return said(
            "MedicationAdministration",
            local_id,
            HOSPITAL,
            status=status,
            medicationCodeableConcept=concept,
            effectiveDateTime=on,
        )

    going_on = use("gp", GP, "Zuclopenthixol decanoate 200mg/1ml injection", "200 mg every 2 weeks")
    shown = told(going_on, given("n", "2026-11-20", "not-done"), given("d", later, "completed"))["Medicines"]
    regular = shown.partition("Stopped or ended")[0]
    assert ("NOT GIVEN on 20 Nov 2026" in regular) is missed


def test_oxygen_and_feeds_are_no_infusions() -> None:
    assert rate("L/min", "Oxygen").startswith("Regular")
    assert rate("mL/h", "Nutrison", "Gastrostomy").startswith("Regular")
    assert rate("mL/h", "Jevity").startswith("Regular")


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        ("2 g IV STAT", "Stopped or ended"),
        ("3 g as a single dose", "Stopped or ended"),
        ("Loading dose 300 mg stat, 75 mg daily", "Regular"),
        ("One single dose when required", "When required"),
        ("2.5 mg SC stat, just in case", "Anticipatory"),
    ],
)
def test_a_dose_that_is_given_once_is_over(words: str, heading: str) -> None:
    assert told(order("a", HOSPITAL, "Ceftriaxone 2g", words))["Medicines"].startswith(heading)


def test_a_stated_end_that_is_far_away_makes_no_course() -> None:
    shown = told(use("a", GP, "Zoladex 10.8mg implant", effectivePeriod={"start": "2025-01-01", "end": "2027-01-01"}))
    assert shown["Medicines"].startswith("Regular")


def test_weekly_supplies_of_one_medicine_are_one_line() -> None:
    week = {"expectedSupplyDuration": {"value": 7, "unit": "days", "code": "d", "system": UCUM}}
    issues = [
        order(f"a{n}", HOSPITAL, "Bisoprolol 5mg tablets", "One daily", f"2026-11-{n}", dispenseRequest=week)
        for n in (14, 21)
    ]
    shown = told(*issues)["Medicines"]
    assert shown.count("Bisoprolol") == 1
    assert "Last issued 21 Nov 2026" in shown


def test_the_steps_of_a_reduction_follow_each_other() -> None:
    steps = "20 mg daily for 1 week, 15 mg daily for 1 week, 10 mg daily for 1 week then stop"
    assert "Courses" in told(order("a", HOSPITAL, "Prednisolone 5mg tablets", steps, "2026-11-05"))["Medicines"]
    twice = order("a", HOSPITAL, "Amoxicillin 500mg capsules", "500 mg TDS for 7 days (7/7)", "2026-11-05")
    assert "Ended 11 Nov 2026" in told(twice)["Medicines"]


def test_a_long_supply_of_a_hospital_ends_too() -> None:
    assert supplied(56, "2026-08-01").startswith(ENDED)
    assert supplied(180, "2026-01-01").startswith("Regular")


def test_a_supply_that_waits_pauses_nothing() -> None:
    waiting = said(
        "MedicationDispense",
        "d",
        "FA123",
        status="on-hold",
        medicationCodeableConcept={"text": "Creon 25000 capsules"},
        statusReasonCodeableConcept={"text": "Out of stock"},
    )
    shown = told(waiting)["Medicines"]
    assert "Not supplied yet" in shown
    assert "PAUSED" not in shown


def test_counted_doses_end_a_course() -> None:
    repeat = {"frequency": 3, "period": 1, "periodUnit": "d", "count": 15}
    dosage = [{"text": "250 mg TDS", "timing": {"repeat": repeat}}]
    assert (
        "Ended 5 Nov 2026" in told(order("a", GP, "Amoxicillin 250mg capsules", dosageInstruction=dosage))["Medicines"]
    )


def test_a_ratio_over_a_day_under_the_skin_is_an_infusion() -> None:
    ratio = {"numerator": {"value": 30, "unit": "mg"}, "denominator": {"value": 24, "unit": "h"}}
    dosage = [{"doseAndRate": [{"rateRatio": ratio}], "route": {"text": "Subcutaneous"}}]
    assert told(order("a", HOSPITAL, "Morphine", dosageInstruction=dosage))["Medicines"].startswith(INFUSION)


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        ("75 mg OD until 14/11/26", "Stopped or ended"),
        ("75 mg OD, last dose 14 Nov 2026", "Stopped or ended"),
        ("75 mg OD - stop on 14 Dec 2026", "Courses"),
        ("20 mg until 14/11/2026 then 10 mg", "Regular"),
        ("75 mg OD until review", "Regular"),
        ("75 mg OD until 31/02/2026", "Regular"),
    ],
)
def test_a_date_in_words_ends_a_course(words: str, heading: str) -> None:
    assert told(order("a", HOSPITAL, "Clopidogrel 75mg tablets", words))["Medicines"].startswith(heading)


def test_a_medicine_that_begins_later_is_planned_and_says_when() -> None:
    timing = {"repeat": {"boundsPeriod": {"start": "2026-12-14"}}}
    shown = told(order("a", HOSPITAL, "Rifampicin", dosageInstruction=[{"text": "600 mg OD", "timing": timing}]))
    assert shown["Medicines"].startswith("Planned")
    assert "Starts 14 Dec 2026" in shown["Medicines"]


def test_older_medicines_are_named() -> None:
    course = {"coding": [{"code": "acute"}]}
    shown = told(order("a", GP, "Amoxicillin 500mg capsules", "One TDS", "2023-02-01", courseOfTherapyType=course))
    assert "More is held: 1 older medicine is" in shown["Medicines"]
    assert "Amoxicillin 500mg capsules (1 Feb 2023)." in shown["Medicines"]


def test_a_medicine_that_is_sent_as_a_code_takes_the_name_of_another_source() -> None:
    sent = {"coding": [{"system": "http://snomed.info/sct", "code": "318906001"}]}
    named = {"coding": [{**sent["coding"][0], "display": "Ramipril 5mg capsules"}]}
    alone = use("a", HOSPITAL, "", status="stopped", medicationCodeableConcept=sent)
    assert "Medicine not named by its source: code 318906001" in told(alone)["Medicines"]
    both = told(alone, order("b", GP, "", medicationCodeableConcept=named))["Medicines"]
    assert "Ramipril 5mg capsules (sent as code 318906001 only; named by Harbour Street Surgery)" in both
