"""Reads as of an earlier moment return over HTTP exactly what readers saw at that moment of a busy hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at
from tests.publishing import SENT, publish
from tests.stack import Services

DIGEST = "X-OneStory-Record-Digest"


@pytest.fixture
def authority(services: Services) -> Iterator[httpx.Client]:
    with services.client("X26", network="pds") as client:
        yield client


def withdraw(client: httpx.Client, local_id: str, person: str) -> None:
    answer = client.delete(f"/fhir/Condition/{local_id}", params={"patient": person}, headers=SENT)
    assert answer.status_code in (200, 204), answer.text


def moment() -> str:
    """The present instant in milliseconds. It is later than every visible change."""
    now = datetime.now(UTC)
    while datetime.now(UTC) < now + timedelta(milliseconds=2):
        pass
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def everything(client: httpx.Client, person: str, **parameters: str) -> httpx.Response:
    return client.get(f"/fhir/Patient/{person}/$everything", params=parameters)


def summary(client: httpx.Client, person: str, **parameters: str) -> tuple[str, dict[str, list[Any]]]:
    """The summary's digest, and its entries by section title. The freshness of sources is not included."""
    answer = client.get(f"/fhir/Patient/{person}/$summary", params=parameters)
    assert answer.status_code == 200, answer.text
    sections = answer.json()["entry"][0]["resource"]["section"]
    return answer.headers[DIGEST], {each["title"]: each.get("entry", []) for each in sections}


def said(answer: httpx.Response) -> tuple[Any, Any, Any]:
    """The total, the entries and the digest of an answer, without its links."""
    body = answer.json()
    return body["total"], body.get("entry"), answer.headers[DIGEST]


def test_what_was_shown_is_given_again_whatever_was_corrected_since(
    practice: httpx.Client, hospital: httpx.Client, authority: httpx.Client
) -> None:
    person = new_nhs_number()
    problems = [said_at(condition(person, f"{person}-{n}", f"Problem {n}"), "2026-01-01T10:00:00Z") for n in range(4)]
    steps: list[Callable[[], object]] = [
        lambda: publish(authority, patient(person, f"{person}-pds")),
        lambda: publish(practice, patient(person, f"{person}-p"), *problems),
        lambda: publish(practice, said_at(condition(person, f"{person}-0", "Corrected"), "2026-01-02T10:00:00Z")),
        lambda: publish(practice, said_at(condition(person, f"{person}-0", "Late, older"), "2026-01-01T09:00:00Z")),
        lambda: publish(hospital, condition(person, f"{person}-h", "Fall")),
        lambda: withdraw(practice, f"{person}-1", person),
        lambda: publish(practice, condition(person, f"{person}-2", "All"), **{"X-Complete-Types": "Condition"}),
        lambda: publish(practice, patient(person, f"{person}-p", name=[{"family": "Okafor-Lind"}])),
    ]
    kept = []
    for step in steps:
        step()
        merged = practice.get(f"/fhir/Patient/{person}/$merged")
        kept.append(
            (moment(), everything(practice, person), everything(hospital, person), merged, summary(practice, person))
        )

    for at, shown, shown_to_hospital, merged, summarised in kept[1:]:
        again = everything(practice, person, asOf=at)
        assert said(again) == said(shown)
        assert f"asOf={at.replace(':', '%3A')}" in again.json()["link"][0]["url"]
        assert practice.get(f"/fhir/Patient/{person}/$merged", params={"asOf": at}).json() == merged.json()
        assert summary(practice, person, asOf=at) == summarised
        if shown_to_hospital.status_code == 200:
            assert said(everything(hospital, person, asOf=at)) == said(shown_to_hospital)


def test_what_was_of_somebody_else_is_not_shown_again(practice: httpx.Client, authority: httpx.Client) -> None:
    wrong, right = new_nhs_number(), new_nhs_number()
    for person in (wrong, right):
        publish(authority, patient(person, f"{person}-pds"))
        publish(practice, patient(person, f"{person}-p"))
    publish(practice, said_at(condition(wrong, f"{wrong}-x", "Misfiled"), "2026-01-01T10:00:00Z"))
    then = moment()
    assert "Misfiled" in everything(practice, wrong).text

    publish(practice, said_at(condition(right, f"{wrong}-x", "Misfiled"), "2026-01-02T10:00:00Z"))

    assert "Misfiled" not in everything(practice, wrong, asOf=then).text
    assert "Misfiled" not in everything(practice, right, asOf=then).text
    assert "Misfiled" in everything(practice, right, asOf=moment()).text


def test_pages_of_the_record_as_it_was_stay_in_its_time(practice: httpx.Client, authority: httpx.Client) -> None:
    person = new_nhs_number()
    publish(authority, patient(person, f"{person}-pds"))
    publish(practice, *[condition(person, f"{person}-{n}", f"Problem {n}") for n in range(4)])
    then = moment()
    seen: list[str] = []
    page = everything(practice, person, asOf=then, _count="2")
    while True:
        seen += [entry["resource"]["id"] for entry in page.json()["entry"]]
        publish(practice, condition(person, f"{person}-later-{len(seen)}", "Later"))
        following = next((link["url"] for link in page.json()["link"] if link["relation"] == "next"), None)
        if following is None:
            break
        page = practice.get(following)

    assert page.json()["total"] == len(seen) == len(set(seen)) == 6
    etag = everything(practice, person, asOf=then).headers["ETag"]
    not_modified = practice.get(
        f"/fhir/Patient/{person}/$everything", params={"asOf": then}, headers={"If-None-Match": etag}
    )
    assert not_modified.status_code == 304


def test_before_anything_was_said_there_is_nothing_and_nobody_is_told_more(
    practice: httpx.Client, authority: httpx.Client, hospital: httpx.Client
) -> None:
    person, before = new_nhs_number(), moment()
    publish(authority, patient(person, f"{person}-pds"))

    assert everything(practice, person, asOf=before).json()["total"] == 0
    refused, unknown = (everything(hospital, each, asOf=before) for each in (person, new_nhs_number()))
    assert (refused.status_code, refused.content) == (404, unknown.content)


def test_an_as_of_that_cannot_be_answered_is_refused_with_its_reason(practice: httpx.Client) -> None:
    person = new_nhs_number()

    for value, reason in [("2026-01-01", "date, time and zone"), ("2999-01-01T00:00:00Z", "in the future")]:
        refused = everything(practice, person, asOf=value)
        assert (refused.status_code, reason in refused.json()["issue"][0]["diagnostics"]) == (400, True)
    assert (
        practice.get("/fhir/Condition", params={"patient": person, "asOf": "2026-01-01T00:00:00Z"}).status_code == 400
    )
