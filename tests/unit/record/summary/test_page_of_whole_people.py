"""What a reader of a whole page would miss or misread: dates that are values, feeds, own words, and counts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, said, told

from onestory.record.summary.notation import plain_notation

EXPECTED = {"coding": [{"system": "http://loinc.org", "code": "11778-8"}], "text": "Estimated delivery date"}


def test_a_date_that_is_a_value_stands_beside_the_name_and_not_the_day_of_its_recording() -> None:
    shown = told(said("Observation", "e", code=EXPECTED, effectiveDateTime="2026-07-01", valueDateTime="2027-02-02"))

    assert "Estimated delivery date: 2 Feb 2027" in shown["Pregnancy"]
    assert "Recorded 1 Jul 2026" in shown["Pregnancy"]


def own_words(**more: Any) -> Any:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>I show pain by rocking.</p></div>'
    parts = {"section": [{"title": "Support", "text": {"status": "additional", "div": div}}]}
    return said("Composition", "own", status="final", date="2026-10-28T10:00:00Z", **{**parts, **more})


@pytest.mark.parametrize("title", ["About Me", "My hospital passport", "This is me - Sophie", "One page profile"])
def test_own_words_are_found_by_their_title_in_words(title: str) -> None:
    shown = told(own_words(title=title, type={"text": "Clinical document"}))

    assert "I show pain by rocking." in shown["About Me"]
    assert "Last letters and documents" not in shown


@pytest.mark.parametrize("title", ["About medication", "Report about me", "This is medicine"])
def test_other_titles_are_no_own_words(title: str) -> None:
    assert "About Me" not in told(own_words(title=title, type={"text": "Clinical document"}))


def test_a_scanned_passport_without_words_stays_among_the_documents() -> None:
    shown = told(own_words(title="Hospital passport", type={"text": "Document"}, section=[]))

    assert "About Me" not in shown
    assert "Hospital passport" in shown["Last letters and documents"]


def test_a_tube_feed_says_how_it_is_given() -> None:
    feed = said(
        "NutritionOrder",
        "n",
        status="active",
        intent="order",
        dateTime="2026-09-20T09:00:00Z",
        enteralFormula={
            "baseFormulaType": {"text": "Nutrison Protein Plus"},
            "administrationInstruction": "1500 ml over 16 hours by pump",
            "maxVolumeToDeliver": {"value": 1500, "unit": "mL"},
        },
        excludeFoodModifier=[{"text": "Nuts"}],
    )
    line = told(feed)["Plan of care"]

    assert "1500 ml over 16 hours by pump" in line
    assert "1500 mL" in line
    assert "Without: Nuts" in line


@pytest.mark.parametrize(("status", "is_told"), [("completed", False), ("in-progress", True), ("stopped", True)])
def test_a_completed_procedure_needs_no_word(status: str, is_told: bool) -> None:
    procedure = said("Procedure", "p", status=status, code={"text": "Dialysis"}, performedDateTime="2026-11-20")
    words = status.replace("-", " ").capitalize()

    assert (words in told(procedure)["Procedures"]) is is_told


def test_results_that_are_named_are_not_counted_again() -> None:
    def result(place: str, name: str, day: str) -> Any:
        value = {"value": 5, "unit": "mmol/L"}
        return said("Observation", place, code={"text": name}, effectiveDateTime=day, valueQuantity=value)

    shown = told(result("a", "Urate", "2024-01-01"), result("b", "Ferritin", "2024-02-01"))["Results"]
    more = told(result("a", "Urate", "2024-01-01"), result("b", "Urate", "2023-02-01"))["Results"]

    assert "Urate 5 mmol/L (1 Jan 2024)" in shown
    assert "More is held" not in shown
    assert "More is held: 1 is not shown here" in more


@pytest.mark.parametrize("name", ["Mental Health Act status", "Deprivation of liberty safeguards", "Military service"])
def test_a_legal_state_does_not_grow_old_as_a_result(name: str) -> None:
    stated = said("Observation", "s", code={"text": name}, effectiveDateTime="2025-03-01", valueString="In force")

    sections = told(stated)
    place = "Alerts" if "liberty" in name else "Social history and other facts"
    assert "In force" in sections[place].replace("In force\nWhat", "")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("75mg OD via PEG", "75mg once a day via PEG"),
        ("5ml TDS via PEG", "5ml 3 times a day via PEG"),
        ("4 units TDS with meals", "4 units 3 times a day with meals"),
        ("1 drop OD", "1 drop OD"),
        ("BD Viva needles 4mm", "BD Viva needles 4mm"),
    ],
)
def test_timings_before_a_route_or_a_meal_are_written_out(written: str, plain: str) -> None:
    assert plain_notation(written) == plain


def test_one_older_medicine_is_counted_in_the_singular() -> None:
    def medicine(place: str, organisation: str, status: str, **period: str) -> Any:
        code = {"text": f"Medicine {place}"}
        return said(
            "MedicationStatement",
            place,
            organisation,
            status=status,
            medicationCodeableConcept=code,
            effectivePeriod=period,
        )

    ended = medicine("a", GP, "completed", start="2019-01-01", end="2020-01-01")
    shown = told(ended, medicine("b", HOSPITAL, "active", start="2026-11-01"))

    assert "1 older medicine is not shown here" in shown["Medicines"]


HINT = "not two medicines to give"


def morphine(place: str, organisation: str, form: str, dose: str, **more: Any) -> Any:
    found = {"status": "active", "intent": "order", "authoredOn": "2026-11-10", **more}
    name = {"text": f"Morphine {form}"}
    dosage = [{"text": dose}]
    return said(
        "MedicationRequest", place, organisation, medicationCodeableConcept=name, dosageInstruction=dosage, **found
    )


def test_lines_of_one_medicine_are_read_together_while_both_go_on() -> None:
    one = morphine("a", GP, "10mg tablets", "One twice a day")
    other = morphine("b", HOSPITAL, "10mg tablets", "10 mg twice a day")
    ended = morphine("b", HOSPITAL, "10mg tablets", "10 mg twice a day for 3 days")

    assert HINT in told(one, other)["Medicines"]
    assert HINT not in told(one, ended)["Medicines"]


def test_what_is_kept_just_in_case_is_no_second_route() -> None:
    solution = morphine("a", GP, "10mg/5ml oral solution", "2.5 ml when required")
    ampoule = "10mg/1ml solution for injection ampoules"
    kept = morphine("b", GP, ampoule, "2.5 mg SC when required", category=[{"text": "Anticipatory"}])
    now = morphine("b", GP, ampoule, "2.5 mg SC when required")

    assert "several routes" in told(solution, now)["Medicines"]
    assert "several routes" not in told(solution, kept)["Medicines"]
