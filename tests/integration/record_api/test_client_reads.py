"""Reads that FHIR client libraries send, on real Kafka and PostgreSQL."""

from __future__ import annotations

import uuid
from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import publish, publish_bundle
from tests.stack import Services

from onestory.shared.identity import NHS_NUMBER_SYSTEM

HOSPITAL_NUMBERS = "https://hospital.example.org/Id/mrn"
OPERATIONS = ("$everything", "$summary", "$merged", "$freshness")


@pytest.fixture(scope="module")
def number(services: Services) -> str:
    """A person with two problems and three results from the practice. The hospital has a number of its own for them.

    All tests of this module read this record, and none changes it.
    """
    number = new_nhs_number()
    old = condition(number, f"{number}-c1", "Fracture", onsetDateTime="2010-02-01", abatementDateTime="2010-09-01")
    present = condition(number, f"{number}-c2", "Asthma", onsetDateTime="2015-02-01")
    results = [weight(number, day, kg) for day, kg in (("2023-05-01", 70.5), ("2024-05-01", 81), ("2025-05-01", 92))]
    with services.client("A81001", network="harbour") as practice, services.client("RX001") as hospital:
        publish(practice, patient(number, f"{number}-p"), old, present, *results)
        publish(hospital, known_at_the_hospital(number))
    services.register(number)
    return number


def known_at_the_hospital(number: str) -> dict[str, Any]:
    identifiers = [{"system": system, "value": number} for system in (NHS_NUMBER_SYSTEM, HOSPITAL_NUMBERS)]
    return patient(number, f"{number}-h", identifier=identifiers)


def weight(number: str, day: str, kg: float) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"{number}-{day}",
        "status": "final",
        "code": {"text": "Body weight"},
        "subject": {"reference": f"Patient/{number}"},
        "effectiveDateTime": day,
        "valueQuantity": {"value": kg, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }


def read(client: httpx.Client, path: str, **parameters: str) -> dict[str, Any]:
    answer = client.get(path, params=parameters or None)
    assert answer.status_code == 200, answer.text
    assert fhirkit.validate(answer.text) == []
    read: dict[str, Any] = answer.json()
    return read


def found(bundle: dict[str, Any], mode: str = "match") -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle.get("entry", ()) if entry["search"]["mode"] == mode]


def texts(bundle: dict[str, Any]) -> list[str]:
    return sorted(resource["code"]["text"] for resource in found(bundle) if "code" in resource)


def parameters(*pairs: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [{"name": name, **value} for name, value in pairs]
    return {"resourceType": "Parameters", **({"parameter": listed} if listed else {})}


def identified(system: str, value: str) -> dict[str, Any]:
    return {"valueIdentifier": {"system": system, "value": value}}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_answers_in_every_way_that_fhir_names_it(
    practice: httpx.Client, number: str, operation: str
) -> None:
    by_get = practice.get(f"/fhir/Patient/{number}/{operation}").raise_for_status().json()
    of_type, token = f"/fhir/Patient/{operation}", f"{NHS_NUMBER_SYSTEM}|{number}"
    answers = [
        practice.post(f"/fhir/Patient/{number}/{operation}", json=parameters()),
        practice.post(f"/fhir/Patient/{number}/{operation}"),
        practice.get(of_type, params={"identifier": token}),
        practice.post(of_type, json=parameters(("identifier", identified(NHS_NUMBER_SYSTEM, number)))),
        practice.post(of_type, json=parameters(("identifier", {"valueString": token}))),
        practice.get(of_type, params={"identifier": f"{HOSPITAL_NUMBERS}|{number}"}),
    ]

    for answer in answers:
        assert answer.status_code == 200, answer.text
        assert answer.json()["resourceType"] == by_get["resourceType"]
        assert len(answer.json().get("entry", ())) == len(by_get.get("entry", ()))
        assert len(answer.json().get("parameter", ())) == len(by_get.get("parameter", ()))
    missing = practice.get(of_type)
    assert (missing.status_code, missing.json()["issue"][0]["code"]) == (400, "required")
    assert f"Patient/[id]/{operation}" in missing.json()["issue"][0]["diagnostics"]


def test_an_identifier_of_another_source_opens_no_record(services: Services, hospital: httpx.Client) -> None:
    number = new_nhs_number()
    publish(hospital, known_at_the_hospital(number))
    with services.client("RX002", network="hospitals") as other:
        publish(other, condition(number, f"{number}-o", "Own"))
        for operation in OPERATIONS:
            path = f"/fhir/Patient/{operation}"
            by_number = other.get(path, params={"identifier": f"{NHS_NUMBER_SYSTEM}|{number}"})
            by_mrn = other.get(path, params={"identifier": f"{HOSPITAL_NUMBERS}|{number}"})
            unknown = other.get(path, params={"identifier": f"{HOSPITAL_NUMBERS}|{uuid.uuid4()}"})

            assert (by_number.status_code, by_mrn.status_code, unknown.status_code) == (200, 404, 404)
            assert by_mrn.json() == unknown.json()


def test_parameters_in_a_body_narrow_the_answer_and_pages_go_on(practice: httpx.Client, number: str) -> None:
    sent = parameters(
        ("_type", {"valueCode": "Condition"}), ("_type", {"valueCode": "Patient"}), ("_count", {"valueInteger": 3})
    )

    page = practice.post(f"/fhir/Patient/{number}/$everything", json=sent).raise_for_status().json()
    following = read(practice, next(link["url"] for link in page["link"] if link["relation"] == "next"))

    # The shared Patient, those of the practice, the hospital and the authority, and the two problems.
    assert (page["total"], len(found(page)), len(found(following))) == (6, 3, 3)
    assert {each["resourceType"] for each in found(page) + found(following)} == {"Condition", "Patient"}


def test_everything_of_a_time_holds_the_care_of_that_time(practice: httpx.Client, number: str) -> None:
    everything = f"/fhir/Patient/{number}/$everything"

    year = read(practice, everything, start="2024-01-01", end="2024-12-31", _type="Observation,Condition,Patient")
    counted = read(practice, everything, start="2024-01-01", _summary="count")

    assert texts(year) == ["Asthma", "Body weight"]
    assert [each["valueQuantity"]["value"] for each in found(year) if "valueQuantity" in each] == [81]
    assert sum(each["resourceType"] == "Patient" for each in found(year)) == 4
    assert (counted["total"], found(counted)) == (7, [])


def test_a_part_of_a_resource_is_marked_and_keeps_its_version(practice: httpx.Client, number: str) -> None:
    whole = read(practice, f"/fhir/Patient/{number}")

    named = read(practice, f"/fhir/Patient/{number}", _elements="name")
    summary = read(practice, f"/fhir/Patient/{number}/_history/{whole['meta']['versionId']}", _summary="true")
    listed = read(practice, f"/fhir/Patient/{number}/$everything", _elements="name", _type="Patient")

    assert "birthDate" not in named
    assert named["name"] == whole["name"]
    assert named["meta"]["versionId"] == whole["meta"]["versionId"]
    for part in (named, summary, *found(listed)):
        assert "SUBSETTED" in [tag["code"] for tag in part["meta"]["tag"]]


def test_the_compartment_holds_the_resources_of_the_person(practice: httpx.Client, number: str) -> None:
    address = f"/fhir/Patient/{number}/Condition"

    listed = read(practice, address)
    filtered = read(practice, address, **{"onset-date": "ge2015", "_sort": "-onset-date"})
    by_form = practice.post(f"{address}/_search", data={"onset-date": "ge2015"}).raise_for_status().json()

    assert texts(listed) == ["Asthma", "Fracture"]
    assert texts(filtered) == texts(by_form) == ["Asthma"]
    assert listed["link"][0]["url"].endswith(address)
    assert practice.get(f"/fhir/Patient/{new_nhs_number()}/Condition").status_code == 404
    assert practice.get(f"/fhir/Patient/{number}/Organization").status_code == 404
    assert practice.get(f"{address}?patient={new_nhs_number()}").status_code == 400


@pytest.mark.parametrize("name", ["patient.identifier", "patient:identifier", "subject:Patient.identifier"])
@pytest.mark.parametrize("system", [NHS_NUMBER_SYSTEM, HOSPITAL_NUMBERS])
def test_the_person_is_named_by_identifier(practice: httpx.Client, number: str, name: str, system: str) -> None:
    assert texts(read(practice, "/fhir/Condition", **{name: f"{system}|{number}"})) == ["Asthma", "Fracture"]


def test_results_are_found_and_sorted_by_their_quantity(practice: httpx.Client, number: str) -> None:
    def kilograms(**asked: str) -> list[float]:
        page = read(practice, "/fhir/Observation", patient=number, **asked)
        return [each["valueQuantity"]["value"] for each in found(page)]

    assert kilograms(**{"value-quantity": "gt75|http://unitsofmeasure.org|kg", "_sort": "value-quantity"}) == [81, 92]
    assert kilograms(**{"value-quantity": "ap80||kg"}) == [81]
    assert kilograms(**{"value-quantity": "lt999||[lb_av]"}) == []
    assert kilograms(_sort="-value-quantity") == [92, 81, 70.5]


def test_a_batch_reads_and_writes_in_its_order(practice: httpx.Client, number: str) -> None:
    known = practice.get(f"/fhir/Patient/{number}").headers["ETag"]
    written = {
        "resource": condition(number, f"{number}-new", "Gout"),
        "request": {"method": "POST", "url": "Condition"},
    }
    reads = [
        {"method": "GET", "url": f"Patient/{number}"},
        {"method": "GET", "url": f"/Condition?patient={number}&_count=1"},
        {"method": "GET", "url": f"Patient/{number}", "ifNoneMatch": known},
        {"method": "GET", "url": "Condition?colour=red"},
        {"method": "GET", "url": "https://elsewhere.example/fhir/Patient/1"},
        {"method": "GET", "url": f"Patient/{number}/$summary?_format=text/html"},
    ]
    entries = [{"request": reads[0]}, written, *[{"request": each} for each in reads[1:]]]

    answer = practice.post("/fhir", json={"resourceType": "Bundle", "type": "batch", "entry": entries})

    assert answer.status_code == 200, answer.text
    assert fhirkit.validate(answer.text) == []
    responses = [entry["response"] for entry in answer.json()["entry"]]
    assert [each["status"][:3] for each in responses] == ["200", "201", "200", "304", "400", "422", "406"]
    resources = [entry.get("resource", {}).get("resourceType") for entry in answer.json()["entry"]]
    assert resources == ["Patient", None, "Bundle", None, None, None, None]
    assert responses[0]["etag"] == known
    assert responses[4]["outcome"]["issue"][0]["code"] == "not-supported"
    assert responses[5]["outcome"]["issue"][0]["expression"] == ["Bundle.entry[5].request.url"]


def test_a_read_in_a_batch_carries_its_own_callers_token(services: Services, number: str) -> None:
    entry = {"request": {"method": "GET", "url": f"Condition?patient={number}"}}
    with services.client("B99999", network="elsewhere") as stranger:
        answer = stranger.post("/fhir", json={"resourceType": "Bundle", "type": "batch", "entry": [entry]})

    assert answer.json()["entry"][0]["response"]["status"] == "404 Not Found"


@pytest.fixture
def clinic(practice: httpx.Client) -> str:
    """The name of a clinic in the directory, with a second one beside it, and a role at it."""
    name = f"Clinic{uuid.uuid4().hex[:12]}"
    organisations = [
        {
            "resourceType": "Organization",
            "id": f"{name}-{place}",
            "active": place == 1,
            "identifier": [{"system": "https://a.example/clinics", "value": f"{name}-{place}"}],
            "name": f"{name} North {place}",
        }
        for place in (1, 2)
    ]
    role = {
        "resourceType": "PractitionerRole",
        "id": f"{name}-r",
        "organization": {"reference": f"Organization/{name}-1"},
    }
    publish_bundle(practice, transaction(*organisations, role))
    return name


def test_the_directory_is_searched_by_identifier_id_and_name(
    services: Services, practice: httpx.Client, clinic: str
) -> None:
    with services.client("B99999", network="elsewhere") as stranger:
        token = f"https://a.example/clinics|{clinic}-1"
        (first,) = found(read(stranger, "/fhir/Organization", identifier=token))
        by_id = found(read(stranger, "/fhir/Organization", _id=first["id"]))
        by_name = read(stranger, "/fhir/Organization", name=clinic, _count="1", _sort="-name")
        following = read(stranger, next(link["url"] for link in by_name["link"] if link["relation"] == "next"))
        both = found(read(stranger, "/fhir/Organization", identifier=f"{token},{clinic}-2"))
        other_system = found(read(stranger, "/fhir/Organization", identifier=f"https://b.example|{clinic}-1"))
        inactive = found(read(stranger, "/fhir/Organization", name=clinic, active="false"))
        nothing = found(read(stranger, "/fhir/Organization", _id="x"))

    assert by_id == [first]
    assert by_name["total"] == 2
    assert [each["name"] for each in found(by_name) + found(following)] == [f"{clinic} North 2", f"{clinic} North 1"]
    assert len(both) == 2
    assert [each["name"] for each in inactive] == [f"{clinic} North 2"]
    assert (other_system, nothing) == ([], [])


def test_what_the_directory_refers_to_comes_along(practice: httpx.Client, clinic: str) -> None:
    (clinic_here,) = found(read(practice, "/fhir/Organization", identifier=f"{clinic}-1"))

    roles = read(
        practice,
        "/fhir/PractitionerRole",
        organization=f"Organization/{clinic_here['id']}",
        _include="PractitionerRole:organization",
    )
    reverse = read(practice, "/fhir/Organization", _id=clinic_here["id"], _revinclude="PractitionerRole:organization")

    assert [each["resourceType"] for each in found(roles)] == ["PractitionerRole"]
    assert found(roles, "include") == [clinic_here]
    assert found(reverse, "include") == found(roles)


def test_a_resource_that_left_the_directory_is_not_found(practice: httpx.Client, clinic: str) -> None:
    sent = {"Prefer": "wait=20"}
    practice.delete(f"/fhir/Organization/{clinic}-1", headers=sent).raise_for_status()

    assert found(read(practice, "/fhir/Organization", identifier=f"{clinic}-1")) == []


def test_a_resource_is_checked_and_not_published(practice: httpx.Client, number: str) -> None:
    valid = condition(number, f"{number}-v", "Checked")
    invalid = {**valid, "recordedDate": "soon"}
    ways = ((valid, "/fhir/Condition/$validate"), (invalid, f"/fhir/Condition/{number}-v/$validate"))

    alone = [practice.post(path, json=resource) for resource, path in ways]
    wrapped = [
        practice.post(path, json={"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": each}]})
        for each, path in ways
    ]

    for good, bad in (alone, wrapped):
        assert (good.status_code, bad.status_code) == (200, 200)
        assert [issue["severity"] for issue in good.json()["issue"]] == ["information"]
        assert bad.json()["issue"][0]["severity"] == "error"
    assert "Checked" not in texts(read(practice, "/fhir/Condition", patient=number))
    assert practice.post("/fhir/Observation/$validate", json=valid).status_code == 400
    assert practice.post("/fhir/Condition/a_b/$validate", json=valid).status_code == 404
