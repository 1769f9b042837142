"""Medicines of one ingredient are compared across products and words; the ingredient joins nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case

from onestory.record.medicines.products import product_of
from onestory.record.medicines.stop_notes import read_note
from onestory.record.merge.engine import merge
from onestory.record.merge.model import Fact, Statement
from onestory.record.merge.rules import merge_rules

TAKEN = "MedicationStatement"
LONG_TERM = {"coding": [{"code": "continuous"}]}
AT = datetime(2026, 11, 28, 9, tzinfo=UTC)


def entry(
    number: int, source: str, name: str, *, code: str = "", kind: str = "MedicationRequest", **more: Any
) -> Statement:
    """A statement about a medicine; it is active and has no code unless these are given."""
    concept: Mapping[str, Any] = (
        {"coding": [{"system": "http://snomed.info/sct", "code": code, "display": name}]} if code else {"text": name}
    )
    order = {"intent": "order"} if kind == "MedicationRequest" else {}
    content = {"resourceType": kind, "status": "active", "medicationCodeableConcept": concept, **order, **more}
    if "words" in content:
        content["dosageInstruction"] = [{"text": content.pop("words")}]
    return Statement(f"s{number}", kind, source, "main", UUID(int=number), AT, AT, content)


def merged(*statements: Statement) -> tuple[Fact, ...]:
    return merge(statements, merge_rules()).facts


def kinds(*statements: Statement) -> set[str]:
    """The kinds of all conflicts and hints between the statements."""
    return {conflict.kind for fact in merged(*statements) for conflict in fact.conflicts}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Eliquis 5mg tablets (Bristol-Myers Squibb Pharmaceuticals Ltd)", "apixaban"),
        ("Tegretol Retard 200mg tablets", "carbamazepine"),
        ("NAPROXEN tabs 500mg", "naproxen"),
        ("Metformin hydrochloride 500mg modified-release tablets", "metformin"),
        ("Co-amoxiclav 500mg/125mg tablets", "amoxicillin+clavulanic acid"),
        ("Frusemide 40mg", "furosemide"),
        ("GTN spray", "glyceryl trinitrate"),
        ("Amlodipne 5mg tabs", "amlodipine"),
        ("Levothyroxine sodium 100microgram tablets", "levothyroxine"),
        ("Adcal-D3 caplets", "calcium carbonate+colecalciferol"),
        ("Somethingnew 5mg tablets", "somethingnew"),
        ("Compound 10 tablets", "compound 10"),
    ],
)
def test_a_name_is_read_as_its_ingredients(name: str, key: str) -> None:
    assert product_of(name).key == key


def test_medicines_with_like_names_are_not_taken_for_each_other() -> None:
    pairs = [("hydralazine", "hydroxyzine"), ("prednisone", "prednisolone"), ("clobazam", "clonazepam")]

    assert all(product_of(f"{a} 5mg").key != product_of(f"{b} 5mg").key for a, b in pairs)


@pytest.mark.parametrize("kind", ["MedicationRequest", "MedicationStatement"])
@pytest.mark.parametrize("status", ["stopped", "on-hold"])
def test_a_stop_or_pause_by_ingredient_is_raised_at_the_product_of_another_source(kind: str, status: str) -> None:
    repeat = entry(1, "A81001", "Lisinopril 10mg tablets", code="319000", authoredOn="2026-06-01")
    stop = entry(2, "RZ3", "LISINOPRIL", kind=kind, status=status, authoredOn="2026-11-20")

    facts = merged(repeat, stop)

    assert [[conflict.kind for conflict in fact.conflicts if not conflict.is_hint] for fact in facts] == [
        ["status"]
    ] * 2


def test_a_stop_of_another_ingredient_an_own_replacement_or_before_the_start_is_no_conflict() -> None:
    repeat = entry(1, "A81001", "Lisinopril 10mg tablets", authoredOn="2026-06-01")
    other = entry(2, "RZ3", "Amlodipine 5mg tablets", status="stopped", authoredOn="2026-11-20")
    own = entry(3, "A81001", "Lisinopril 5mg tablets", status="stopped", authoredOn="2026-01-01")
    before = entry(4, "RZ3", "Zestril", kind=TAKEN, status="stopped", effectivePeriod={"end": "2026-01-03"})

    assert kinds(repeat, other, own, before) == set()


def test_a_completed_supply_or_a_short_course_stops_no_repeat() -> None:
    repeat = entry(
        1,
        "A81001",
        "Prednisolone 5mg tablets",
        words="one daily",
        courseOfTherapyType={"coding": [{"code": "continuous"}]},
    )
    supply = entry(2, "RZ3", "Prednisolone 5mg tablets", status="completed", words="5mg od")
    course = entry(
        3,
        "RZ3",
        "Prednisolone",
        kind=TAKEN,
        status="completed",
        dosage=[{"text": "40mg od for 5 days"}],
    )

    assert kinds(repeat, supply, course) <= {"same-ingredient"}


def test_not_taken_by_ingredient_contradicts_a_repeat() -> None:
    repeat = entry(1, "A81001", "Fluoxetine 20mg capsules", authoredOn="2026-06-01")
    denial = entry(2, "RY6", "Prozac", kind=TAKEN, status="not-taken", dateAsserted="2026-11-25")

    assert "negation" in kinds(repeat, denial)


def test_another_strength_with_the_same_daily_dose_is_a_hint_and_another_daily_dose_a_conflict() -> None:
    gp = entry(1, "A81001", "Furosemide 20mg tablets", code="1", words="Two To Be Taken Each Morning")
    same = entry(2, "RZ3", "Furosemide 40mg tablets", code="2", words="40mg OM")
    double = entry(3, "RZ3", "Furosemide 40mg tablets", code="2", words="80mg OM")

    assert kinds(gp, same) == {"same-ingredient"}
    assert kinds(gp, double) == {"same-ingredient", "dose"}
    assert all(len(fact.members) == 1 for fact in merged(gp, same))
    assert {fact.medicine for fact in merged(gp, same)} == {"furosemide"}


def test_two_strengths_of_one_source_are_a_hint_and_no_conflict() -> None:
    one, three = (entry(n, "A81001", f"Warfarin {n}mg tablets", code=str(n), words=f"{n}mg daily") for n in (1, 3))

    assert kinds(one, three) == {"same-ingredient"}


def test_regular_and_when_required_and_a_syringe_driver_stay_apart_without_a_conflict() -> None:
    ampoules = "Oxycodone 10mg/1ml solution for injection ampoules"
    prn = entry(1, "A81001", ampoules, code="7", words="2.5mg SC PRN")
    driver = entry(2, "RY6", ampoules, code="7", words="20mg via syringe driver over 24 hours")
    regular = entry(3, "RZ3", "Paracetamol 500mg tablets", code="8", words="Two four times a day")
    required = entry(4, "A81001", "Paracetamol 500mg tablets", code="8", words="1g QDS PRN")

    assert kinds(prn, driver, regular, required) == set()
    assert len(merged(prn, driver, regular, required)) == 4


def test_two_anticoagulants_are_a_conflict_and_two_statins_only_between_sources() -> None:
    assert "same-class" in kinds(entry(1, "A81001", "Warfarin 1mg tablets"), entry(2, "RZ3", "Xarelto 20mg tablets"))
    assert "same-class" in kinds(entry(1, "A81001", "Simvastatin 40mg"), entry(2, "RZ3", "Atorvastatin 80mg tablets"))
    assert kinds(entry(1, "A81001", "Ibuprofen 400mg tablets"), entry(2, "A81001", "Naproxen 250mg tablets")) == set()
    assert kinds(entry(1, "A81001", "Ibuprofen 5% gel"), entry(2, "RZ3", "Naproxen 250mg tablets")) == set()


def test_combinations_that_contain_one_ingredient_get_a_hint() -> None:
    assert kinds(entry(1, "A81001", "Zapain 30mg/500mg capsules"), entry(2, "RZ3", "Paracetamol 500mg")) == {
        "same-ingredient"
    }


@pytest.mark.parametrize(
    ("note", "stopped"),
    [
        ("Switched from warfarin. STOP WARFARIN.", {"warfarin"}),
        ("Replaces ramipril 5mg (cough)", {"ramipril"}),
        ("Clopidogrel discontinued, start ticagrelor", {"clopidogrel"}),
        ("Please withhold metformin; eGFR 25", {"metformin"}),
        ("Simvastatin stopped and atorvastatin started", {"simvastatin"}),
        ("Do not stop bisoprolol suddenly", set()),
        ("Hold ramipril if vomiting", set()),
        ("Take with food", set()),
        ("Continue aspirin", set()),
    ],
)
def test_a_note_stops_the_medicine_that_it_names(note: str, stopped: set[str]) -> None:
    assert read_note(note).ingredients == stopped


def test_a_note_that_stops_another_medicine_is_raised_at_that_medicine() -> None:
    old = entry(1, "A81001", "Clopidogrel 75mg tablets", authoredOn="2026-01-01")
    new = entry(2, "RZ3", "Ticagrelor 90mg tablets", authoredOn="2026-11-20", note=[{"text": "Stop clopidogrel."}])

    (note,) = [each for each in merged(old, new)[0].conflicts if each.kind == "note"]

    assert note.sides == (("s1",), ("s2",))


def test_the_issues_of_a_repeat_belong_to_it_and_stop_nothing() -> None:
    plan = entry(1, "A81001", "Amlodipine 5mg tablets", code="5", intent="plan")
    issue = entry(
        2,
        "A81001",
        "Amlodipine 5mg tablets",
        code="5",
        status="completed",
        basedOn=[{"reference": "MedicationRequest/s1"}],
    )
    hospital = entry(3, "RZ3", "Amlodipine 5mg tablets", code="5")

    facts = {fact.id: fact for fact in merged(plan, issue, hospital)}

    assert facts["s1"].issues == ("s2",)
    assert all(not fact.conflicts for fact in facts.values())


def test_an_identifier_that_was_replaced_is_the_present_one() -> None:
    old = entry(1, "A81001", "Amoxicillin 250mg capsules", code="323509004")
    new = entry(2, "RZ3", "Amoxicillin 250mg capsules", code="39732311000001104")

    assert len(merged(old, new)) == 1


@needs_clinical_cases
@pytest.mark.parametrize("number", ["01", "04", "26", "28"])
def test_lines_of_one_medicine_say_so(number: str) -> None:
    assert "Same medicine" in shown_case(number)["Medicines"]
