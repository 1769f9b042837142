"""Each statement has a Provenance with source, system, time and event. A caller sees it if they see the statement."""

from __future__ import annotations

from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.stack import Services

from onestory.record.provenance.domain import EVENT_SYSTEM, ORIGIN_SYSTEM

SENT = {"Content-Type": "application/fhir+json", "Prefer": "wait=20", "X-Source-System": "theatre"}


@pytest.fixture
def person(services: Services) -> str:
    number = new_nhs_number()
    services.register(number)
    return number


def says(client: httpx.Client, resource: dict[str, Any]) -> tuple[str, str]:
    """Publish a resource. Returns its shared id and its event id."""
    url = f"/fhir/{resource['resourceType']}/{resource['id']}"
    answer = client.put(url, json=resource, headers=SENT)
    assert answer.is_success, answer.text
    return answer.headers["Location"].split("/")[-3], answer.headers["X-OneStory-Event-Id"]


def found(client: httpx.Client, target: str, **parameters: str) -> list[dict[str, Any]]:
    answer = client.get("/fhir/Provenance", params={"target": target, **parameters})
    assert answer.status_code == 200, answer.text
    assert fhirkit.validate(answer.text) == []
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def test_every_statement_of_a_resource_has_its_provenance_newest_first(
    hospital: httpx.Client, practice: httpx.Client, person: str
) -> None:
    local_id = f"{person}-c"
    shared_id, first = says(hospital, said_at(condition(person, local_id, "?hip fracture"), "2026-10-01T10:00:00Z"))
    _, second = says(hospital, said_at(condition(person, local_id, "Hip fracture"), "2026-10-02T10:00:00Z"))
    gone = hospital.delete(f"/fhir/Condition/{local_id}", params={"patient": person}, headers=SENT)
    third = gone.headers["X-OneStory-Event-Id"]

    told = found(practice, f"Condition/{shared_id}")

    assert [each["activity"]["coding"][0]["code"] for each in told] == ["DELETE", "UPDATE", "CREATE"]
    assert [each["entity"][0]["what"]["identifier"] for each in told] == [
        {"system": EVENT_SYSTEM, "value": event} for event in (third, second, first)
    ]
    assert [each["recorded"] for each in told[1:]] == ["2026-10-02T10:00:00.000Z", "2026-10-01T10:00:00.000Z"]
    assert {each["agent"][0]["who"]["identifier"]["value"] for each in told} == {"RX001"}
    assert {each["agent"][1]["who"]["display"] for each in told} == {"theatre"}
    for each in told[1:]:
        assert practice.get(f"/fhir/{each['target'][0]['reference']}").status_code == 200


def test_a_provenance_is_read_by_its_id_and_found_by_the_version_that_it_is_about(
    hospital: httpx.Client, person: str
) -> None:
    shared_id, event = says(hospital, condition(person, f"{person}-c"))
    says(hospital, condition(person, f"{person}-c", "Corrected"))

    (told,) = found(hospital, f"Condition/{shared_id}/_history/{event}", patient=person)
    answer = hospital.get(f"/fhir/Provenance/{told['id']}")

    assert answer.json() == told
    assert answer.headers["ETag"] == f'W/"{event}"'
    again = hospital.get(f"/fhir/Provenance/{told['id']}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_pages_hold_all_of_it_once(hospital: httpx.Client, person: str) -> None:
    for day in range(1, 6):
        shared_id, _ = says(hospital, said_at(condition(person, f"{person}-c"), f"2026-10-0{day}T10:00:00Z"))

    seen: list[str] = []
    url: str | None = f"/fhir/Provenance?target=Condition/{shared_id}&_count=2"
    while url:
        page = hospital.get(url).json()
        assert page["total"] == 5
        seen += [entry["resource"]["recorded"][:10] for entry in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)

    assert seen == [f"2026-10-0{day}" for day in range(5, 0, -1)]


def test_whom_the_statement_is_hidden_from_its_provenance_is_hidden_from(
    services: Services, hospital: httpx.Client, practice: httpx.Client, person: str
) -> None:
    shared_id, _ = says(practice, condition(person, f"{person}-c"))
    own, _ = says(hospital, condition(person, f"{person}-h"))
    (told,) = found(practice, f"Condition/{shared_id}")
    address = f"/fhir/Provenance/{told['id']}"

    with services.client("B99999", network="elsewhere") as stranger:
        for client in (hospital, stranger):
            refused = [client.get(address), client.get(f"/fhir/Provenance?target=Condition/{shared_id}")]
            absent = client.get(f"/fhir/Provenance/{'a' * 26}-{'b' * 26}-{'c' * 10}")
            for each in refused:
                assert (each.status_code, each.content) == (404, absent.content)

    assert len(found(hospital, f"Condition/{own}")) == 1


def test_a_published_provenance_comes_after_ours_and_is_marked(hospital: httpx.Client, person: str) -> None:
    shared_id, _ = says(hospital, condition(person, f"{person}-c"))
    published = {
        "resourceType": "Provenance",
        "id": f"{person}-v",
        "target": [{"reference": f"Condition/{person}-c"}, {"reference": f"Patient/{person}"}],
        "recorded": "2026-10-01T10:00:00Z",
        "agent": [{"who": {"display": "Dr Adeyemi"}}],
    }
    of_source, _ = says(hospital, published)

    told = found(hospital, f"Condition/{shared_id}")
    by_form = hospital.post("/fhir/Provenance/_search", data={"target": f"Condition/{shared_id}"}).json()

    derived, marked = told
    assert marked["id"] == of_source
    assert [tag["code"] for tag in marked["meta"]["tag"] if tag["system"] == ORIGIN_SYSTEM] == ["published"]
    assert "tag" not in derived["meta"]
    assert [entry["resource"] for entry in by_form["entry"]] == told
    as_published = hospital.get(f"/fhir/Provenance/{of_source}").json()
    assert as_published["agent"] == marked["agent"]
    # No source states the shared Patient. It has only the Provenance resources that sources published.
    assert found(hospital, f"Patient/{person}", patient=person) == [as_published]


def test_a_statement_of_the_directory_has_its_provenance_too(hospital: httpx.Client, person: str) -> None:
    clinic = {"resourceType": "Organization", "id": f"clinic-{person[-4:]}", "name": "Falls clinic"}
    shared_id, event = says(hospital, clinic)

    (told,) = found(hospital, f"Organization/{shared_id}")

    assert told["entity"][0]["what"]["identifier"]["value"] == event
    assert hospital.get(f"/fhir/Provenance/{told['id']}").json() == told


@pytest.mark.parametrize(
    "query",
    ["target=Condition/1", "target=Patient/9990000018", "target=Condition/x&target=Condition/y", "target="],
)
def test_a_target_that_names_no_statement_of_ours_is_refused_with_what_to_send(
    hospital: httpx.Client, query: str
) -> None:
    answer = hospital.get(f"/fhir/Provenance?{query}")

    assert answer.status_code == 400
    assert answer.json()["issue"][0]["diagnostics"]


def test_a_target_of_somebody_else_than_the_patient_named_is_refused(hospital: httpx.Client, person: str) -> None:
    shared_id, _ = says(hospital, condition(person, f"{person}-c"))

    answer = hospital.get(f"/fhir/Provenance?target=Condition/{shared_id}&patient={new_nhs_number()}")

    assert answer.status_code == 400


def test_reading_provenance_of_a_patient_statement(hospital: httpx.Client, person: str) -> None:
    answer = hospital.post("/fhir", json=transaction(patient(person, f"{person}-p")), headers=SENT)
    shared_id = answer.json()["entry"][0]["response"]["location"].split("/")[-3]

    assert len(found(hospital, f"Patient/{shared_id}")) == 1
