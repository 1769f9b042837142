"""The addresses of BaRS: ids in every answer, codes in every error, and what a search includes."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from tests.bars import DAY, DOS, issue, message, new_slot, send
from tests.contract.shared_data import needs_shared_data
from tests.people import new_nhs_number
from tests.publishing import SENT
from tests.stack import Services

pytestmark = needs_shared_data

Json = dict[str, Any]
_ADDRESSES = [
    ("GET", "/metadata", 200),
    ("GET", "/ServiceRequest", 400),
    ("GET", "/ServiceRequest/nobody", 404),
    ("GET", "/Appointment", 400),
    ("GET", "/Slot", 400),
    ("GET", "/MessageDefinition", 400),
    ("DELETE", "/ServiceRequest/nobody", 405),
    ("PUT", "/Appointment/nobody", 405),
    ("PATCH", "/Slot", 405),
    ("POST", "/MessageDefinition", 405),
    ("POST", "/metadata", 405),
    ("GET", "/$process-message", 405),
    ("GET", "/fhir/$process-message", 405),
    ("GET", "/Slot/nobody", 501),
    ("GET", "/MessageDefinition/nobody", 501),
    ("GET", "/Endpoint", 501),
    ("POST", "/HealthcareService", 501),
]


@pytest.mark.parametrize(("method", "path", "status"), _ADDRESSES)
def test_every_answer_has_the_ids_of_its_request_and_every_error_its_code(
    sender: httpx.Client, method: str, path: str, status: int
) -> None:
    ids = {"X-Request-Id": str(uuid.uuid4()), "X-Correlation-Id": str(uuid.uuid4())}

    answer = sender.request(method, path, headers=ids)

    assert answer.status_code == status, answer.text
    assert {name: answer.headers.get_list(name) for name in ids} == {name: [value] for name, value in ids.items()}
    if status >= 400:
        (coding,) = answer.json()["issue"][0]["details"]["coding"]
        assert coding["code"].startswith("REC_")


def test_an_answer_to_nobody_has_the_ids_too(services: Services) -> None:
    request_id = str(uuid.uuid4())
    with httpx.Client(base_url=services.base_url, trust_env=False) as anybody:
        refused = anybody.get("/ServiceRequest", headers={"X-Request-Id": request_id})

    assert (refused.status_code, refused.headers["X-Request-Id"]) == (401, request_id)
    assert refused.json()["issue"][0]["details"]["coding"][0]["code"] == "REC_UNAUTHORIZED"


def test_a_refused_message_has_the_ids_and_text_that_is_no_uuid_is_not_returned(
    sender: httpx.Client, service: str
) -> None:
    request_id, said = str(uuid.uuid4()), message("REFREQ01", new_nhs_number(), service)
    answers = [send(sender, said, **{"X-Request-Id": request_id}) for _ in range(2)]
    answers.append(send(sender, b"{}", **{"X-Request-Id": request_id}))

    assert [each.status_code for each in answers] == [200, 409, 400]
    assert {each.headers["X-Request-Id"] for each in answers} == {request_id}
    assert "X-Request-Id" not in sender.get("/metadata", headers={"X-Request-Id": "9990000018"}).headers


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Correlation-Id"])
def test_a_message_without_an_id_is_refused(sender: httpx.Client, service: str, name: str) -> None:
    said = message("REFREQ01", new_nhs_number(), service)
    headers = {"X-Request-Id": str(uuid.uuid4()), "X-Correlation-Id": str(uuid.uuid4())}
    del headers[name]

    refused = sender.post("/$process-message", json=said, headers={"Content-Type": "application/fhir+json", **headers})

    assert issue(refused) == (400, "required", f"http.{name}", "REC_BAD_REQUEST")


def test_the_messages_are_those_of_a_service(sender: httpx.Client, service: str) -> None:
    assert issue(sender.get("/MessageDefinition"))[:3] == (400, "required", "http.context")
    assert issue(sender.get("/MessageDefinition?context="))[:3] == (400, "required", "http.context")
    assert issue(sender.get("/MessageDefinition?context=424242"))[::3] == (404, "REC_NOT_FOUND")
    for context in (service, f"{DOS}|{service}"):
        assert sender.get("/MessageDefinition", params={"context": context}).json()["total"] == 9


@pytest.mark.parametrize("name", ["_include", "_include:iterate"])
def test_a_search_for_slots_includes_what_is_asked_for(
    services: Services, sender: httpx.Client, service: str, name: str
) -> None:
    new_slot(services, service, f"{DAY}T09:00:00Z", f"{DAY}T09:10:00Z")
    path = f"/Slot?Schedule.actor:HealthcareService={service}&_include=Slot:schedule"

    plain, more = (
        sender.get(each).json()["entry"] for each in (path, f"{path}&{name}=Schedule:actor:HealthcareService")
    )

    assert [each["resource"]["resourceType"] for each in plain] == ["Slot", "Schedule"]
    assert [each["resource"]["resourceType"] for each in more] == ["Slot", "Schedule", "HealthcareService"]
    assert [each["search"]["mode"] for each in more] == ["match", "include", "include"]
    assert more[2]["fullUrl"].endswith(f"/HealthcareService/{more[2]['resource']['id']}")
    assert issue(sender.get(f"{path}&{name}=Schedule:actor:Device"))[:3] == (400, "not-supported", f"http.{name}")


def test_a_search_for_slots_includes_a_practitioner(sender: httpx.Client, receiver: httpx.Client, service: str) -> None:
    name = uuid.uuid4().hex
    practitioner = {"resourceType": "Practitioner", "id": name, "name": [{"family": "Physio"}]}
    schedule = {
        "resourceType": "Schedule",
        "id": name,
        "actor": [
            {"identifier": {"system": DOS, "value": service}},
            {"reference": f"Practitioner/{name}"},
        ],
    }
    slot = {
        "resourceType": "Slot",
        "id": name,
        "schedule": {"reference": f"Schedule/{name}"},
        "status": "free",
        "start": f"{DAY}T09:00:00Z",
        "end": f"{DAY}T09:10:00Z",
    }
    for each in (practitioner, schedule, slot):
        receiver.put(f"/fhir/{each['resourceType']}/{name}", json=each, headers=SENT).raise_for_status()
    path = f"/Slot?Schedule.actor:HealthcareService={service}&_include:iterate=Schedule:actor:Practitioner"

    found: list[str] = []
    for _ in range(100):
        found = [each["resource"]["resourceType"] for each in sender.get(path).json().get("entry", ())]
        if found:
            break

    assert found == ["Slot", "Schedule", "Practitioner"]
