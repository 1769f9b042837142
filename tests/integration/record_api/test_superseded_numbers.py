"""Superseded numbers as readers see them: only an authority joins two numbers, and it can undo the join."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at
from tests.publishing import SENT
from tests.stack import Services

from onestory.shared.identity import NHS_NUMBER_SYSTEM

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
DAYS = [f"2026-10-0{day}T10:00:00Z" for day in range(1, 8)]


@pytest.fixture
def authority(services: Services) -> Iterator[httpx.Client]:
    with services.client("X26") as client:
        yield client


def says(client: httpx.Client, resource: dict[str, Any], at: str = DAYS[0]) -> None:
    answer = client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=said_at(resource, at), headers=SENT)
    assert answer.is_success, answer.text


def link(number: str, kind: str = "replaces") -> dict[str, Any]:
    return {"other": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": number}}, "type": kind}


def alias(number: str, *links: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """The authority's Patient that links this number to others."""
    said: dict[str, Any] = {"link": list(links)} if links else {}
    return patient(number, f"{number}-alias", **said, **elements)


@pytest.fixture
def people(services: Services, practice: httpx.Client) -> list[str]:
    """Four NHS numbers of the practice, each with its own problem."""
    numbers = [new_nhs_number() for _ in range(4)]
    services.register(*numbers)
    for place, number in enumerate(numbers):
        says(practice, condition(number, f"{number}-c", f"Problem {place}"))
    return numbers


def problems(client: httpx.Client, number: str) -> list[int]:
    answer = client.get(f"/fhir/Condition?patient={number}")
    assert answer.status_code == 200, answer.text
    return sorted(int(entry["resource"]["code"]["text"][-1]) for entry in answer.json().get("entry", []))


def versions(client: httpx.Client, number: str) -> list[str]:
    """Values that change with the record: ETags and record digests of lists, and the shared Patient's ETag."""
    found = []
    for address in (f"/fhir/Patient/{number}/$everything", f"/fhir/Condition?patient={number}"):
        answer = client.get(address)
        found += [answer.headers["ETag"], answer.headers["X-OneStory-Record-Digest"]]
    return [*found, client.get(f"/fhir/Patient/{number}").headers["ETag"]]


def test_a_wrong_alias_that_is_taken_back_leaves_both_records_as_they_were(
    practice: httpx.Client, authority: httpx.Client, people: list[str]
) -> None:
    one, other = people[:2]
    before = versions(practice, one), versions(practice, other)
    says(authority, alias(one, link(other)))
    assert problems(practice, one) == problems(practice, other) == [0, 1]

    gone = authority.delete(f"/fhir/Patient/{one}-alias", params={"patient": one}, headers=SENT)

    assert gone.status_code == 204, gone.text
    assert (versions(practice, one), versions(practice, other)) == before
    assert (problems(practice, one), problems(practice, other)) == ([0], [1])


def test_a_wrong_alias_that_is_stated_without_the_link_joins_no_more(
    practice: httpx.Client, authority: httpx.Client, people: list[str]
) -> None:
    one, other = people[:2]
    says(authority, alias(one), DAYS[0])
    before = versions(practice, one), versions(practice, other)
    says(authority, alias(one, link(other)), DAYS[1])
    assert versions(practice, other) != before[1]

    says(authority, alias(one), DAYS[2])

    assert versions(practice, other) == before[1]
    # The authority's Patient has a new version with the same content, so only the digests are compared.
    digests = slice(1, None, 2)
    assert versions(practice, one)[digests] == before[0][digests]


def test_nobody_but_an_authority_joins_two_numbers(
    services: Services, practice: httpx.Client, people: list[str]
) -> None:
    one, other = people[:2]
    before = versions(practice, other)

    with services.client("RX001", network="hospitals") as hospital:
        says(hospital, alias(one, link(other), link(other, "replaced-by")))
        says(practice, alias(one, link(other)))

    assert problems(practice, one) == [0]
    assert versions(practice, other) == before


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_chain_is_followed_from_every_number_of_it_in_whichever_order_it_was_said(
    practice: httpx.Client, authority: httpx.Client, people: list[str], order: tuple[int, ...]
) -> None:
    first, second, third, fourth = people
    links = [alias(second, link(first)), alias(second, link(third, "replaced-by")), alias(fourth, link(third))]
    links[1]["id"] += "-2"
    for place in order:
        says(authority, links[place])

    assert [problems(practice, number) for number in people] == [[0, 1, 2, 3]] * 4


def test_contradictory_links_join_nobody_until_the_authority_mends_them(
    practice: httpx.Client, authority: httpx.Client, people: list[str]
) -> None:
    one, other, third = people[:3]
    says(authority, alias(one, link(other)), DAYS[0])
    says(authority, alias(other, link(third)), DAYS[0])
    answer = authority.put(f"/fhir/Patient/{third}-alias", json=said_at(alias(third, link(one)), DAYS[0]), headers=SENT)
    assert answer.is_success, answer.text
    assert [problems(practice, number) for number in people[:3]] == [[0], [1], [2]]

    says(authority, alias(third), DAYS[1])

    assert [problems(practice, number) for number in people[:3]] == [[0, 1, 2]] * 3


@pytest.mark.parametrize("code", ["V", "S"])
def test_a_protected_registration_leads_to_no_earlier_identity(
    practice: httpx.Client, authority: httpx.Client, people: list[str], code: str
) -> None:
    one, other = people[:2]
    protected = {"security": [{"system": CONFIDENTIALITY, "code": code}]}

    says(authority, alias(one, link(other), meta=protected))

    assert problems(practice, other) == [1]
    assert one not in practice.get(f"/fhir/Patient/{other}").text


def test_an_alias_ends_when_the_registration_becomes_protected(
    practice: httpx.Client, authority: httpx.Client, people: list[str]
) -> None:
    one, other = people[:2]
    says(authority, alias(one, link(other)), DAYS[0])
    assert problems(practice, other) == [0, 1]

    says(authority, alias(one, link(other), meta={"security": [{"system": CONFIDENTIALITY, "code": "V"}]}), DAYS[1])

    assert problems(practice, other) == [1]


def test_what_is_said_of_the_old_number_later_is_read_under_the_new_one(
    services: Services, practice: httpx.Client, authority: httpx.Client, people: list[str]
) -> None:
    one, other = people[:2]
    says(authority, alias(one, link(other)))

    with services.client("RX001") as hospital:
        says(hospital, condition(other, f"{other}-late", "Problem 7"), DAYS[3])

    assert problems(practice, one) == problems(practice, other) == [0, 1, 7]
