"""The read API on real Kafka and PostgreSQL: the view of each caller, with pages and versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.publishing import SENT, publish_bundle
from tests.stack import Services

from onestory.shared.identity import NHS_NUMBER_SYSTEM


@pytest.fixture
def stranger(services: Services) -> Iterator[httpx.Client]:
    with services.client("B99999", network="elsewhere") as client:
        yield client


@pytest.fixture
def person(services: Services, practice: httpx.Client, hospital: httpx.Client) -> str:
    """A person with a registered practice, three problems from it, and one problem from the hospital."""
    number = new_nhs_number()
    problems = [condition(number, f"{number}-{place}", f"Problem {place}") for place in range(3)]
    publish_bundle(practice, transaction(patient(number, f"{number}-p"), *problems))
    publish_bundle(hospital, transaction(condition(number, f"{number}-h", "Fall")))
    services.register(number)
    return number


def read(client: httpx.Client, path: str, **headers: str) -> httpx.Response:
    answer = client.get(path, headers=headers)
    if answer.content:
        assert fhirkit.validate(answer.text) == []
    return answer


def resources(answer: httpx.Response) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def first_problem(client: httpx.Client, number: str) -> dict[str, Any]:
    return resources(read(client, f"/fhir/Condition?patient={number}"))[0]


def test_what_a_search_finds_can_be_read_at_its_full_url(practice: httpx.Client, person: str) -> None:
    found = read(practice, f"/fhir/Condition?patient=Patient/{person}")

    assert found.json()["total"] == 4
    for entry in found.json()["entry"]:
        assert read(practice, entry["fullUrl"]).json() == entry["resource"]


def test_search_by_form_and_by_subject_are_the_same_search(practice: httpx.Client, person: str) -> None:
    by_form = practice.post("/fhir/Condition/_search", data={"patient": person})

    assert by_form.json()["entry"] == read(practice, f"/fhir/Condition?subject={person}").json()["entry"]


def test_a_caller_who_sees_its_own_statements_alone_sees_it_in_every_count(
    practice: httpx.Client, hospital: httpx.Client, person: str
) -> None:
    everything, own = (read(client, f"/fhir/Patient/{person}/$everything") for client in (practice, hospital))

    # Each count includes the shared Patient and the visible statements.
    assert (everything.json()["total"], own.json()["total"]) == (7, 2)
    for header in ("ETag", "X-OneStory-Record-Digest"):
        assert everything.headers[header] != own.headers[header]
    theirs = next(each for each in resources(everything) if each.get("code", {}).get("text") == "Problem 1")
    assert read(hospital, f"/fhir/Condition/{theirs['id']}").status_code == 404


def test_refusal_looks_like_absence_everywhere(stranger: httpx.Client, practice: httpx.Client, person: str) -> None:
    problem, nobody = first_problem(practice, person), new_nhs_number()
    missing = f"{'a' * 26}-{'b' * 26}"

    for known, unknown in [
        (f"/fhir/Patient/{person}", f"/fhir/Patient/{nobody}"),
        (f"/fhir/Patient/{person}/$everything", f"/fhir/Patient/{nobody}/$everything"),
        (f"/fhir/Condition?patient={person}", f"/fhir/Condition?patient={nobody}"),
        (f"/fhir/Condition/{problem['id']}", f"/fhir/Condition/{missing}"),
        (f"/fhir/Condition/{problem['id']}/_history", f"/fhir/Condition/{missing}/_history"),
    ]:
        refused, absent = read(stranger, known), read(stranger, unknown)
        assert (refused.status_code, refused.content) == (404, absent.content)

    found = read(stranger, f"/fhir/Patient?identifier={NHS_NUMBER_SYSTEM}|{person}")
    assert (found.status_code, found.json()["total"]) == (200, 0)


def test_pages_hold_still_while_the_record_changes(practice: httpx.Client, person: str) -> None:
    seen: list[str] = []
    url: str | None = f"/fhir/Patient/{person}/$everything?_count=2"
    while url:
        page = read(practice, url)
        seen += [each["id"] for each in resources(page)]
        publish_bundle(practice, transaction(condition(person, f"{person}-0", f"Problem 0, page {len(seen)}")))
        url = next((link["url"] for link in page.json()["link"] if link["relation"] == "next"), None)

    assert len(seen) == len(set(seen)) == 7


def test_not_modified_until_something_is_said(practice: httpx.Client, person: str) -> None:
    for path in (f"/fhir/Patient/{person}/$everything", f"/fhir/Patient/{person}"):
        etag = read(practice, path).headers["ETag"]
        assert read(practice, path, **{"If-None-Match": etag}).status_code == 304

    etag = read(practice, f"/fhir/Patient/{person}/$everything").headers["ETag"]
    publish_bundle(practice, transaction(condition(person, f"{person}-new", "Gout")))

    assert read(practice, f"/fhir/Patient/{person}/$everything", **{"If-None-Match": etag}).status_code == 200


def test_every_version_can_be_read_and_a_withdrawn_resource_is_gone(practice: httpx.Client, person: str) -> None:
    local_id = f"{person}-2"
    publish_bundle(practice, transaction(said_at(condition(person, local_id, "Corrected"), "2026-10-03T10:00:00Z")))
    corrected = next(
        each for each in resources(read(practice, f"/fhir/Condition?patient={person}")) if "Problem 2" in str(each)
    )
    address = f"/fhir/Condition/{corrected['id']}"

    withdrawn = practice.delete(f"/fhir/Condition/{local_id}", params={"patient": person}, headers=SENT)
    assert withdrawn.status_code in (200, 204), withdrawn.text

    assert read(practice, address).status_code == 410
    history = read(practice, f"{address}/_history")
    assert history.json()["total"] == 3
    assert history.json()["entry"][0]["request"]["method"] == "DELETE"
    for entry in history.json()["entry"][1:]:
        version = entry["resource"]["meta"]["versionId"]
        answer = read(practice, f"{address}/_history/{version}")
        assert answer.json() == entry["resource"]
        assert answer.headers["ETag"] == f'W/"{version}"'


def test_a_history_has_pages_too(practice: httpx.Client, person: str) -> None:
    for day in range(1, 4):
        publish_bundle(
            practice, transaction(said_at(condition(person, f"{person}-x", f"Day {day}"), f"2026-10-0{day}T10:00:00Z"))
        )
    problem = next(
        each for each in resources(read(practice, f"/fhir/Condition?patient={person}")) if "Day" in str(each)
    )

    texts, url = [], f"/fhir/Condition/{problem['id']}/_history?_count=2"
    while url:
        page = read(practice, url)
        texts += [each["code"]["text"] for each in resources(page)]
        url = next((link["url"] for link in page.json()["link"] if link["relation"] == "next"), "")

    assert texts == ["Day 3", "Day 2", "Day 1"]


def test_since_shows_what_came_later(practice: httpx.Client, person: str) -> None:
    before = read(practice, f"/fhir/Patient/{person}/$everything?_type=Condition")
    last = max(each["meta"]["lastUpdated"] for each in resources(before))
    publish_bundle(practice, transaction(condition(person, f"{person}-late", "Late")))

    later = read(practice, f"/fhir/Condition?patient={person}&_lastUpdated=gt{last}")

    assert [each["code"]["text"] for each in resources(later)] == ["Late"]


def test_after_waits_for_what_was_published(practice: httpx.Client, person: str) -> None:
    for place in range(5):
        bundle = transaction(condition(person, f"{person}-after-{place}", f"After {place}"))
        said = practice.post("/fhir", json=bundle, headers={"Content-Type": "application/fhir+json"})
        token = said.headers["X-OneStory-Position"]

        found = read(practice, f"/fhir/Condition?patient={person}&after={token}")

        assert f"After {place}" in {each["code"]["text"] for each in resources(found)}


def test_the_patients_of_a_person_are_the_shared_one_and_each_sources_own(practice: httpx.Client, person: str) -> None:
    shared = read(practice, f"/fhir/Patient/{person}").json()
    own = read(practice, f"/fhir/{shared['link'][0]['other']['reference']}").json()

    assert shared["id"] == person
    assert shared["link"][0]["type"] == "seealso"
    assert own["name"] == shared["name"]
    by_identifier = read(practice, f"/fhir/Patient?identifier={NHS_NUMBER_SYSTEM}|{person}")
    assert resources(by_identifier) == [shared]
    everything_of_source = read(practice, f"/fhir/Patient/{own['id']}/$everything")
    assert everything_of_source.json()["total"] == 7


def test_no_route_answers_without_a_token(services: Services, person: str) -> None:
    for path in (f"/fhir/Patient/{person}", f"/fhir/Condition?patient={person}", f"/fhir/Patient/{person}/$everything"):
        assert httpx.get(f"{services.base_url}{path}", trust_env=False).status_code == 401
