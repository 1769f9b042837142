"""A search for HealthcareService finds teams of the directory by name and organisation, page by page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.people import new_nhs_number
from tests.referrals import new_team
from tests.stack import Services
from tests.waiting import until


def found(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", ())]


def search(client: httpx.Client, **asked: Any) -> httpx.Response:
    return client.get("/fhir/HealthcareService", params=asked)


def test_a_team_is_found_by_words_of_its_name_in_any_order(services: Services, surgery: httpx.Client) -> None:
    team = new_team(services, "RZ1", "Wound care, Saltmarsh")

    assert found(search(surgery, name="saltmarsh wound")) == [team]
    assert found(search(surgery, name="saltmarsh", organization="RZ1")) == [team]
    assert found(search(surgery, name="saltmarsh", organization="RZ2")) == []


def test_pages_show_each_team_once(services: Services, surgery: httpx.Client) -> None:
    teams = {new_team(services, "RZ1", f"Saltpan {letter}") for letter in "abcde"}
    answer, seen = search(surgery, name="saltpan", _count=2), list[str]()

    while True:
        seen += found(answer)
        following = [link["url"] for link in answer.json()["link"] if link["relation"] == "next"]
        if not following:
            break
        answer = surgery.get(following[0])

    assert answer.json()["total"] == 5
    assert sorted(seen) == sorted(teams)


NO_CURSORS = [
    {"_cursor": cursor} for cursor in ("x", "NQ", "WyJcdTAwMDAiLCJhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYSJd")
]  # the number 5, and a NUL


@pytest.mark.parametrize("asked", [{"nam": "x"}, {"_count": "0"}, {"active": "maybe"}, *NO_CURSORS])
def test_what_is_asked_wrongly_is_refused_and_says_how_to_ask(surgery: httpx.Client, asked: dict[str, str]) -> None:
    refused = search(surgery, **asked)

    assert refused.status_code == 400, refused.text
    assert refused.json()["issue"][0]["diagnostics"]


def test_what_came_with_a_persons_record_is_for_the_record_to_answer(services: Services, surgery: httpx.Client) -> None:
    number = new_nhs_number()
    services.register(number)

    answer = search(surgery, patient=number)

    assert answer.status_code == 200
    assert "X-OneStory-Record-Digest" in answer.headers


def test_a_search_with_general_parameters_is_for_the_whole_directory(services: Services, surgery: httpx.Client) -> None:
    team = new_team(services, "RZ1")

    until(lambda: found(search(surgery, _id=team)) == [team])

    for parameters in ({"_summary": "true"}, {"_sort": "-name"}, {"_elements": "name"}):
        assert found(search(surgery, _id=team, **parameters)) == [team]
    assert search(surgery, name="x", _count="1000").status_code == 200
    mixed = search(surgery, serves="A81001", _sort="name")
    assert (mixed.status_code, mixed.json()["issue"][0]["code"]) == (400, "not-supported")
