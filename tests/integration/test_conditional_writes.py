"""Conditions of writes and idempotency keys, over HTTP, with two processes that serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT, publish
from tests.stack import Services
from tests.waiting import until

from onestory.local import processes, state, up

FHIR_JSON = {"Content-Type": "application/fhir+json"}
PROBLEMS = "https://gp.example/problem"


@pytest.fixture(scope="module")
def second(services: Services) -> Iterator[httpx.Client]:
    """A client of the practice at a second process that serves."""
    port = state.free_port({int(services.base_url.rpartition(":")[2])})
    environment = up.process_environment("serve", services.home, services.stack)
    # Locations begin with the base URL of the deployment, which both processes have.
    environment |= {"ONESTORY_PORT": str(port), "ONESTORY_BASE_URL": services.base_url}
    processes.start(services.home, "serve-2", [*up.onestory_command(), "serve"], environment=environment)
    try:
        until(lambda: up.answers_200(f"http://127.0.0.1:{port}/health/ready"))
        with services.client("A81001", network="harbour") as client:
            client.base_url = f"http://127.0.0.1:{port}"
            yield client
    finally:
        processes.stop(services.home, ["serve-2"])


def identified(number: str, value: str, text: str = "Heart failure", local_id: str = "") -> dict[str, Any]:
    """A problem with an identifier of the practice."""
    problem = condition(number, local_id, text, identifier=[{"system": PROBLEMS, "value": value}])
    return problem if local_id else {name: each for name, each in problem.items() if name != "id"}


def create(client: httpx.Client, problem: dict[str, Any], value: str, **headers: str) -> httpx.Response:
    sent = {**FHIR_JSON, "If-None-Exist": f"identifier={PROBLEMS}|{value}", **headers}
    return client.post("/fhir/Condition", json=problem, headers=sent)


def problems(client: httpx.Client, number: str) -> list[str]:
    found = client.get("/fhir/Condition", params={"patient": number}).json()
    return sorted(entry["resource"]["code"]["text"] for entry in found.get("entry", []))


def test_a_create_on_something_that_exists_changes_nothing(practice: httpx.Client) -> None:
    number, value = new_nhs_number(), uuid4().hex
    first = create(practice, identified(number, value, "Brittle asthma", "tmp-a"), value)
    second = create(practice, identified(number, value, "Asthma", "tmp-b"), value, Prefer="return=representation")

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["ETag"] == first.headers["ETag"]
    assert second.json()["code"]["text"] == "Brittle asthma"
    assert "X-OneStory-Event-Id" not in second.headers
    assert problems(practice, number) == ["Brittle asthma"]

    address = first.headers["Location"].partition("/_history/")[0]
    assert practice.delete(address, headers={"Prefer": "wait=20"}).status_code == 204
    assert create(practice, identified(number, value, "Asthma"), value).status_code == 201


def test_a_create_finds_resources_that_were_sent_with_an_id(practice: httpx.Client) -> None:
    number, value = new_nhs_number(), f"a/{uuid4().hex}"
    publish(practice, patient(number, f"{number}-p"), identified(number, value, "Gout", f"{number}-1"))

    assert create(practice, identified(number, value), value).status_code == 200

    publish(practice, identified(number, value, "Gout", f"{number}-2"))
    several = create(practice, identified(number, value), value)
    update = practice.put(
        f"/fhir/Condition?identifier={PROBLEMS}|{value}", json=identified(number, value), headers=SENT
    )
    assert (several.status_code, update.status_code) == (412, 412)
    assert problems(practice, number) == ["Gout", "Gout"]


def test_another_source_with_the_identifier_is_no_match(practice: httpx.Client, hospital: httpx.Client) -> None:
    number, value = new_nhs_number(), uuid4().hex
    assert create(practice, identified(number, value), value).status_code == 201
    assert create(hospital, identified(number, value), value).status_code == 201
    assert create(practice, identified(number, value), value, **{"X-Source-System": "other"}).status_code == 201


def test_an_identifier_of_a_resource_about_another_person_moves_nothing(practice: httpx.Client) -> None:
    one, other, value = new_nhs_number(), new_nhs_number(), uuid4().hex
    create(practice, identified(one, value), value)

    refused = create(practice, identified(other, value), value)

    assert refused.status_code == 412
    assert problems(practice, one) == ["Heart failure"]


def test_a_person_who_gets_an_nhs_number_keeps_the_resources_that_exist(practice: httpx.Client) -> None:
    number, value, local = new_nhs_number(), uuid4().hex, f"p-{uuid4().hex[:12]}"
    nameless = {name: each for name, each in patient(number, local).items() if name != "identifier"}
    bundle = transaction(nameless, identified(number, value, local_id="tmp"))
    bundle["entry"][1]["resource"]["subject"] = {"reference": f"Patient/{local}"}
    bundle["entry"][1]["request"] = {
        "method": "POST",
        "url": "Condition",
        "ifNoneExist": f"identifier={PROBLEMS}|{value}",
    }
    assert practice.post("/fhir", json=bundle, headers=SENT).status_code == 200
    publish(practice, patient(number, local))

    assert create(practice, identified(number, value), value).status_code == 200


def test_a_directory_resource_is_created_once(practice: httpx.Client) -> None:
    value = uuid4().hex
    team = {"resourceType": "Organization", "name": "Team", "identifier": [{"system": PROBLEMS, "value": value}]}
    practice.put(f"/fhir/Organization/{value[:20]}", json={**team, "id": value[:20]}, headers=SENT)

    condition_of_team = {"If-None-Exist": f"Organization?identifier={PROBLEMS}%7C{value}"}
    again = practice.post("/fhir/Organization", json=team, headers={**FHIR_JSON, **condition_of_team})

    assert again.status_code == 200


def test_parallel_creates_end_as_one_whichever_process_takes_them(practice: httpx.Client, second: httpx.Client) -> None:
    number, value = new_nhs_number(), uuid4().hex
    minimal = {"Prefer": "return=minimal"}

    def send(place: int) -> httpx.Response:
        client = (practice, second)[place % 2]
        return create(client, identified(number, value, f"Problem {place}"), value, **minimal)

    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(send, range(10)))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 9}
    assert len({answer.headers["Location"] for answer in answers}) == 1
    history = answers[0].headers["Location"].partition("/_history/")[0] + "/_history"
    assert practice.get(history).json()["total"] == 1


def test_parallel_transactions_lead_to_one_patient(practice: httpx.Client, second: httpx.Client) -> None:
    value = uuid4().hex
    one, other = (f"urn:uuid:{uuid4()}" for _ in range(2))
    person = {"resourceType": "Patient", "identifier": [{"system": PROBLEMS, "value": value}]}
    weight = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Weight"},
        "subject": {"reference": one},
    }
    condition_of_patient = {"method": "POST", "url": "Patient", "ifNoneExist": f"Patient?identifier={PROBLEMS}|{value}"}
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": one, "resource": person, "request": condition_of_patient},
            {"fullUrl": other, "resource": weight, "request": {"method": "POST", "url": "Observation"}},
        ],
    }
    with ThreadPoolExecutor(6) as clients:
        answers = list(
            clients.map(
                lambda place: (practice, second)[place % 2].post(
                    "/fhir", json=bundle, headers={**FHIR_JSON, "Prefer": "return=representation"}
                ),
                range(6),
            )
        )

    entries = [answer.json()["entry"] for answer in answers]
    assert Counter(entry[0]["response"]["status"] for entry in entries) == {"201 Created": 1, "200 OK": 5}
    assert len({entry[0]["response"]["location"] for entry in entries}) == 1
    assert len({entry[1]["resource"]["subject"]["reference"] for entry in entries}) == 1
    assert len({entry[1]["response"]["location"] for entry in entries}) == 6


def test_an_update_from_an_old_version_is_refused_with_the_current_one(practice: httpx.Client) -> None:
    number = new_nhs_number()
    address = f"/fhir/Condition/{number}-1"
    first = practice.put(address, json=condition(number, f"{number}-1", "Gout"), headers=SENT)
    read = practice.get(first.headers["Location"].partition("/_history/")[0])
    changed = {**read.json(), "code": {"text": "Gout, left foot"}}
    own = f"/fhir/Condition/{changed['id']}"

    second = practice.put(own, json=changed, headers={**SENT, "If-Match": read.headers["ETag"]})
    stale = practice.put(own, json=changed, headers={**SENT, "If-Match": read.headers["ETag"]})
    exists = practice.put(address, json=condition(number, f"{number}-1"), headers={**SENT, "If-None-Match": "*"})
    kept = practice.delete(own, headers={"If-Match": read.headers["ETag"]})

    assert [each.status_code for each in (first, second, stale, exists, kept)] == [201, 200, 412, 412, 412]
    assert {each.headers["ETag"] for each in (stale, exists, kept)} == {second.headers["ETag"]}
    assert problems(practice, number) == ["Gout, left foot"]
    assert practice.delete(own, headers={"If-Match": second.headers["ETag"], "Prefer": "wait=20"}).status_code == 204
    gone = practice.put(own, json=changed, headers={**SENT, "If-Match": second.headers["ETag"]})
    assert (gone.status_code, gone.headers.get("ETag")) == (412, None)
    assert practice.put(address, json=condition(number, f"{number}-1"), headers=SENT).status_code == 201


def test_a_repetition_with_its_key_is_not_refused_by_its_own_success(practice: httpx.Client) -> None:
    number = new_nhs_number()
    problem = condition(number, f"{number}-1")
    address = f"/fhir/Condition/{number}-1"
    first = practice.put(address, json=problem, headers=SENT)
    conditional = {**SENT, "If-Match": first.headers["ETag"], "Idempotency-Key": uuid4().hex}

    answers = [practice.put(address, json=problem, headers=conditional) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]


def test_a_key_names_one_content_in_every_process(practice: httpx.Client, second: httpx.Client) -> None:
    number, key = new_nhs_number(), {"Idempotency-Key": uuid4().hex}

    def send(client: httpx.Client, text: str) -> httpx.Response:
        problem = condition(number, f"{number}-1", text)
        return client.put(f"/fhir/Condition/{number}-1", json=problem, headers={**SENT, **key})

    first, refused, repeated = send(practice, "Gout"), send(second, "Asthma"), send(second, "Gout")

    assert [each.status_code for each in (first, refused, repeated)] == [201, 422, 201]
    assert refused.json()["issue"][0]["code"] == "duplicate"
    assert repeated.headers["X-OneStory-Event-Id"] == first.headers["X-OneStory-Event-Id"]
    assert problems(practice, number) == ["Gout"]
