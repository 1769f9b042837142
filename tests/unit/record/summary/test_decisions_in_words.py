"""Decisions that an Observation names or answers; those of relatives are not the person's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, said, term, told

from onestory.record.merge.model import Statement

PLANS = "Plans for emergency care, and advance decisions"
IN_FORCE = said(
    "Condition",
    "dnacpr",
    HOSPITAL,
    clinicalStatus=term("condition-clinical", "active"),
    code={"text": "Not for resuscitation"},
    recordedDate="2026-01-01",
)


def observed(name: str, value: str = "", local_id: str = "o", organisation: str = GP, **more: Any) -> Statement:
    stated = {"valueString": value} if value else {}
    elements = {"status": "final", "code": {"text": name}, "effectiveDateTime": "2026-06-01", **stated, **more}
    return said("Observation", local_id, organisation, **elements)


@pytest.mark.parametrize(
    "name",
    [
        "Husband has DNACPR in place",
        "Mother is not for resuscitation",
        "Wife's DNACPR",
        "Father had a DNACPR",
        "Mother has advance decision",
        "Carer has lasting power of attorney",
    ],
)
def test_the_decision_of_somebody_else_is_no_plan_of_the_person(name: str) -> None:
    assert PLANS not in told(observed(name))


@pytest.mark.parametrize(
    "name", ["Husband aware of DNACPR", "DNACPR agreed with wife", "Daughter informed: not for resuscitation"]
)
def test_the_persons_own_decision_that_relatives_know_stays(name: str) -> None:
    assert name in told(observed(name))[PLANS]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Resuscitation status", "For full resuscitation"),
        ("CPR decision", "Not for CPR"),
        ("Treatment plan", "For full active treatment including CPR"),
        ("Clinical note", "Agreed: not for resuscitation"),
    ],
)
def test_an_answer_about_resuscitation_is_a_plan(name: str, value: str) -> None:
    assert value in told(observed(name, value))[PLANS]


@pytest.mark.parametrize(
    "name", ["Does not want to be resuscitated", "Patient declines CPR", "CPR status: do not attempt CPR"]
)
def test_the_persons_refusal_of_resuscitation_is_a_decision(name: str) -> None:
    wanted = observed("CPR status", "Patient wishes CPR", "b", HOSPITAL)

    assert "Plans for emergency care disagree." in told(observed(name), wanted)["Please note"]


@pytest.mark.parametrize("value", ["No", "no.", "For full resuscitation"])
def test_an_answer_that_no_decision_holds_contradicts_one_in_force(value: str) -> None:
    notice = told(IN_FORCE, observed("DNACPR status", value))["Please note"]

    assert "Plans for emergency care disagree." in notice
    assert value.rstrip(".") in notice


def test_for_resuscitation_and_no_decision_against_it_agree() -> None:
    both = (observed("Resuscitation status", "For full resuscitation"), observed("No DNACPR in place", local_id="b"))

    assert "Please note" not in told(*both)


@pytest.mark.parametrize(
    "name",
    [
        "Refuses blood transfusion",
        "Refusal of blood products (Jehovah's Witness)",
        "Does not consent to transfusion of red cells",
        "Crisis and contingency plan discussed",
        "Not for escalation to intensive care",
        "On gold standards palliative care framework",
    ],
)
def test_a_refusal_of_blood_and_a_crisis_plan_stand_among_the_plans(name: str) -> None:
    assert name in told(observed(name))[PLANS]


@pytest.mark.parametrize("name", ["Refuses blood test", "Blood transfusion", "Declined blood pressure check"])
def test_other_words_about_blood_are_no_plan(name: str) -> None:
    assert PLANS not in told(observed(name))
