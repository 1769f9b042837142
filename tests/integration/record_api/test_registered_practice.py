"""Only the demographic authority's registration opens a record to a network."""

from __future__ import annotations

from typing import Any

import httpx
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.stack import Services

ELSEWHERE = "B81002"


def says(client: httpx.Client, *resources: dict[str, Any]) -> None:
    answer = client.post("/fhir", json=transaction(*resources), headers=SENT)
    assert answer.status_code == 200, answer.text


def problems(client: httpx.Client, number: str) -> list[str]:
    """The texts of the person's problems that a caller can read. The list is empty if the caller can read none."""
    answer = client.get(f"/fhir/Condition?patient={number}")
    return [entry["resource"]["code"]["text"] for entry in answer.json().get("entry", [])]


def test_a_practice_that_names_itself_reads_what_it_said_itself(practice: httpx.Client, hospital: httpx.Client) -> None:
    number = new_nhs_number()
    says(hospital, condition(number, f"{number}-h", "HIV"))

    says(practice, patient(number, f"{number}-p", "A81001"), condition(number, f"{number}-c", "Gout"))

    assert problems(practice, number) == ["Gout"]
    assert problems(hospital, number) == ["HIV"]


def test_a_publisher_that_names_a_practice_opens_the_record_to_nobody_and_takes_it_from_nobody(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> None:
    number = new_nhs_number()
    says(hospital, patient(number, f"{number}-h", "A81001"), condition(number, f"{number}-h", "HIV"))
    assert problems(practice, number) == []

    services.register(number)
    says(hospital, patient(number, f"{number}-h", ELSEWHERE))

    assert problems(practice, number) == ["HIV"]


def test_a_record_closes_to_the_network_when_the_authority_moves_the_person(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> None:
    number = new_nhs_number()
    says(practice, patient(number, f"{number}-p", "A81001"), condition(number, f"{number}-c", "Gout"))
    says(hospital, condition(number, f"{number}-h", "Fall"))
    services.register(number)
    assert sorted(problems(practice, number)) == ["Fall", "Gout"]

    services.register(number, practice=ELSEWHERE)

    assert problems(practice, number) == ["Gout"]


def test_what_others_say_of_the_practice_is_shown_as_what_they_say(services: Services, practice: httpx.Client) -> None:
    number = new_nhs_number()
    says(practice, patient(number, f"{number}-p", ELSEWHERE))
    services.register(number)

    shared = practice.get(f"/fhir/Patient/{number}").json()

    assert shared["generalPractitioner"][0]["identifier"]["value"] == "A81001"
    told = [part for each in shared["extension"] for part in each["extension"] if part["url"] == "element"]
    assert [part["valueCode"] for part in told] == ["generalPractitioner"]
