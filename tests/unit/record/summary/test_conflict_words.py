"""Tests of how a conflict is written on the page."""

from __future__ import annotations

from typing import Any

from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, code, said, told

from onestory.record.merge.model import Statement

GP_NAME, HOSPITAL_NAME = "Harbour Street Surgery", "Vale Royal Hospital"


def prescribed(organisation: str, dose: str = "One a day", **elements: Any) -> Statement:
    return said(
        "MedicationRequest",
        "w",
        organisation,
        **{
            "status": "active",
            "intent": "order",
            "authoredOn": "2026-06-01",
            "medicationCodeableConcept": code("48603004", "Warfarin"),
            "dosageInstruction": [{"text": dose}],
            **elements,
        },
    )


def test_a_pause_says_who_paused_when_and_why_and_who_still_lists_it() -> None:
    paused = prescribed(HOSPITAL, status="on-hold", statusReason={"text": "Before surgery"})

    medicines = told(prescribed(GP), paused)["Medicines"]

    assert f"PAUSED by {HOSPITAL_NAME}, 22 Nov 2026 (Before surgery)." in medicines
    assert f"Still on the list of {GP_NAME}: One a day." in medicines


def test_the_day_of_a_stop_is_the_end_that_is_stated() -> None:
    taken: dict[str, Any] = {
        "medicationCodeableConcept": code("48603004", "Warfarin"),
        "dosage": [{"text": "One a day"}],
    }
    going_on = said("MedicationStatement", "w", GP, status="active", effectivePeriod={"start": "2026-01-01"}, **taken)
    stopped = said(
        "MedicationStatement",
        "w",
        HOSPITAL,
        status="stopped",
        effectivePeriod={"start": "2026-01-01", "end": "2026-11-03"},
        **taken,
    )

    assert f"STOPPED by {HOSPITAL_NAME}, 3 Nov 2026." in told(going_on, stopped)["Medicines"]


def test_every_side_of_a_dose_conflict_has_its_source_and_day() -> None:
    def dose(milligrams: int) -> dict[str, Any]:
        return {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": milligrams, "unit": "mg"}}]}]}

    one, other = prescribed(GP, **dose(3)), prescribed(HOSPITAL, authoredOn="2026-11-02", **dose(4))

    medicines = told(one, other)["Medicines"]

    assert f"DOSES DIFFER:\n{HOSPITAL_NAME}, 2 Nov 2026: 4 mg\n{GP_NAME}, 1 Jun 2026: 3 mg" in medicines


@needs_clinical_cases
def test_a_weekly_dose_that_is_paused_says_so_first() -> None:
    medicines = shown_case("11")["Medicines"]

    assert "PAUSED by RZ3, 20 Nov 2026 (Withheld: neutropenic sepsis." in medicines
    assert "Still on the GP's repeat list (A81001)" in medicines


@needs_clinical_cases
def test_both_doses_of_a_never_event_stand_side_by_side() -> None:
    medicines = shown_case("13")["Medicines"]

    assert "RZ3, 28 Nov 2026: 10 mg" in medicines
    assert "A81001, 14 Sep 2026: Four Tablets To Be Taken ONCE A WEEK On Monday" in medicines


@needs_clinical_cases
def test_a_medicine_that_the_person_does_not_take_says_when_that_was_recorded() -> None:
    assert "NOT TAKEN on 25 Nov 2026, as RZ1 recorded" in shown_case("97")["Medicines"]
