"""A disagreement on a medicine that changes what one does stands at the top, with the name of the medicine."""

from __future__ import annotations

from typing import Any

from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, code, said, told

METHOTREXATE = ("327066006", "Methotrexate 2.5mg tablets")
RAMIPRIL = ("318906001", "Ramipril 5mg capsules")


def ordered(local_id: str, organisation: str, medicine: tuple[str, str], status: str = "active", **more: Any) -> Any:
    named = code(*medicine)
    return said(
        "MedicationRequest",
        local_id,
        organisation,
        status=status,
        intent="order",
        medicationCodeableConcept=named,
        authoredOn="2026-11-01",
        **more,
    )


def dose(times: float, unit: str) -> list[dict[str, Any]]:
    quantity = {"value": 10, "unit": "mg", "code": "mg", "system": "http://unitsofmeasure.org"}
    timing = {"repeat": {"frequency": times, "period": 1, "periodUnit": unit}}
    return [{"timing": timing, "doseAndRate": [{"doseQuantity": quantity}]}]


DAILY = ordered("m1", HOSPITAL, METHOTREXATE, dosageInstruction=dose(1, "d"))
WEEKLY = ordered("m2", GP, METHOTREXATE, dosageInstruction=dose(1, "wk"))


def test_doses_that_differ_stand_at_the_top_once_with_the_name_first() -> None:
    notice = told(DAILY, WEEKLY)["Please note"]
    assert notice.startswith("Methotrexate 2.5mg tablets: DOSES DIFFER:")
    assert notice.count("DOSES DIFFER") == 1


def test_a_stop_comes_before_a_dose() -> None:
    given = ordered("r1", GP, RAMIPRIL)
    stopped = ordered("r2", HOSPITAL, RAMIPRIL, "stopped", statusReason={"text": "AKI"})
    notice = told(DAILY, WEEKLY, given, stopped)["Please note"]
    assert notice.index("Ramipril 5mg capsules: STOPPED") < notice.index("Methotrexate")


def test_a_medicine_that_is_paused_has_no_second_notice_for_its_dose() -> None:
    paused = ordered("m1", HOSPITAL, METHOTREXATE, "on-hold", dosageInstruction=dose(1, "d"))
    notice = told(paused, WEEKLY)["Please note"]
    assert "PAUSED" in notice
    assert "DOSES DIFFER" not in notice


def test_one_dose_in_two_sources_is_no_notice() -> None:
    same = ordered("m3", HOSPITAL, METHOTREXATE, dosageInstruction=dose(1, "wk"))
    assert "Please note" not in told(WEEKLY, same)


def test_many_disagreements_are_named_and_not_cut_in_silence() -> None:
    pairs = [
        (ordered(f"a{n}", GP, (f"{n}", f"Drug {n}")), ordered(f"b{n}", HOSPITAL, (f"{n}", f"Drug {n}"), "stopped"))
        for n in range(10, 21)
    ]
    notice = told(*[each for pair in pairs for each in pair])["Please note"]
    assert "Sources disagree on more medicines: Drug 18, Drug 19, Drug 20." in notice


@needs_clinical_cases
def test_methotrexate_every_day_and_every_week_stands_at_the_top() -> None:
    assert shown_case("13")["Please note"].startswith("Methotrexate 2.5mg tablets: DOSES DIFFER")


def test_a_note_that_stops_another_medicine_stands_at_the_top_with_its_words() -> None:
    edoxaban = ordered("e1", HOSPITAL, ("1", "Edoxaban 60mg tablets"), note=[{"text": "STOP rivaroxaban"}])
    rivaroxaban = ordered("r1", GP, ("2", "Rivaroxaban 20mg tablets"))

    told_of = told(edoxaban, rivaroxaban)

    assert told_of["Please note"].startswith(
        "Rivaroxaban 20mg tablets: Stopped by a note? “STOP rivaroxaban” (Edoxaban"
    )
    assert "Two anticoagulants are current." not in told_of["Please note"]
    assert "Two anticoagulants are current." in told_of["Medicines"]


def test_two_medicines_of_a_class_stand_at_the_top() -> None:
    notice = told(
        ordered("e1", HOSPITAL, ("1", "Edoxaban 60mg tablets")), ordered("r1", GP, ("2", "Rivaroxaban 20mg tablets"))
    )["Please note"]

    assert "Two anticoagulants are current." in notice
    assert "Edoxaban 60mg tablets (Vale Royal Hospital, 1 Nov 2026)" in notice


@needs_clinical_cases
def test_a_hint_names_the_lines_and_does_not_repeat_them() -> None:
    medicines = shown_case("4")["Medicines"]

    assert "Same medicine in another strength at another source: not two medicines to give. Metformin 1g" in medicines
    assert medicines.count("Two To Be Taken Twice A Day") == 1


@needs_clinical_cases
def test_a_regular_medicine_and_one_that_is_kept_just_in_case_are_not_called_one_to_give() -> None:
    assert "Same medicine" not in shown_case("19")["Medicines"]


@needs_clinical_cases
def test_two_strengths_of_one_source_may_be_one_regimen() -> None:
    medicines = shown_case("8")["Medicines"]

    assert "read the lines together" in medicines
    assert "not two medicines to give" not in medicines
