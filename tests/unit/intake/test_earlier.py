"""References that lead out of a submission: to the source's own earlier statements, or to persons by shared id."""

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
    decide,
    directory_id,
    observation,
    person,
    place,
    put,
    refused,
    shared_id,
    statement,
)
from tests.unit.intake.test_http import HttpDoor, issues

from onestory.intake.domain.request import KnownResource
from onestory.shared.events import Source
from onestory.shared.identity import PersonIdentifier, provisional_identity

SUBJECT = {"reference": f"Patient/{AMINA}"}
THEIRS = Source("B99999", "ward")
MRN = {"system": "urn:mrn", "value": "77"}


@pytest.fixture
def door() -> HttpDoor:
    return HttpDoor()


def own_hash(resource_type: str, local_id: str) -> str:
    return KEYS.resource_hash(SOURCE.organisation, SOURCE.system, resource_type, local_id)


def sent(door: HttpDoor) -> Json:
    """The resource of the only entry that went to Kafka."""
    (event,) = door.events()
    (entry,) = event.entries
    resource: Json = json.loads(entry.content)
    return resource


# The source's own earlier Patient.


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p1"},
        {"reference": "Patient/p1/_history/2"},
        {"reference": "http://door/fhir/Patient/p1"},
        {"type": "Patient", "identifier": MRN},
        {"type": "http://hl7.org/fhir/StructureDefinition/Patient", "identifier": MRN},
        {"reference": "Patient?identifier=urn:mrn|77"},
    ],
)
def test_a_source_refers_to_its_own_earlier_patient(door: HttpDoor, subject: Json) -> None:
    door.record.patients[own_hash("Patient", "p1")] = person(AMINA)
    door.record.identified["urn:mrn", "77"] = person(AMINA)

    answer = door.send("PUT", "/fhir/Observation/o1", observation(subject), Prefer="return=minimal")

    assert answer.status_code == 201
    assert door.events()[0].person == person(AMINA)
    if "reference" in subject:
        assert sent(door)["subject"] == SUBJECT


def test_an_earlier_patient_without_a_number_is_the_provisional_person(door: HttpDoor) -> None:
    who = provisional_identity(SOURCE.organisation, SOURCE.system, "p1")
    door.record.patients[own_hash("Patient", "p1")] = who

    door.send("PUT", "/fhir/Observation/o1", observation({"reference": "Patient/p1"}))

    own = KEYS.shared_id(KEYS.person_key(who), SOURCE.organisation, SOURCE.system, "Patient", "p1")
    assert door.events()[0].person == who
    assert sent(door)["subject"] == {"reference": f"Patient/{own}"}


@pytest.mark.parametrize("subject", [{"reference": "Patient/p1"}, {"identifier": MRN}])
def test_a_patient_that_the_record_does_not_know_is_refused_with_what_to_send(door: HttpDoor, subject: Json) -> None:
    answer = door.send("PUT", "/fhir/Observation/o1", observation(subject))

    (issue,) = issues(answer)
    assert (answer.status_code, issue["code"]) == (422, "not-found")
    assert "(yet)" in issue["diagnostics"]
    assert not door.events()


def test_a_patient_of_the_source_is_not_told_while_the_record_is_behind(door: HttpDoor) -> None:
    door.record.patients[own_hash("Patient", "p1")] = person(AMINA)
    door.record.behind = True

    assert door.send("PUT", "/fhir/Observation/o1", observation({"reference": "Patient/p1"})).status_code == 503
    assert not door.events()


def test_an_own_patient_and_another_person_are_two_people(door: HttpDoor) -> None:
    door.record.patients[own_hash("Patient", "p1")] = person(BEN)
    both = transaction(patient(AMINA, "p2"), observation({"reference": "Patient/p1"}))

    assert door.send("POST", "/fhir", both).status_code == 422


def test_a_retraction_names_its_person_by_the_sources_own_patient(door: HttpDoor) -> None:
    door.record.patients[own_hash("Patient", "p1")] = person(AMINA)

    by_query = door.send("DELETE", "/fhir/Condition/c1?patient=Patient/p1", Prefer="return=minimal")
    of_patient = door.send("DELETE", "/fhir/Patient/p1", Prefer="return=minimal")

    assert (by_query.status_code, of_patient.status_code) == (204, 204)
    assert [event.person for event in door.events()] == [person(AMINA)] * 2


def test_another_patient_who_is_only_mentioned_need_not_be_known() -> None:
    mentioned = put(observation(SUBJECT, performer=[{"reference": "Patient/p-other"}]))

    event = statement(decide(mentioned))

    provisional = provisional_identity(SOURCE.organisation, SOURCE.system, "p-other")
    expected = f"Patient/{KEYS.person_key(provisional)}-{own_hash('Patient', 'p-other')}"
    assert event.person == person(AMINA)
    assert json.loads(event.entries[0].content or b"")["performer"] == [{"reference": expected}]


def test_a_coverage_of_an_unknown_beneficiary_is_in_the_record_of_its_subscriber() -> None:
    card = {
        "resourceType": "Coverage",
        "id": "c",
        "status": "active",
        "payor": [{"display": "Germany"}],
        "beneficiary": {"type": "Patient", "identifier": {"value": "DE9876543210"}},
    }
    subscriber = {"type": "Patient", "identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": AMINA}}

    assert statement(decide(put({**card, "subscriber": subscriber}))).person == person(AMINA)
    assert place(refused(put(card))) == "Coverage.beneficiary.identifier"


# The source's other earlier resources.


def test_a_reference_leads_to_where_the_record_has_the_resource(door: HttpDoor) -> None:
    """Fhir case: a Medication came with the person's Bundle, and a later statement refers to it by itself."""
    there = shared_id(AMINA, "Medication", "m1")
    door.record.targets[own_hash("Medication", "m1")] = there
    later = observation(SUBJECT, focus=[{"reference": "Medication/m1"}])

    door.send("PUT", "/fhir/Observation/o1", later)

    assert sent(door)["focus"] == [{"reference": f"Medication/{there}"}]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("Medication/m1", f"Medication/{directory_id('Medication', 'm1')}"),
        ("Encounter/e1", f"Encounter/{shared_id(AMINA, 'Encounter', 'e1')}"),
    ],
)
def test_a_resource_that_the_record_does_not_have_yet_gets_the_computed_id(
    door: HttpDoor, reference: str, expected: str
) -> None:
    door.send("PUT", "/fhir/Observation/o1", observation(SUBJECT, focus=[{"reference": reference}]))

    assert sent(door)["focus"] == [{"reference": expected}]


def test_a_reference_to_the_sources_resource_of_another_person_is_refused(door: HttpDoor) -> None:
    door.record.owned.add(own_hash("Encounter", "e1"))

    answer = door.send("PUT", "/fhir/Observation/o1", observation(SUBJECT, encounter={"reference": "Encounter/e1"}))

    (issue,) = issues(answer)
    assert (answer.status_code, issue["expression"]) == (422, ["Observation.encounter.reference"])
    assert "another person" in issue["diagnostics"]


def test_the_record_is_asked_once_for_all_references_of_a_submission(door: HttpDoor) -> None:
    focus = [{"reference": f"Encounter/e{number}"} for number in range(50)]
    many = transaction(patient(AMINA, "p1"), *[observation(SUBJECT, f"o{number}", focus=focus) for number in range(5)])

    assert door.send("POST", "/fhir", many, Prefer="return=minimal").status_code == 200
    # One query is for the Encounters, and one for an own Patient whose id is the NHS number.
    assert door.record.asked == 2


def test_a_submission_that_has_all_that_it_names_is_accepted_without_the_record(door: HttpDoor) -> None:
    door.record.away = True
    whole = bundle("collection", patient(AMINA, "p1"), condition(AMINA, "c1"), observation({"reference": "Patient/p1"}))

    assert door.send("POST", "/fhir", whole, Prefer="return=minimal").status_code == 202


# A local id that is also an NHS number, and an identifier that another person had.


def test_the_id_of_a_retracted_patient_is_the_sources_own(door: HttpDoor) -> None:
    unknown = door.send("DELETE", f"/fhir/Patient/{BEN}")
    door.record.patients[own_hash("Patient", BEN)] = person(AMINA)
    known = door.send("DELETE", f"/fhir/Patient/{BEN}", Prefer="return=minimal")

    assert (unknown.status_code, issues(unknown)[0]["code"]) == (422, "not-found")
    assert known.status_code == 204
    assert [event.person for event in door.events()] == [person(AMINA)]


def test_a_number_that_is_also_the_id_of_another_own_patient_is_refused(door: HttpDoor) -> None:
    door.record.patients[own_hash("Patient", BEN)] = person(AMINA)
    about = observation({"reference": f"Patient/{BEN}"}, focus=[{"reference": "Encounter/e1"}])

    answer = door.send("PUT", "/fhir/Observation/o1", about)

    assert (answer.status_code, issues(answer)[0]["code"]) == (422, "multiple-matches")
    assert not door.events()


def test_a_number_alone_asks_the_record_nothing(door: HttpDoor) -> None:
    door.send("PUT", "/fhir/Observation/o1", observation(SUBJECT), Prefer="return=minimal")

    assert door.record.asked == 0


@pytest.mark.parametrize("subject", [{"identifier": MRN}, {"reference": "Patient/p1", "identifier": MRN}])
def test_an_identifier_that_is_another_persons_in_the_record_is_refused(door: HttpDoor, subject: Json) -> None:
    holder = patient(AMINA, "p1")
    holder["identifier"].append(MRN)
    whole = transaction(holder, observation(subject, focus=[{"reference": "Encounter/e1"}]))
    door.record.identified["urn:mrn", "77"] = provisional_identity(SOURCE.organisation, SOURCE.system, "p1")

    assert door.send("POST", "/fhir", whole, Prefer="return=minimal").status_code == 200

    door.record.identified["urn:mrn", "77"] = person(BEN)
    answer = door.send("POST", "/fhir", whole)

    assert (answer.status_code, issues(answer)[0]["code"]) == (422, "multiple-matches")
    assert len(door.events()) == 1


@pytest.mark.parametrize("members", [3, 6])
def test_all_references_of_an_element_are_asked_at_once(door: HttpDoor, members: int) -> None:
    ids = [f"p{number}" for number in range(members)]
    door.record.patients |= {own_hash("Patient", each): person(AMINA) for each in ids}
    door.record.targets[own_hash("Practitioner", "pr1")] = "real-place"
    group: Json = {"resourceType": "Group", "id": "g1", "type": "person", "actual": True}
    group |= {"member": [{"entity": {"reference": f"Patient/{each}"}} for each in ids]}
    group |= {"managingEntity": {"reference": "Practitioner/pr1"}}

    assert door.send("PUT", "/fhir/Group/g1", group, Prefer="return=minimal").status_code == 201

    assert sent(door)["managingEntity"] == {"reference": "Practitioner/real-place"}
    assert door.record.asked == 2


def test_a_decision_with_open_questions_is_never_sent(door: HttpDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onestory.intake.lookups._MAX_ROUNDS", 1)
    door.record.patients[own_hash("Patient", "p1")] = person(AMINA)

    assert door.send("PUT", "/fhir/Observation/o1", observation({"reference": "Patient/p1"})).status_code == 503
    assert not door.events()


# Persons by shared id.


def others_patient(door: HttpDoor) -> str:
    theirs = shared_id(AMINA, "Patient", "p9", THEIRS)
    door.record.known[theirs] = KnownResource(person(AMINA), THEIRS, "Patient", "p9")
    return theirs


def test_a_shared_id_leads_to_a_person_whom_the_caller_may_read(door: HttpDoor) -> None:
    theirs = others_patient(door)
    door.policy.readable.add(KEYS.person_key(person(AMINA)))

    answer = door.send("PUT", "/fhir/Observation/o1", observation({"reference": f"Patient/{theirs}"}))

    assert answer.status_code == 201
    assert door.events()[0].person == person(AMINA)


def test_a_shared_id_of_a_stranger_is_refused_like_an_unknown_one(door: HttpDoor) -> None:
    known, unknown = others_patient(door), shared_id(BEN, "Patient", "p9", THEIRS)
    condition_id = shared_id(AMINA, "Condition", "c9", THEIRS)
    door.record.known[condition_id] = KnownResource(person(AMINA), THEIRS, "Condition", "c9")
    no_condition = shared_id(BEN, "Condition", "c9", THEIRS)

    def answers(patient_id: str, resource_id: str) -> list[tuple[int, Any]]:
        sent = [
            door.send("PUT", "/fhir/Observation/o1", observation({"reference": f"Patient/{patient_id}"})),
            door.send(
                "PUT", "/fhir/Observation/o1", observation(SUBJECT, focus=[{"reference": f"Patient/{patient_id}"}])
            ),
            door.send("PUT", f"/fhir/Condition/{resource_id}", condition(AMINA, resource_id)),
            door.send("DELETE", f"/fhir/Condition/{resource_id}"),
            door.send("DELETE", f"/fhir/Condition/c1?patient=Patient/{patient_id}"),
        ]
        return [(answer.status_code, answer.json()) for answer in sent]

    asked = len(door.policy.asked)
    assert answers(known, condition_id) == answers(unknown, no_condition)
    assert not door.events()
    # Policy decides about both, so that the time of the answer tells nothing.
    assert door.policy.asked[asked : asked + 5] == [KEYS.person_key(person(AMINA))] * 5
    assert door.policy.asked[asked + 5 :] == [KEYS.person_key(person(BEN))] * 5


def test_a_shared_id_of_a_resource_that_is_no_patient_names_no_person(door: HttpDoor) -> None:
    own = shared_id(AMINA, "Condition", "c1")
    door.record.known[own] = KnownResource(person(AMINA), SOURCE, "Condition", "c1")

    assert door.send("PUT", "/fhir/Observation/o1", observation({"reference": f"Patient/{own}"})).status_code == 422


def test_the_own_organisations_patients_need_no_policy(door: HttpDoor) -> None:
    other_system = Source(SOURCE.organisation, "other-system")
    own = shared_id(AMINA, "Patient", "p1", other_system)
    door.record.known[own] = KnownResource(person(AMINA), other_system, "Patient", "p1")

    assert door.send("PUT", "/fhir/Observation/o1", observation({"reference": f"Patient/{own}"})).status_code == 201
    assert not door.policy.asked


def test_a_submission_about_many_persons_by_ids_of_others_is_refused(door: HttpDoor) -> None:
    ids = [KEYS.person_key(PersonIdentifier("urn:x", str(number))) + "-" + "a" * 26 for number in range(21)]
    focus = [{"reference": f"Patient/{each}"} for each in ids]

    answer = door.send("PUT", "/fhir/Observation/o1", observation(SUBJECT, focus=focus))

    assert (answer.status_code, issues(answer)[0]["code"]) == (422, "too-costly")
    assert not door.policy.asked
