"""An alert on a topic, such as a pregnancy, is read with what others say of it; nothing is left without its name."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import HOSPITAL, said, told

from onestory.record.merge.model import Statement

MISCARRIAGE: dict[str, Any] = {"clinicalStatus": {"coding": [{"code": "active"}]}}


def flag(words: str, **period: str) -> Statement:
    return said("Flag", "f", status="active", code={"text": words}, period={"start": "2026-06-01", **period})


def ended(onset: str) -> Statement:
    return said("Condition", "c", HOSPITAL, code={"text": "Complete miscarriage"}, onsetDateTime=onset, **MISCARRIAGE)


def test_an_alert_of_a_pregnancy_that_has_ended_says_so() -> None:
    shown = told(flag("Pregnant - booked"), ended("2026-07-02"))
    assert "2 Jul 2026: Complete miscarriage. Check which counts." in shown["Alerts"]
    assert "Pregnancy has ended" in shown["Pregnancy"]
    assert "Before: Pregnant - booked (1 Jun 2026)" in shown["Pregnancy"]


def test_an_alert_that_is_newer_than_the_other_words_stands_as_it_is() -> None:
    shown = told(flag("Pregnant - booked"), ended("2024-07-02"))
    assert "Check which counts" not in shown["Alerts"]
    assert shown["Pregnancy"].count("Pregnant") >= 1


def test_an_alert_whose_period_is_over_tells_of_no_pregnancy() -> None:
    assert "Pregnancy" not in told(flag("Pregnant", end="2026-06-20"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            said(
                "ImmunizationRecommendation",
                "i",
                recommendation=[{"vaccineCode": [{"text": "MMR vaccine"}], "forecastStatus": {"text": "Overdue"}}],
            ),
            "MMR vaccine: Overdue",
        ),
        (
            said(
                "Goal",
                "g",
                lifecycleStatus="active",
                description={"text": "Walk to the shop"},
                achievementStatus={"text": "Achieved"},
            ),
            "Walk to the shop: Achieved, active",
        ),
        (
            said("SupplyDelivery", "s", suppliedItem={"itemCodeableConcept": {"text": "Leg bags 500ml"}}),
            "Leg bags 500ml",
        ),
        (
            said(
                "RiskAssessment",
                "r",
                code={"text": "Suicide risk assessment"},
                prediction=[{"qualitativeRisk": {"text": "High"}}],
                mitigation="Weekly dispensing",
            ),
            "Suicide risk assessment: High: Weekly dispensing",
        ),
    ],
)
def test_what_is_also_held_is_named_with_what_came_of_it(content: Statement, expected: str) -> None:
    assert expected in told(content)["Also held"]


@pytest.mark.parametrize(
    "words", ["Unable to obtain, patient unconscious", "Not known - no family here", "Not asked as in a coma"]
)
def test_a_source_that_does_not_know_and_says_why_states_no_allergy(words: str) -> None:
    shown = told(said("Observation", "o", code={"text": "Allergy status"}, status="final", valueString=words))
    section = shown["Allergies and intolerances"]
    assert "The source does not know" in section
    assert "Active" not in section


@pytest.mark.parametrize("words", ["Not known, but rash with penicillin", "Unknown, reacted to a tablet"])
def test_what_a_source_adds_of_a_reaction_is_still_an_allergy(words: str) -> None:
    shown = told(said("Observation", "o", code={"text": "Allergy status"}, status="final", valueString=words))
    assert "The source does not know" not in shown["Allergies and intolerances"]


@pytest.mark.parametrize(
    "words", ["For full active treatment and resuscitation", "For full treatment and CPR", "Would want CPR"]
)
def test_a_wish_to_be_resuscitated_disagrees_with_a_decision_not_to(words: str) -> None:
    no_cpr = said("Flag", "n", HOSPITAL, status="active", code={"text": "DNACPR"}, period={"start": "2026-06-02"})
    assert "Plans for emergency care disagree." in told(flag(words), no_cpr)["Please note"]


def test_an_allergy_that_only_says_why_nobody_knows_is_none() -> None:
    shown = told(said("AllergyIntolerance", "a", code={"text": "Unable to obtain - dementia"}))
    assert "The source does not know" in shown["Allergies and intolerances"]


@pytest.mark.parametrize("words", ["Refuses PEG feeding", "Not for dialysis", "Refuses intubation"])
def test_a_refusal_of_a_treatment_stands_among_the_plans(words: str) -> None:
    shown = told(said("Consent", "k", status="active", category=[{"text": words}], dateTime="2026-06-01"))
    assert words in shown["Plans for emergency care, and advance decisions"]
