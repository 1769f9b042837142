"""A line tells the day on which a statement was recorded from the day on which it was sent."""

from __future__ import annotations

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import NOW, code, said, told

PENICILLIN = code("91936005", "Allergy to penicillin")


@needs_clinical_cases
def test_an_allergy_of_1998_that_was_sent_last_night_is_recorded_in_1998() -> None:
    shown = shown_case("109")

    assert "recorded 3 Apr 1998, sent 29 Nov 2026" in shown["Allergies and intolerances"]
    assert "recorded 2 Jan 1999, sent 29 Nov 2026" in shown["Problems"]


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ({"recordedDate": "1998"}, "recorded 1998, sent 22 Nov 2026"),
        ({"recordedDate": "1998-05"}, "recorded May 1998, sent 22 Nov 2026"),
        ({"recordedDate": "2026-06-30T23:30:00Z"}, "recorded 1 Jul 2026, sent 22 Nov 2026"),
        ({"recordedDate": "2026-11-22"}, "Surgery, recorded 22 Nov 2026\n"),
        ({}, "Surgery, sent 22 Nov 2026"),
    ],
)
def test_both_days_are_shown_if_they_differ(recorded: dict[str, str], words: str) -> None:
    allergy = said("AllergyIntolerance", "a", code=PENICILLIN, recorded=NOW, **recorded)

    assert words in told(allergy)["Allergies and intolerances"] + "\n"


def test_a_medicine_states_when_it_was_asserted() -> None:
    aspirin = said(
        "MedicationStatement",
        "m",
        status="active",
        medicationCodeableConcept={"text": "Aspirin"},
        dateAsserted="2019-02-01",
    )

    assert "recorded 1 Feb 2019, sent 22 Nov 2026" in told(aspirin)["Medicines"]
