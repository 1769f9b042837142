"""A supply or a dose that was given stands at the order of its product; another dose than the ordered one is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.medicines import order, use
from tests.unit.record.summary.written import GP, HOSPITAL, said, told

PHARMACY = "FA123"
DEPOT = "Zuclopenthixol decanoate 200mg/1ml injection"
UNMATCHED = "Supplied or given; matched to no current prescription"
OTHERWISE = "SUPPLIED OTHERWISE THAN PRESCRIBED"


def handed(local_id: str, name: str, words: str = "", on: str = "2026-11-10", **more: Any) -> Any:
    stated = {"status": "completed", "whenHandedOver": on, "medicationCodeableConcept": {"text": name}, **more}
    if words:
        stated["dosageInstruction"] = [{"text": words}]
    return said("MedicationDispense", local_id, PHARMACY, **stated)


def given(local_id: str, name: str, words: str, on: str = "2026-11-20") -> Any:
    concept = {"text": name}
    return said(
        "MedicationAdministration",
        local_id,
        HOSPITAL,
        status="completed",
        medicationCodeableConcept=concept,
        effectiveDateTime=on,
        dosage={"text": words},
    )


def listed(name: str, words: str, on: str = "2026-04-01") -> Any:
    return order("gp", GP, name, words, on)


@pytest.mark.parametrize(
    ("ordered", "supply"),
    [
        (("Donepezil 10mg tablets", "One at night"), given("g", "Donepezil 10mg tablets", "10 mg")),
        (("Apixaban 5mg tablets", "One BD"), handed("d", "Apixaban 5mg tablets", "ONE to be taken TWICE a day")),
        (("Ramipril 5mg capsules", "One daily"), handed("d", "Ramipril 5mg capsules")),
    ],
)
def test_a_supply_of_the_same_product_and_dose_stands_at_its_order(ordered: tuple[str, str], supply: Any) -> None:
    shown = told(listed(*ordered), supply)["Medicines"]
    assert UNMATCHED not in shown
    assert "Last given 20 Nov 2026" in shown or "Last issued 10 Nov 2026" in shown


@pytest.mark.parametrize(
    ("ordered", "supply"),
    [
        (("Donepezil 10mg tablets", "One at night"), given("g", "Donepezil 5mg tablets", "5 mg")),
        (
            ("Morphine sulfate 10mg/5ml oral solution", "5 ml"),
            given("g", "Morphine sulfate 10mg/1ml injection", "5 mg"),
        ),
        (
            ("Priadel 400mg modified-release tablets", "One at night"),
            handed("d", "Camcolit 400mg tablets", "One nocte"),
        ),
        (("Warfarin 1mg tablets", "As directed"), handed("d", "Warfarin 1mg tablets", "Take three daily")),
    ],
)
def test_another_product_or_dose_keeps_its_own_line(ordered: tuple[str, str], supply: Any) -> None:
    assert UNMATCHED in told(listed(*ordered), supply)["Medicines"]


@pytest.mark.parametrize(
    ("ordered", "supply"),
    [
        (("Apixaban 5mg tablets", "One BD"), handed("d", "Apixaban 2.5mg tablets", "ONE to be taken TWICE a day")),
        (("Levothyroxine 100microgram tablets", "One daily"), handed("d", "Levothyroxine 25microgram tablets", "1 od")),
        (
            ("Methotrexate 2.5mg tablets", "Six once a week"),
            handed("d", "Methotrexate 10mg tablets", "Six once a week"),
        ),
    ],
)
def test_another_dose_than_the_ordered_one_stands_at_the_top_and_at_both_lines(
    ordered: tuple[str, str], supply: Any
) -> None:
    shown = told(listed(*ordered), supply)
    assert OTHERWISE in shown["Please note"]
    assert shown["Medicines"].count(OTHERWISE) == 2


def test_a_depot_of_another_dose_is_told_and_a_single_dose_of_a_ward_is_not() -> None:
    depot = listed(DEPOT, "200 mg every 2 weeks")
    assert "GIVEN OTHERWISE" in str(told(depot, given("g", DEPOT, "300 mg IM")))
    daily = listed("Furosemide 40mg tablets", "One daily")
    assert "OTHERWISE" not in str(told(daily, given("g", "Furosemide 40mg tablets", "80 mg")))


@pytest.mark.parametrize(
    "others",
    [
        # Supplied before the dose was changed.
        [listed("Apixaban 5mg tablets", "One BD", "2026-11-15"), handed("d", "Apixaban 2.5mg tablets", "One BD")],
        # The newest supply is as ordered.
        [
            listed("Apixaban 5mg tablets", "One BD"),
            handed("d", "Apixaban 2.5mg tablets", "One BD", "2026-10-10"),
            handed("e", "Apixaban 5mg tablets", "One BD"),
        ],
        # Two strengths make up one dose.
        [
            listed("Levothyroxine 100microgram tablets", "One daily"),
            order("b", GP, "Levothyroxine 25microgram tablets", "One daily"),
            handed("d", "Levothyroxine 25microgram tablets", "One daily"),
        ],
        # 10 mg in tablets of 5 mg.
        [listed("Amlodipine 10mg tablets", "One daily"), handed("d", "Amlodipine 5mg tablets", "Two daily")],
        # For the time being, over what is regular.
        [
            order(
                "gp",
                GP,
                "Prednisolone 5mg tablets",
                "One daily",
                courseOfTherapyType={"coding": [{"code": "continuous"}]},
            ),
            handed("d", "Prednisolone 5mg tablets", "Six daily for 5 days", "2026-11-20"),
        ],
        [listed("Salbutamol 100micrograms inhaler", "Two puffs BD"), handed("d", "Salbutamol 2mg tablets", "One PRN")],
    ],
)
def test_what_explains_another_supply_is_no_alarm(others: list[Any]) -> None:
    assert "OTHERWISE" not in str(told(*others))


def test_alike_supplies_of_one_pharmacy_are_one_line() -> None:
    months = [handed(f"d{n}", "Creon 25000 capsules", "Two with meals", f"2026-{n}-01") for n in ("09", "10", "11")]
    shown = told(*months)["Medicines"]
    assert shown.count("Creon") == 1
    assert "And on 2 earlier occasions, first 1 Sep 2026" in shown
    assert "1 Nov 2026 by" in shown


@pytest.mark.parametrize("name", ["Naproxen 250mg tablets", "Ibuprofen 400mg tablets"])
def test_a_supply_of_a_class_that_is_not_to_be_given_stands_at_the_top(name: str) -> None:
    forbidden = order("r", HOSPITAL, "NSAIDs", on="2026-10-20", doNotPerform=True)
    assert "SUPPLIED all the same" in told(forbidden, handed("d", name))["Please note"]
    assert "all the same" not in str(told(forbidden, handed("d", "Paracetamol 500mg tablets")))


@pytest.mark.parametrize(
    ("words", "is_over"),
    [
        ("Patch removed 18/11 - oxycodone by syringe driver", True),
        ("Implant removed 18/11/2026", True),
        ("Patch removed and new patch applied 18/11", False),
    ],
)
def test_a_patch_that_was_removed_is_not_given(words: str, *, is_over: bool) -> None:
    shown = told(listed("Fentanyl 50micrograms/hour transdermal patches", words))["Medicines"]
    assert shown.startswith("Stopped or ended") is is_over


@pytest.mark.parametrize(
    ("note", "is_told"),
    [
        ("Hold furosemide until U&Es checked Monday", True),
        ("Withhold furosemide until seen in clinic", True),
        ("Continue furosemide until stopped by clinic", False),
    ],
)
def test_a_note_that_holds_another_medicine_until_a_review_is_told(note: str, *, is_told: bool) -> None:
    other = order("s", HOSPITAL, "Spironolactone 25mg tablets", "25mg OD", "2026-11-20", note=[{"text": note}])
    shown = told(listed("Furosemide 40mg tablets", "One each morning"), other)
    assert ("by a note?" in shown.get("Please note", "")) is is_told


@pytest.mark.parametrize(
    ("name", "on", "is_shown"),
    [
        ("Mirena 20micrograms/24hours intrauterine delivery system", "2022-03-01", True),
        ("Nexplanon 68mg implant", "2024-05-01", True),
        ("Nexplanon 68mg implant", "2022-05-01", False),
        ("Ceftriaxone 2g powder for solution for injection vials", "2024-05-01", False),
    ],
)
def test_what_is_still_in_the_body_is_in_sight(name: str, on: str, *, is_shown: bool) -> None:
    assert told(given("g", name, "1", on))["Medicines"].startswith("Supplied or given") is is_shown


def test_a_patch_that_was_removed_for_a_syringe_driver_is_told_at_the_order() -> None:
    name = "Fentanyl 50micrograms/hour transdermal patches"
    removed = use("r", HOSPITAL, name, "Patch removed 18/11 - switched to oxycodone CSCI")
    assert "STOPPED" in told(listed(name, "One every 72 hours"), removed)["Please note"]
