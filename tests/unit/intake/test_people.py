"""Intake finds the person of a submission.

It never joins two people by inference, and no statement about another person gets through.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.people import condition, patient, transaction
from tests.unit.intake.door import (
    AMINA,
    BEN,
    KEYS,
    SOURCE,
    Json,
    bundle,
    contents,
    decide,
    full_url,
    observation,
    person,
    place,
    post,
    posted,
    put,
    refused,
    shared_id,
    statement,
    unnumbered,
)

from onestory.intake.domain.request import KnownResource
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import NHS_NUMBER_SYSTEM, provisional_identity

NUMBER = {"system": NHS_NUMBER_SYSTEM, "value": AMINA}
WRONG_CHECK_DIGIT = "9990000019"


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": f"Patient/{AMINA}"},
        {"reference": f"Patient/{AMINA}/_history/3"},
        {"reference": f"http://door/fhir/Patient/{AMINA}"},
        {"reference": f"https://api.service.nhs.uk/personal-demographics/FHIR/R4/Patient/{AMINA}"},
        {"reference": f"Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|{AMINA}"},
        {"identifier": NUMBER},
        {"type": "Patient", "identifier": {**NUMBER, "system": "https://fhir.nhs.uk/id/nhs-number"}},
    ],
)
def test_a_reference_by_nhs_number_leads_to_the_person(subject: Json) -> None:
    assert statement(decide(put(observation(subject)))).person == person(AMINA)


def test_a_contained_patient_with_an_nhs_number_is_the_person() -> None:
    inside = {"resourceType": "Patient", "id": "p", "identifier": [NUMBER]}

    assert statement(decide(put(observation({"reference": "#p"}, contained=[inside])))).person == person(AMINA)


def test_the_patient_of_the_submission_is_found_by_any_kind_of_reference() -> None:
    local = bundle(
        "collection",
        patient(AMINA, "p1"),
        observation({"reference": full_url(0)}, "o1"),
        observation({"reference": "Patient/p1"}, "o2"),
        observation({"identifier": {"system": "urn:mrn", "value": "77"}}, "o3"),
    )
    local["entry"][0]["resource"]["identifier"].append({"system": "urn:mrn", "value": "77"})

    subjects = [resource["subject"] for resource in contents(decide(post(local)))[1:]]

    assert subjects[:2] == [{"reference": f"Patient/{AMINA}"}] * 2


@pytest.mark.parametrize(
    ("subject", "field"),
    [
        ({"reference": "Patient/p1"}, "reference"),
        ({"reference": f"Patient/{WRONG_CHECK_DIGIT}"}, "reference"),
        ({"reference": "https://other.example/Patient/p1"}, "reference"),
        ({"reference": "urn:uuid:00000000-0000-4000-8000-000000000009"}, "reference"),
        ({"reference": "Patient?identifier=urn:mrn|77"}, "reference"),
        ({"identifier": {"system": "urn:mrn", "value": "77"}}, "identifier"),
    ],
)
def test_what_leads_to_nobody_is_refused_with_what_to_send(subject: Json, field: str) -> None:
    error = refused(put(observation(subject)))

    assert isinstance(error, Unprocessable)
    assert place(error) == f"Observation.subject.{field}"
    assert "NHS number" in error.issues[0].diagnostics


def test_a_wrong_check_digit_is_refused_at_its_place() -> None:
    in_patient = refused(put(patient(WRONG_CHECK_DIGIT, "p1")))
    in_subject = refused(put(observation({"identifier": {**NUMBER, "value": WRONG_CHECK_DIGIT}})))

    assert place(in_patient) == "Patient.identifier[0].value"
    assert place(in_subject) == "Observation.subject.identifier.value"


@pytest.mark.parametrize("number", ["999 000 0018", "999-000-0018", "99900000180", "", "９９９００００１８"])
def test_a_number_that_is_written_otherwise_is_refused(number: str) -> None:
    assert refused(put(patient(number, "p1")))


def test_two_numbers_of_one_patient_are_refused_unless_one_is_old() -> None:
    two = patient(AMINA, "p1")
    two["identifier"].append({"system": NHS_NUMBER_SYSTEM, "value": BEN})
    assert place(refused(put(two))) == "Patient.identifier[1].value"

    two["identifier"][1]["use"] = "old"
    assert statement(decide(put(two))).person == person(AMINA)


@pytest.mark.parametrize("kind", ["transaction", "collection"])
def test_two_people_in_one_submission_are_refused_at_the_second(kind: str) -> None:
    make = posted if kind == "transaction" else bundle

    error = refused(post(make(kind, patient(AMINA, "p1"), condition(AMINA, "c1"), condition(BEN, "c2"))))

    assert place(error) == "Bundle.entry[2].resource.subject"


def test_two_patients_in_one_transaction_are_refused_at_the_second() -> None:
    assert place(refused(post(transaction(patient(AMINA, "p1"), patient(BEN, "p2"))))) == "Bundle.entry[1].resource"


def test_a_reference_and_an_identifier_that_disagree_are_refused() -> None:
    subject = {"reference": f"Patient/{AMINA}", "identifier": {**NUMBER, "value": BEN}}

    assert place(refused(put(observation(subject)))) == "Observation.subject"


def test_one_resource_about_two_people_is_refused() -> None:
    actors = [{"actor": {"reference": f"Patient/{number}"}, "status": "accepted"} for number in (AMINA, BEN)]
    appointment = {"resourceType": "Appointment", "id": "a1", "status": "booked", "participant": actors}

    assert place(refused(put(appointment))) == "Appointment.participant[1].actor"


@pytest.mark.parametrize("second", [{"display": "Ben Example"}, {"reference": f"Patient/{BEN}"}])
def test_a_group_of_persons_has_one_member(second: Json) -> None:
    members: list[Json] = [{"entity": {"reference": f"Patient/{AMINA}"}}]
    group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": members}
    assert statement(decide(put(group))).person == person(AMINA)

    members.append({"entity": second})

    assert place(refused(put(group))) == "Group.member[1].entity"


def test_a_second_person_who_is_only_mentioned_is_no_second_subject() -> None:
    mother = observation({"reference": f"Patient/{AMINA}"}, performer=[{"reference": f"Patient/{BEN}"}])
    replaces = patient(AMINA, "p1", link=[{"type": "replaces", "other": {"reference": f"Patient/{BEN}"}}])

    assert statement(decide(put(mother))).person == person(AMINA)
    assert statement(decide(put(replaces))).person == person(AMINA)


def test_a_patient_without_a_number_is_a_person_of_that_source_alone() -> None:
    event = statement(decide(post(transaction(unnumbered("p1"), observation({"reference": "Patient/p1"})))))

    assert event.person == provisional_identity(SOURCE.organisation, SOURCE.system, "p1")
    own = KEYS.shared_id(KEYS.person_key(event.person), SOURCE.organisation, SOURCE.system, "Patient", "p1")
    assert event.entries[0].shared_id == own
    assert f'"reference": "Patient/{own}"'.encode() in (event.entries[1].content or b"")


def test_a_provisional_person_is_found_again_by_the_id_that_we_gave() -> None:
    who = provisional_identity(SOURCE.organisation, SOURCE.system, "p1")
    own = KEYS.shared_id(KEYS.person_key(who), SOURCE.organisation, SOURCE.system, "Patient", "p1")

    event = statement(
        decide(
            put(observation({"reference": f"Patient/{own}"})), known={own: KnownResource(who, SOURCE, "Patient", "p1")}
        )
    )

    assert event.person == who


def test_an_nhs_number_and_a_patient_without_one_are_two_people() -> None:
    error = refused(post(transaction(unnumbered("p1"), condition(AMINA, "c1"))))

    assert place(error) == "Bundle.entry[1].resource.subject"


def test_a_local_id_that_looks_like_an_nhs_number_is_none() -> None:
    whose = statement(decide(put(unnumbered(AMINA)))).person

    assert whose == provisional_identity(SOURCE.organisation, SOURCE.system, AMINA)


def test_what_names_nobody_belongs_to_the_one_person_of_the_submission() -> None:
    event = statement(decide(post(transaction(patient(AMINA, "p1"), observation(None)))))

    assert event.entries[1].shared_id == shared_id(AMINA, "Observation", "o1")


def test_a_subject_that_is_a_place_is_no_error_where_the_person_is_known() -> None:
    about_place = observation({"reference": "Location/ward"})

    assert statement(decide(post(transaction(patient(AMINA, "p1"), about_place)))).person == person(AMINA)


@pytest.mark.parametrize(
    "subject",
    [
        {"display": "Ben Smith"},
        {"type": "Patient", "display": "Ben Smith"},
        {"type": "http://hl7.org/fhir/StructureDefinition/Patient", "identifier": {"system": "urn:mrn", "value": "7"}},
        {"type": "Patient", "identifier": {"system": "urn:mrn"}},
        {"extension": [{"url": "http://a.example/unknown", "valueBoolean": True}]},
        {"reference": "https://ehr.example/people/ben"},
        {"reference": "http://other.example/fhir/Patient?identifier=urn:mrn|7"},
        {"reference": f"http://other.example/fhir/patient/{BEN}"},
        {"reference": "http://other.example/fhir/Location/5"},
        {"reference": "Person/5"},
        {"reference": "RelatedPerson/5"},
        {"reference": "Practitioner/5"},
        {"reference": "Device/g1"},
        {"reference": "Group/g1"},
        {"reference": "#"},
        {"reference": "#r"},
        {"reference": "#g"},
        {"reference": "#empty"},
        {"reference": "#outer"},
        {"reference": "#described"},
    ],
)
@pytest.mark.parametrize("kind", ["transaction", "batch", "collection"])
def test_a_subject_that_leads_to_nobody_is_never_the_other_person_of_the_bundle(kind: str, subject: Json) -> None:
    others = {"resourceType": "Group", "type": "person", "actual": True}
    contained = [
        {"resourceType": "RelatedPerson", "id": "r", "patient": {"reference": f"Patient/{AMINA}"}},
        {**others, "id": "g", "member": [{"entity": {"reference": "Patient/ben"}}]},
        {**others, "id": "empty"},
        {**others, "id": "outer", "member": [{"entity": {"reference": "#described"}}]},
        {**others, "id": "described", "member": [{"entity": {"display": "Ben Smith"}}]},
    ]
    unclear = {**condition(AMINA, "c1"), "subject": subject, "contained": contained}
    seen: Json = {"resourceType": "List", "id": "l1", "status": "current", "mode": "working"}
    seen |= {"subject": {"reference": f"Patient/{AMINA}"}, "entry": [{"item": {"reference": "Condition/c1"}}]}
    submission = post(
        posted(kind, patient(AMINA, "p1"), unclear, seen)
        if kind != "collection"
        else bundle(kind, patient(AMINA, "p1"), unclear, seen)
    )

    if kind == "batch":
        prepared = decide(submission)
        assert not [
            entry
            for event in prepared.events
            for entry in getattr(event, "entries", ())
            if entry.resource_type == "Condition"
        ]
    else:
        assert place(refused(submission)).startswith("Bundle.entry[1].resource.")


@pytest.mark.parametrize("member", [{"reference": f"Patient/{BEN}"}, {"reference": "#p"}, {"reference": "#inner"}])
def test_a_contained_group_is_its_member(member: Json) -> None:
    ben = {"resourceType": "Patient", "id": "p", "identifier": [{**NUMBER, "value": BEN}]}
    group = {"resourceType": "Group", "type": "person", "actual": True}
    inner = {**group, "id": "inner", "member": [{"entity": {"reference": "#p"}}]}
    contained = [ben, inner, {**group, "id": "g", "member": [{"entity": member}]}]
    about_group = {**condition(AMINA, "c1"), "subject": {"reference": "#g"}, "contained": contained}

    assert statement(decide(put(about_group))).person == person(BEN)
    assert place(refused(post(transaction(patient(AMINA, "p1"), about_group)))).endswith("resource.subject")


@pytest.mark.parametrize("holder", [{"display": "Ben Smith"}, {"reference": "https://ehr.example/people/ben"}, None])
def test_a_contained_device_is_about_its_patient(holder: Json | None) -> None:
    device = {"resourceType": "Device", "id": "d", **({"patient": holder} if holder else {})}
    about_device = observation({"reference": "#d"}, contained=[device])
    whole = post(transaction(patient(AMINA, "p1"), about_device))

    if holder:
        assert refused(whole)
    else:
        assert statement(decide(whole)).person == person(AMINA)
    device["patient"] = {"reference": f"Patient/{BEN}"}
    assert statement(decide(put(about_device))).person == person(BEN)


def test_groups_that_contain_each_other_come_to_an_end() -> None:
    group = {"resourceType": "Group", "type": "person", "actual": True}
    contained = [
        {**group, "id": "a", "member": [{"entity": {"reference": "#b"}}]},
        {**group, "id": "b", "member": [{"entity": {"reference": "#a"}}]},
    ]

    assert refused(put({**condition(AMINA, "c1"), "subject": {"reference": "#a"}, "contained": contained}))


def test_a_statement_about_a_group_of_the_bundle_is_about_its_member() -> None:
    group = {"resourceType": "Group", "id": "g1", "type": "person", "actual": True}
    group["member"] = [{"entity": {"reference": f"Patient/{BEN}"}}]
    about_group = {**condition(AMINA, "c1"), "subject": {"reference": "Group/g1"}}

    assert statement(decide(post(transaction(group, about_group)))).person == person(BEN)
    assert refused(post(transaction(patient(AMINA, "p1"), group, about_group)))


@pytest.mark.parametrize("use", ["old", "temp"])
def test_a_former_identifier_names_nobody(use: str) -> None:
    former = {"system": "urn:mrn", "value": "7", "use": use}
    whole = patient(AMINA, "p1")
    whole["identifier"].append(former)
    current = {"system": "urn:mrn", "value": "7"}

    by_former = refused(post(transaction(whole, observation({"identifier": current}))))
    as_former = refused(put(observation({"identifier": {**NUMBER, "use": use}})))

    assert place(by_former) == "Bundle.entry[1].resource.subject.identifier"
    assert place(as_former) == "Observation.subject"


def test_a_reference_and_another_patients_identifier_are_two_people() -> None:
    ben = patient(BEN, "p2")
    ben["identifier"].append({"system": "urn:mrn", "value": "7"})
    unclear = observation({"reference": "Patient/p1", "identifier": {"system": "urn:mrn", "value": "7"}})

    prepared = decide(post(posted("batch", patient(AMINA, "p1"), ben, unclear)))

    assert all(entry.resource_type == "Patient" for event in prepared.events for entry in getattr(event, "entries", ()))


@pytest.mark.parametrize("hidden", ["refere\\u006ece", "\\u0072eference"])
def test_an_escaped_name_cannot_hide_a_reference(hidden: str) -> None:
    body = json.dumps(observation({"reference": f"Patient/{AMINA}"})).replace('"reference"', f'"{hidden}"')

    assert refused(put_bytes(body))


def test_an_escaped_value_is_read_as_what_it_says() -> None:
    body = json.dumps(observation({"reference": f"Patient/{AMINA}"})).replace("Patient/", "P\\u0061tient\\/")

    assert statement(decide(put_bytes(body))).person == person(AMINA)


def put_bytes(body: str) -> Any:
    resource = json.loads(body)
    return type(put(resource))("PUT", body.encode(), resource["resourceType"], resource["id"])
