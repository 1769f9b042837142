"""The resources of the copy for the person tell no more than its lines do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.clinical_cases import case, needs_clinical_cases
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, PATIENT, code, known, said, term

from onestory.record.merge.model import Statement
from onestory.record.summary.confidentiality import hide_in_resource
from onestory.record.summary.document import summarise
from onestory.record.summary.person_copy import copy_for_person

ACTIVE = term("condition-clinical", "active")
RESTRICTED = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]}
SECRET = code("86406008", "Secret disease")
KIN = {"reference": "RelatedPerson/kin-a81001", "display": "Mary Kin"}


def whole(*statements: Statement, patient: dict[str, Any] = PATIENT) -> str:
    return summarise(known(*statements, patient=patient), NOW).document.decode()


def copied(*statements: Statement, patient: dict[str, Any] = PATIENT) -> str:
    return summarise(copy_for_person(known(*statements, patient=patient)), NOW).document.decode()


def labelled() -> Statement:
    return said("Condition", "hidden", HOSPITAL, clinicalStatus=ACTIVE, code=SECRET, meta=RESTRICTED)


def medicine(**elements: Any) -> Statement:
    asked: dict[str, Any] = {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Kept 5mg tablets"},
    }
    return said("MedicationRequest", "medicine", **asked, **elements)


@pytest.mark.parametrize(
    "elements",
    [
        {"reasonReference": [{"reference": "Condition/hidden-rz3", "display": "Secret disease"}]},
        {"reasonCode": [SECRET]},
        {"text": {"status": "generated", "div": "<div>Secret disease</div>"}},
        {
            "contained": [
                {"resourceType": "Condition", "id": "c", "meta": RESTRICTED, "code": {"text": "Secret disease"}}
            ]
        },
    ],
)
def test_a_medicine_that_stays_does_not_tell_its_hidden_reason(elements: dict[str, Any]) -> None:
    copy = copied(labelled(), medicine(**elements))

    assert "Kept 5mg tablets" in copy
    assert "Secret" not in copy


def test_an_unlabelled_problem_of_the_same_code_is_left_out_too() -> None:
    unlabelled = said("Condition", "plain", GP, clinicalStatus=ACTIVE, code=SECRET, bodySite=[{"text": "Arm"}])

    assert "Secret" not in copied(labelled(), unlabelled)


@pytest.mark.parametrize(
    "statement",
    [
        said("Encounter", "e", status="finished", reasonCode=[{"text": "Disclosed domestic abuse, Secret"}]),
        said("DocumentReference", "d", status="current", description="Secret MARAC minutes", type={"text": "Letter"}),
        said("ServiceRequest", "s", status="active", intent="order", code={"text": "Secret: modern slavery team"}),
        said("Condition", "c", clinicalStatus=ACTIVE, code={"text": "Secret"}, note=[{"text": "risk to staff"}]),
        said("Observation", "o", status="final", code={"text": "Mood"}, valueString="Secret", performer=[KIN]),
        said("FamilyMemberHistory", "f", status="completed", name="Secret Brother", relationship={"text": "Brother"}),
    ],
)
def test_what_names_harm_or_another_person_anywhere_is_left_out(statement: Statement) -> None:
    assert "Secret" in whole(statement)
    assert "Secret" not in copied(statement)


def test_an_allergy_that_a_relative_told_stays_without_the_relative() -> None:
    kin = said("RelatedPerson", "kin", name=[{"text": "Mary Kin"}])
    allergy = said("AllergyIntolerance", "a", code=code("91936005", "Allergy to penicillin"), asserter=KIN)

    copy = copied(kin, allergy)

    assert "Allergy to penicillin" in copy
    assert "Mary" not in copy


def test_a_kept_number_keeps_its_digits() -> None:
    statement = said("Observation", "o", status="final", code={"text": "Potassium"}, effectiveDateTime="2026-11-01")
    raw = json.dumps(statement.content)[:-1].encode() + b',"valueQuantity":{"value":4.10,"unit":"mmol/L"}}'
    copy = copy_for_person(replace(known(statement), contents={statement.shared_id: raw}))

    assert b"4.10" in copy.contents[statement.shared_id]


@needs_clinical_cases
def test_what_a_source_says_of_somebody_else_with_the_same_number_is_not_in_the_copy() -> None:
    person = case("83")[0]
    known_of = person.known()

    assert b"Ibuprofen" in summarise(known_of, person.at).document
    copy = summarise(copy_for_person(known_of), person.at).document
    assert b"Ibuprofen" not in copy
    assert b"may be another person" not in copy


ACCESS = [
    said("Observation", "o", status="final", code={"text": "Key safe code"}, valueString="4417"),
    said("Observation", "o", status="final", code={"text": "Access"}, component=[
        {"code": {"text": "Door code"}, "valueString": "4417"}]),
    said("CarePlan", "c", status="active", intent="plan", title="Home", description="Key safe, code 4417, by the door"),
    said("QuestionnaireResponse", "q", status="completed", item=[
        {"linkId": "1", "text": "Key safe number", "answer": [{"valueString": "4417"}]}]),
]  # fmt: skip


@pytest.mark.parametrize("statement", ACCESS)
def test_no_resource_of_a_summary_has_an_access_code(statement: Statement) -> None:
    assert "4417" not in copied(statement)
    assert "4417" not in whole(statement)


def test_a_resource_without_an_access_code_keeps_its_bytes() -> None:
    statement = said("Observation", "o", status="final", code={"text": "Potassium"}, note=[{"text": "Keypad broken"}])
    raw = json.dumps(statement.content)[:-1].encode() + b',  "valueQuantity":{"value":4.10,"unit":"mmol/L"}}'

    assert hide_in_resource(raw) == raw


def test_an_access_code_in_an_address_is_hidden() -> None:
    patient = {**PATIENT, "address": [{"line": ["3 High Street (key safe 4417)"], "use": "home"}]}

    assert "4417" not in copied(patient=patient)
    assert "4417" not in whole(patient=patient)


def test_the_word_of_a_source_about_a_contact_is_not_in_the_copy() -> None:
    word = {
        "url": "https://onestory.nhs.uk/StructureDefinition/stated-by-source",
        "extension": [
            {"url": "element", "valueCode": "contact"},
            {"url": "source", "valueReference": {"identifier": {"value": "RZ3"}}},
            {"url": "value", "extension": [{"url": "name", "valueHumanName": {"text": "Mary Kin"}}]},
        ],
    }
    patient = {**PATIENT, "extension": [word], "text": {"status": "generated", "div": "<div>Mary Kin</div>"}}

    assert "Mary" in whole(patient=patient)
    assert "Mary" not in copied(patient=patient)


def test_an_address_that_any_source_protects_is_not_in_the_copy() -> None:
    word = {
        "url": "https://onestory.nhs.uk/StructureDefinition/stated-by-source",
        "extension": [{"url": "element", "valueCode": "meta.security"}],
    }
    patient = {**PATIENT, "address": [{"line": ["1 Invented Lane"]}], "extension": [word]}

    assert "Invented Lane" not in copied(patient=patient)
