"""A summary names and includes the resources that its resources refer to, and no reference in it leads nowhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.record.summary.written import NOW, PATIENT, Json, known, resources, said, texts

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.summary.document import summarise
from onestory.record.summary.model import Summary

KEY = "a" * 26
MEDICATION, MAKER, DOCTOR, UNKNOWN = ("b" * 26, "c" * 26, "d" * 26, "e" * 26)
DIRECTORY: dict[str, Json] = {
    MEDICATION: {
        "resourceType": "Medication",
        "code": {"text": "Warfarin 3 mg tablets"},
        "manufacturer": {"reference": f"Organization/{MAKER}"},
    },
    MAKER: {"resourceType": "Organization", "name": "Maker"},
    DOCTOR: {"resourceType": "Practitioner", "name": [{"text": "Dr Rao"}]},
}
ALLERGY: Json = {"clinicalStatus": {"coding": [{"code": "active"}]}, "code": {"text": "Penicillin"}}


def summary(*statements: Statement, directory: dict[str, Json] = DIRECTORY, patient: Json = PATIENT) -> Summary:
    stored = {each: {"id": each, "meta": {}, **resource} for each, resource in directory.items()}
    summary_input = known(
        *statements,
        patient=patient,
        merged=merge(statements, merge_rules(), stored),
        directory={each: (one["resourceType"], json.dumps(one).encode()) for each, one in stored.items()},
    )
    return summarise(summary_input, NOW)


def taken(reference: str, **elements: Any) -> Statement:
    named = {"status": "active", "medicationReference": {"reference": reference}}
    return said("MedicationStatement", "m", **{**named, **elements})


def under_key(statement: Statement, resource_hash: str) -> Statement:
    shared_id = f"{KEY}-{resource_hash}"
    return replace(statement, shared_id=shared_id, content={**statement.content, "id": shared_id})


def shown(document: Summary, resource_type: str) -> list[Json]:
    return [each for each in resources(document) if each["resourceType"] == resource_type]


def test_a_medicine_of_the_directory_is_named_and_included_with_what_it_refers_to() -> None:
    document = summary(taken(f"Medication/{MEDICATION}"))

    assert "Warfarin 3 mg tablets" in texts(document)["Medicines"]
    assert [each["id"] for each in shown(document, "Medication")] == [MEDICATION]
    assert [each["name"] for each in shown(document, "Organization")] == ["Maker"]
    (statement,) = shown(document, "MedicationStatement")
    assert statement["medicationReference"] == {"reference": f"Medication/{MEDICATION}"}
    urls = [entry["fullUrl"] for entry in json.loads(document.document)["entry"]]
    assert f"https://care.example/fhir/Medication/{MEDICATION}" in urls


def test_a_change_in_the_directory_changes_the_digest() -> None:
    other = {**DIRECTORY, MAKER: {"resourceType": "Organization", "name": "Another maker"}}
    before, after = (summary(taken(f"Medication/{MEDICATION}"), directory=each) for each in (DIRECTORY, other))

    assert before.digest != after.digest
    assert {name for name in before.parts if before.parts[name] != after.parts[name]} == {"refer"}


def test_a_reference_to_an_earlier_id_gets_the_current_one() -> None:
    medication = under_key(said("Medication", "x", code={"text": "Digoxin 125 micrograms"}), UNKNOWN)

    document = summary(taken(f"Medication/{UNKNOWN}"), medication)

    assert "Digoxin 125 micrograms" in texts(document)["Medicines"]
    (statement,) = shown(document, "MedicationStatement")
    assert statement["medicationReference"] == {"reference": f"Medication/{KEY}-{UNKNOWN}"}
    assert [each["id"] for each in shown(document, "Medication")] == [f"{KEY}-{UNKNOWN}"]


@pytest.mark.parametrize("unknown", [UNKNOWN, f"{KEY}-{UNKNOWN}"])
@pytest.mark.parametrize(
    ("stated", "left"),
    [
        ({"display": "Dr Rao"}, {"display": "Dr Rao", "type": "Practitioner"}),
        ({"identifier": {"value": "1"}}, {"identifier": {"value": "1"}, "type": "Practitioner"}),
        (
            {},
            {
                "type": "Practitioner",
                "extension": [
                    {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
                ],
            },
        ),
    ],
)
def test_a_reference_that_leads_nowhere_keeps_what_else_it_states(unknown: str, stated: Json, left: Json) -> None:
    allergy = said("AllergyIntolerance", "a", recorder={"reference": f"Practitioner/{unknown}", **stated}, **ALLERGY)

    (written,) = shown(summary(allergy), "AllergyIntolerance")

    assert written["recorder"] == left


def test_only_references_that_lead_nowhere_change_and_numbers_keep_their_digits() -> None:
    weighed: Json = {"status": "final", "code": {"text": "Weight"}, "effectiveDateTime": "2026-11-20"}
    extension = [{"url": "urn:x", "valueExpression": {"language": "x", "reference": f"Practitioner/{UNKNOWN}"}}]
    statement = said(
        "Observation", "o", **weighed, performer=[{"reference": f"Practitioner/{DOCTOR}"}], extension=extension
    )
    lost = replace(statement, content={**statement.content, "device": {"reference": f"Device/{UNKNOWN}"}})
    number = b'"valueQuantity": {"value": 71.50}'

    def document(each: Statement) -> bytes:
        content = json.dumps(each.content).encode()[:-1] + b"," + number + b"}"
        directory = {DOCTOR: ("Practitioner", json.dumps({**DIRECTORY[DOCTOR], "id": DOCTOR}).encode())}
        return summarise(replace(known(each, directory=directory), contents={each.shared_id: content}), NOW).document

    assert number in document(statement)
    assert b'"value":71.50' in document(lost)
    written = next(each["resource"] for each in json.loads(document(lost))["entry"] if "performer" in each["resource"])
    assert written["performer"] == [{"reference": f"Practitioner/{DOCTOR}"}]
    assert written["extension"] == extension
    assert "reference" not in written["device"]


def test_a_resource_of_the_record_that_no_section_shows_stays_referenced() -> None:
    encounter = under_key(said("Encounter", "e", status="finished"), UNKNOWN)
    allergy = said("AllergyIntolerance", "a", encounter={"reference": f"Encounter/{KEY}-{UNKNOWN}"}, **ALLERGY)

    (written,) = shown(summary(allergy, encounter), "AllergyIntolerance")

    assert written["encounter"] == {"reference": f"Encounter/{KEY}-{UNKNOWN}"}


def test_the_practice_that_the_patient_names_is_included() -> None:
    named = [{"reference": f"Organization/{MAKER}"}, {"reference": f"Organization/{UNKNOWN}", "display": "Old Surgery"}]

    document = summary(patient={**PATIENT, "generalPractitioner": named})

    assert [each["id"] for each in shown(document, "Organization")] == [MAKER]
    assert [each.get("reference") for each in shown(document, "Patient")[0]["generalPractitioner"]] == [
        f"Organization/{MAKER}",
        None,
    ]


def test_the_reason_for_a_medicine_is_named_by_its_reference() -> None:
    problem = under_key(said("Condition", "c", code={"text": "Atrial fibrillation"}), MAKER)
    reasons = [
        {"reference": f"Condition/{KEY}-{MAKER}"},
        {"reference": f"Condition/{UNKNOWN}", "display": "Stroke"},
        {"reference": f"Condition/{UNKNOWN}"},
    ]

    document = summary(taken(f"Medication/{MEDICATION}", reasonReference=reasons), problem)

    assert "For Atrial fibrillation, Stroke" in texts(document)["Medicines"]


def test_an_actor_of_a_plan_is_named_by_the_role_that_is_referenced() -> None:
    role = {"resourceType": "PractitionerRole", "practitioner": {"reference": f"Practitioner/{DOCTOR}"}}
    actors = [
        {"role": {"text": "Doctor"}, "reference": {"reference": f"PractitionerRole/{UNKNOWN}"}},
        {"role": {"text": "Supplier"}, "reference": {"reference": f"Organization/{MAKER}"}},
    ]
    consent = said(
        "Consent",
        "c",
        status="active",
        scope={"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "adr"}]},
        category=[{"coding": [{"system": "http://snomed.info/sct", "code": "1240351000000107"}]}],
        provision={"actor": actors},
    )

    shown = " ".join(texts(summary(consent, directory={**DIRECTORY, UNKNOWN: role})).values())

    assert "Doctor: Dr Rao" in shown
    assert "Supplier: Maker" in shown
