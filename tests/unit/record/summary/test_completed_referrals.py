"""The summary shows the last completed referrals, each with its outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.record.summary.written import said, told

from onestory.record.merge.model import Statement
from onestory.shared.events import REFERRAL_SYSTEM


def completed(name: str, day: int, *outputs: dict[str, Any], **elements: Any) -> list[Statement]:
    """A referral that was made here and completed on this day of May, and its Task."""
    request = said("ServiceRequest", name, status="completed", code={"text": name}, **elements)
    focus = {"reference": f"ServiceRequest/{request.shared_id}"}
    ended = f"2026-05-{day:02}T09:00:00Z"
    of_request = said(
        "Task", f"task-of-{name}", status="completed", focus=focus, lastModified=ended, output=list(outputs)
    )
    return [replace(each, system=REFERRAL_SYSTEM) for each in (request, of_request)]


def test_completed_referrals_stand_with_their_outcomes_the_last_first() -> None:
    letter = {"type": {"text": "output"}, "valueReference": {"reference": "DocumentReference/d", "display": "Letter"}}
    first = completed("Physiotherapy", 2, {"type": {"text": "outcome"}, "valueString": "Exercises at home"}, letter)
    onward = completed(
        "Social prescribing",
        3,
        {"type": {"text": "outcome"}, "valueCodeableConcept": {"text": "Goes to the lunch club"}},
        basedOn=[{"reference": f"ServiceRequest/{first[0].shared_id}"}],
        reasonCode=[{"text": "Lonely"}],
    )

    sections = told(*first, *onward)

    plan = sections["Plan of care"]
    for words in (
        "Completed referrals",
        "Outcome: Exercises at home",
        "Outcome: Letter",
        "Outcome: Goes to the lunch club",
        "Lonely",
        "Completed 3 May 2026",
        "Part of a journey",
    ):
        assert words in plan
    assert plan.index("Social prescribing") < plan.index("Physiotherapy")
    assert "Also held" not in sections


def test_ten_completed_referrals_are_shown_and_the_others_are_counted() -> None:
    many = [each for day in range(1, 13) for each in completed(f"Clinic {day:02}", day)]

    sections = told(*many)

    assert sections["Plan of care"].count("Clinic") == 10
    assert "Clinic 12" in sections["Plan of care"]
    assert "ServiceRequest: 2" in sections["Also held"]


def test_advice_that_ended_is_no_completed_referral() -> None:
    advice = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "code": "a8t1"}]}

    assert "Plan of care" not in told(*completed("Dermatology", 2, category=[advice]))
