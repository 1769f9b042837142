"""Only the demographic authority's registration opens a record to a network."""

from __future__ import annotations

import re
from typing import Any

import httpx
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.stack import Services

from onestory.record.person.sources_words import STATED_BY_SOURCE
from onestory.shared.identity import NHS_NUMBER_SYSTEM

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


def test_a_strangers_word_makes_no_death_phone_or_address_a_fact(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> None:
    number = new_nhs_number()
    services.register(number)
    stated: dict[str, Any] = {
        "deceasedDateTime": "2026-11-01",
        "telecom": [{"system": "phone", "value": "07700900999"}],
        "address": [{"city": "Bath"}],
        "modifierExtension": [{"url": "https://example.org/x", "valueString": "y"}],
    }

    says(hospital, patient(number, f"{number}-h", **stated))

    shared = practice.get(f"/fhir/Patient/{number}").json()
    assert not stated.keys() & shared.keys()
    words = [each["extension"][0]["valueCode"] for each in shared["extension"] if each["url"] == STATED_BY_SOURCE]
    assert {"deceased", "telecom", "address", "modifierExtension"} <= set(words)
    page = re.sub("<[^>]+>", "", practice.get(f"/fhir/Patient/{number}/$summary?_format=html").text)
    assert "RX001 says that this person died on 1 Nov 2026" in page
    assert "recorded as having died" not in page

    says(practice, patient(number, f"{number}-p", telecom=[{"system": "phone", "value": "07700900111"}]))
    shared = practice.get(f"/fhir/Patient/{number}").json()
    assert shared["telecom"] == [{"system": "phone", "value": "07700900111"}]


def test_a_number_of_another_organisation_leads_nobody_to_a_person(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> None:
    number, value = new_nhs_number(), new_nhs_number()
    services.register(number)
    own, others = ({"system": f"https://{code}.nhs.uk/Id/mrn", "value": value} for code in ("rx001", "rz8"))

    nhs_number = {"system": NHS_NUMBER_SYSTEM, "value": number}
    says(hospital, patient(number, f"{number}-h", identifier=[nhs_number, own, others]))

    found = {each["system"]: practice.get(_by(each)).json()["total"] for each in (own, others)}
    assert found == {own["system"]: 1, others["system"]: 0}
    assert hospital.get(_by(others)).json()["total"] == 1


def _by(identifier: dict[str, str]) -> str:
    return f"/fhir/Patient?identifier={identifier['system']}|{identifier['value']}"
