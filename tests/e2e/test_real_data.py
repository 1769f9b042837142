"""Published FHIR examples and Synthea people come back over HTTP as they were written."""

from __future__ import annotations

import itertools
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from tests.as_written import Members, as_written, body_of, meta_of
from tests.contract.shared_data import DATA, needs_shared_data, verdicts
from tests.stack import Services

from onestory.shared.fhir.definitions import operation_only_types

pytestmark = needs_shared_data

ORGANISATION = "A81001"
ARCHIVE = DATA / "synthea-gb-1092.tar.xz"
MEMBERS = 10
SAMPLE = 25
"""How many entries of a large Bundle are also read one by one."""

Json = dict[str, Any]


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with services.client(ORGANISATION) as client:
        client.timeout = httpx.Timeout(60)
        yield client


def members() -> Iterator[tuple[str, bytes]]:
    """Yield the first people of the archive, one Bundle each."""
    with tarfile.open(ARCHIVE, "r|xz") as archive:
        people = (each for each in archive if each.isfile() and "Information" not in each.name)
        for member in itertools.islice(people, MEMBERS):
            content = archive.extractfile(member)
            assert content is not None
            yield member.name, content.read()


def publish(http: httpx.Client, body: bytes, name: str) -> httpx.Response:
    """Publish a file under its own source system, because different files use the same ids."""
    resource = json.loads(body)
    kind, own = str(resource.get("resourceType")), resource.get("id")
    headers = {
        "Content-Type": "application/fhir+json",
        "X-Source-System": "".join(letter if letter.isalnum() else "-" for letter in name)[-64:].lstrip("-"),
        "Prefer": "wait=30",
    }
    if kind == "Bundle":
        return http.post("/fhir", content=body, headers=headers)
    if kind in operation_only_types():
        # Sent alone, the resource would be a referral.
        alone = b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":%b}]}' % body
        return http.post("/fhir", content=alone, headers=headers)
    if own:
        return http.put(f"/fhir/{quote(kind)}/{quote(str(own), safe='')}", content=body, headers=headers)
    return http.post(f"/fhir/{quote(kind)}", content=body, headers=headers)


def locations(services: Services, answer: httpx.Response) -> list[str]:
    """Return the URL of each entry, in the order of the submission; after a 202 without locations, in any order."""
    if answer.status_code == 202:
        return _by_event(services, answer.headers["X-OneStory-Event-Id"].split(", "))
    if "Location" in answer.headers:
        return [answer.headers["Location"]]
    return [entry["response"]["location"] for entry in answer.json()["entry"]]


def _by_event(services: Services, events: list[str]) -> list[str]:
    query = """select resource_type, shared_id, event_id from record.statement where event_id = any(%(events)s::uuid[])
               union all
               select resource_type, shared_id, event_id from record.directory_statement
               where event_id = any(%(events)s::uuid[])"""
    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute(query, {"events": events}).fetchall()
    return [f"{services.base_url}/fhir/{kind}/{own}/_history/{event}" for kind, own, event in rows]


def everything(http: httpx.Client, patient: str) -> dict[str, Members]:
    """Return all resources of a person's record, from all pages, by URL."""
    found: dict[str, Members] = {}
    url: str | None = f"{patient}/$everything?_count=200"
    while url:
        page = http.get(url)
        assert page.status_code == 200, page.text
        links = {link["relation"]: link["url"] for link in page.json()["link"]}
        held = {str(entry.get("fullUrl")): entry.get("resource") for entry in as_written(page.content).get("entry")}
        assert not held.keys() & found.keys()
        found |= held
        url = links.get("next")
    return found


def assert_reads_as_sent(services: Services, http: httpx.Client, answer: httpx.Response, body: bytes) -> int:
    """Check that every entry reads as sent at the URL in the answer. Return the number of entries."""
    sent = sent_resources(body)
    places = locations(services, answer)
    assert len(places) == len(sent)
    served = [read(http, place) for place in places]
    if answer.status_code == 202:
        sent, served = sorted(sent, key=_by_content), sorted(served, key=_by_content)
    for one, other in zip(sent, served, strict=True):
        assert_same(one, other)
    return len(served)


def assert_person_reads_as_sent(services: Services, http: httpx.Client, answer: httpx.Response, body: bytes) -> None:
    """Check that one person's entries read as sent, page by page, and some of them at the URL in the answer."""
    sent, places = sent_resources(body), locations(services, answer)
    assert len(places) == len(sent)
    patients = [place for one, place in zip(sent, places, strict=True) if one.get("resourceType") == "Patient"]
    held = everything(http, _current(patients[0]))
    for one, place in zip(sent, places, strict=True):
        assert_same(one, held[_current(place)])
    for one, place in itertools.islice(zip(sent, places, strict=True), 0, None, 1 + len(sent) // SAMPLE):
        assert_same(one, read(http, place))


def sent_resources(body: bytes) -> list[Members]:
    sent = as_written(body)
    return [entry.get("resource") for entry in sent.get("entry")] if sent.get("resourceType") == "Bundle" else [sent]


def read(http: httpx.Client, location: str) -> Members:
    answer = http.get(location)
    assert answer.status_code == 200, answer.text
    resource: Members = as_written(answer.content)
    return resource


def assert_same(sent: Members, served: Members) -> None:
    assert body_of(served) == body_of(sent)
    assert meta_of(served) == meta_of(sent)


def _current(location: str) -> str:
    return location.partition("/_history/")[0]


def _by_content(resource: Members) -> str:
    return repr((body_of(resource), meta_of(resource)))


def test_each_published_example_that_is_taken_reads_as_it_was_written(services: Services, http: httpx.Client) -> None:
    taken = entries = 0

    for name in sorted(verdicts()):
        if name.startswith("synthea-gb/"):
            continue
        body = (DATA / name).read_bytes()
        answer = publish(http, body, name)
        assert answer.status_code in (200, 201, 202, 400, 403, 412, 422), (name, answer.text)
        if answer.is_success and not _refused_in(answer):
            taken += 1
            entries += assert_reads_as_sent(services, http, answer, body)

    assert taken >= 100
    assert entries > taken


def test_the_people_of_synthea_read_as_they_were_written(services: Services, http: httpx.Client) -> None:
    files: list[Path] = sorted((DATA / "synthea-gb").glob("*.json"))
    assert files
    for file in files:
        body = file.read_bytes()

        answer = publish(http, body, file.stem)

        assert answer.status_code == 200, answer.text
        check = assert_reads_as_sent if "Information" in file.stem else assert_person_reads_as_sent
        check(services, http, answer, body)


def test_people_of_the_archive_read_as_they_were_written(services: Services, http: httpx.Client) -> None:
    if not ARCHIVE.exists():
        pytest.skip(f"{ARCHIVE.name} is not among the shared data")
    for name, body in members():
        answer = publish(http, body, name)

        assert answer.status_code == 200, answer.text
        assert_person_reads_as_sent(services, http, answer, body)


def _refused_in(answer: httpx.Response) -> bool:
    if answer.status_code != 200 or not answer.content:
        return False
    entries = answer.json().get("entry", [])
    return any("location" not in entry.get("response", {"location": ""}) for entry in entries)
