"""The history of a type, of all types and of a person lists the versions of resources in a person's record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at
from tests.publishing import SENT, publish
from tests.stack import Services


@pytest.fixture
def authority(services: Services) -> Iterator[httpx.Client]:
    with services.client("X26", network="pds") as client:
        yield client


@pytest.fixture
def person(authority: httpx.Client) -> str:
    """The NHS number of a person about whom only the authority has published."""
    number = new_nhs_number()
    publish(authority, patient(number, f"{number}-pds"))
    return number


def read(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert fhirkit.validate(answer.text) == []
    body: dict[str, Any] = answer.json()
    return body


def told(bundle: dict[str, Any]) -> list[str]:
    """One text for each entry: the text of a problem, DELETE, or the type of any other resource."""
    return [
        entry.get("resource", {}).get("code", {}).get("text") or entry.get("resource", {}).get("resourceType", "DELETE")
        for entry in bundle.get("entry", [])
    ]


def next_page(bundle: dict[str, Any]) -> str | None:
    return next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)


def test_the_history_of_a_type_tells_what_was_said_newest_first(practice: httpx.Client, person: str) -> None:
    publish(
        practice,
        patient(person, f"{person}-p"),
        said_at(condition(person, f"{person}-1", "Gout"), "2026-01-01T10:00:00Z"),
    )
    publish(practice, said_at(condition(person, f"{person}-1", "Gout, left"), "2026-01-02T10:00:00Z"))
    publish(practice, condition(person, f"{person}-2", "Fall"))
    withdrawn = practice.delete(f"/fhir/Condition/{person}-2", params={"patient": person}, headers=SENT)
    assert withdrawn.status_code in (200, 204)

    history = read(practice, f"/fhir/Condition/_history?patient={person}")

    assert told(history) == ["DELETE", "Fall", "Gout, left", "Gout"]
    assert history["total"] == 4
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "PUT", "PUT", "PUT"]
    times = [entry["response"]["lastModified"] for entry in history["entry"]]
    assert times == sorted(times, reverse=True)
    since = history["entry"][1]["resource"]["meta"]["lastUpdated"]
    assert told(read(practice, f"/fhir/Condition/_history?patient={person}&_since={since}")) == ["DELETE", "Fall"]


def test_the_history_of_a_person_has_all_types_and_pages_that_hold_while_more_is_said(
    practice: httpx.Client, person: str
) -> None:
    publish(practice, patient(person, f"{person}-p"))
    for place in range(3):
        publish(practice, condition(person, f"{person}-{place}", f"Problem {place}"))
    seen: list[str] = []
    url: str | None = f"/fhir/_history?patient={person}&_count=2"

    while url:
        page = read(practice, url)
        seen += told(page)
        publish(practice, condition(person, f"{person}-1", f"Said meanwhile, {len(seen)}"))
        url = next_page(page)

    assert seen == ["Problem 2", "Problem 1", "Problem 0", "Patient", "Patient"]


def test_what_a_whole_list_retires_is_told_to_have_left(practice: httpx.Client, person: str) -> None:
    publish(
        practice, *[said_at(condition(person, f"{person}-{n}", f"Problem {n}"), "2026-01-01T10:00:00Z") for n in (1, 2)]
    )
    publish(practice, condition(person, f"{person}-1", "All of it"), **{"X-Complete-Types": "Condition"})

    left, listed = read(practice, f"/fhir/Condition/_history?patient={person}")["entry"][:2]

    assert left["request"]["method"] == "DELETE"
    assert "etag" not in left["response"]
    assert practice.get(left["fullUrl"]).status_code == 410
    assert listed["resource"]["code"]["text"] == "All of it"


def test_what_was_of_somebody_else_is_told_to_have_left_and_not_what_it_said(
    practice: httpx.Client, authority: httpx.Client, person: str
) -> None:
    right = new_nhs_number()
    publish(authority, patient(right, f"{right}-pds"))
    publish(practice, said_at(condition(person, f"{person}-x", "Misfiled"), "2026-01-01T10:00:00Z"))
    assert told(read(practice, f"/fhir/Condition/_history?patient={person}")) == ["Misfiled"]

    publish(practice, said_at(condition(right, f"{person}-x", "Misfiled"), "2026-01-02T10:00:00Z"))

    assert told(read(practice, f"/fhir/Condition/_history?patient={person}")) == ["DELETE"]
    assert told(read(practice, f"/fhir/Condition/_history?patient={right}")) == ["Misfiled"]


def test_a_caller_who_sees_its_own_statements_alone_sees_their_history_alone(
    practice: httpx.Client, hospital: httpx.Client, person: str
) -> None:
    publish(practice, condition(person, f"{person}-1", "Gout"))
    publish(hospital, condition(person, f"{person}-h", "Fall"))

    own = read(hospital, f"/fhir/_history?patient={person}")

    assert (told(own), own["total"]) == (["Fall"], 1)
    # The shared Patient's history begins with the hospital's first statement and shows nothing earlier.
    assert len(read(hospital, f"/fhir/Patient/{person}/_history")["entry"]) == 1


def test_refusal_looks_like_absence_and_the_person_must_be_named(hospital: httpx.Client, person: str) -> None:
    for path in ("/fhir/Condition/_history", "/fhir/_history"):
        refused, absent = (hospital.get(path, params={"patient": each}) for each in (person, new_nhs_number()))
        assert (refused.status_code, refused.content) == (404, absent.content)
        assert hospital.get(path).status_code == 400
        assert hospital.get(path, params={"patient": person, "_cursor": "WzFd"}).status_code == 400


def test_the_shared_patient_has_a_version_for_each_time_at_which_it_became_another(
    practice: httpx.Client, authority: httpx.Client, person: str
) -> None:
    publish(practice, patient(person, f"{person}-p", gender="female"))
    publish(practice, condition(person, f"{person}-1", "Gout"))
    publish(authority, patient(person, f"{person}-pds", name=[{"family": "Okafor-Lind"}]))

    history = read(practice, f"/fhir/Patient/{person}/_history")

    said = [(entry["resource"]["name"][0]["family"], entry["resource"].get("gender")) for entry in history["entry"]]
    assert said == [("Okafor-Lind", "female"), ("Okafor", "female"), ("Okafor", None)]
    assert history["total"] == 3
    assert history["entry"][0]["resource"] == read(practice, f"/fhir/Patient/{person}")
    for entry in history["entry"]:
        version = entry["resource"]["meta"]["versionId"]
        assert read(practice, f"/fhir/Patient/{person}/_history/{version}") == entry["resource"]
    assert practice.get(f"/fhir/Patient/{person}/_history/{'0' * 32}").status_code == 404

    pages, url = [], f"/fhir/Patient/{person}/_history?_count=1"
    while url:
        page = read(practice, url)
        pages += page["entry"]
        url = next_page(page) or ""
    assert pages == history["entry"]
