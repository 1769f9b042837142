"""Answers, messages, deaths in words and places of now are told where a reader looks for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.record.summary.written import HOSPITAL, NOW, code, known, said, sections, told

from onestory.record.summary.document import summarise
from onestory.record.summary.narrative import plain_text

PLANS = "Plans for emergency care, and advance decisions"
MOMENT = "2026-11-18T09:00:00Z"


def answer(question: str, **value: Any) -> dict[str, Any]:
    return {"status": "completed", "authored": MOMENT, "item": [{"linkId": "1", "text": question, "answer": [value]}]}


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("Resuscitation status", {"valueCoding": {"display": "Not for attempted CPR"}}),
        ("DNACPR in place?", {"valueBoolean": True}),
        ("For attempted CPR?", {"valueString": "No"}),
    ],
)
def test_an_answer_about_resuscitation_is_a_plan_and_contradicts_another(question: str, value: dict[str, Any]) -> None:
    answered = said("QuestionnaireResponse", "q", **answer(question, **value))
    form = said(
        "CarePlan", "c", HOSPITAL, status="active", title="ReSPECT form", description="CPR attempts recommended"
    )

    assert question in told(answered)[PLANS]
    assert "disagree" in told(answered, form)["Please note"]


def test_an_answer_that_there_is_no_form_is_no_plan() -> None:
    shown = told(said("QuestionnaireResponse", "q", **answer("DNACPR in place?", valueBoolean=False)))

    assert PLANS not in shown
    assert "DNACPR in place?: no" in shown["Also held"]


def test_a_message_not_to_resuscitate_is_a_plan_and_a_question_to_a_colleague_is_none() -> None:
    def message(words: str) -> dict[str, str]:
        return told(said("Communication", "m", status="completed", payload=[{"contentString": words}]))

    assert "In force\n" in message("Not for resuscitation, agreed with family")[PLANS]
    assert PLANS not in message("Is he for resuscitation? Please ring.")


def test_a_diet_and_equipment_on_order_are_shown_by_name() -> None:
    diet = {"type": [{"text": "IDDSI level 4 pureed diet"}], "fluidConsistencyType": [{"text": "Thickened fluids"}]}
    shown = told(
        said("NutritionOrder", "n", status="active", intent="order", oralDiet=diet),
        said("DeviceRequest", "d", status="active", intent="order", codeCodeableConcept={"text": "Hospital bed"}),
    )

    assert "IDDSI level 4 pureed diet, Thickened fluids" in shown["Plan of care"]
    assert "Hospital bed" in shown["Plan of care"]
    assert "Also held" not in shown


def test_a_death_that_is_recorded_as_a_diagnosis_is_told_and_that_of_another_is_not() -> None:
    died = said("Condition", "c", HOSPITAL, code={"text": "Patient died"}, recordedDate="2026-11-20")

    assert "Vale Royal Hospital recorded: Patient died (20 Nov 2026)." in told(died)["Please note"]
    for words in ("Mother died", "Preferred place of death: home"):
        assert "Please note" not in told(said("Condition", "c", code={"text": words}))
    slip = said("Observation", "o", status="final", code=code("419099009", "Blood culture"))
    assert "Please note" not in told(slip)


def test_the_head_says_where_the_person_is_now() -> None:
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    stay: dict[str, Any] = {"class": {"system": act, "code": "IMP"}, "period": {"start": "2026-11-20T08:00:00Z"}}

    def head(status: str) -> str:
        summary = summarise(known(said("Encounter", "e", HOSPITAL, status=status, **stay)), NOW)
        return plain_text(json.loads(summary.document)["entry"][0]["resource"]["text"]["div"])

    assert "In hospital now: Vale Royal Hospital" in head("in-progress")
    assert "In hospital now" not in head("finished")


def test_a_key_worker_stands_among_the_contacts_and_not_again_in_the_team() -> None:
    members = [
        {"role": [{"text": "Key worker"}], "member": {"display": "Joan Bell"}},
        {"role": [{"text": "Physiotherapist"}], "member": {"display": "Tom Lee"}},
    ]
    shown = told(said("CareTeam", "t", status="active", name="District nursing", participant=members))

    assert shown["Contacts and teams"].count("Joan Bell") == 1
    assert "Tom Lee" in shown["Contacts and teams"]


def test_an_appointment_that_was_missed_is_named() -> None:
    missed = said("Appointment", "a", status="noshow", description="Eye screening", start="2026-10-01T09:00:00Z")

    assert "Did not attend: Eye screening (1 Oct 2026, 10:00)" in told(missed)["Next appointments"]


def test_sections_of_requests_refer_to_care_plans_only() -> None:
    diet = {"type": [{"text": "Pureed diet"}]}
    summary = summarise(known(said("NutritionOrder", "n", status="active", intent="order", oralDiet=diet)), NOW)

    assert "entry" not in sections(summary)["18776-5"]
