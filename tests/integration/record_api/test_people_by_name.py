"""People by name and birth date: the search finds visible people, hides others and refuses broad queries."""

from __future__ import annotations

from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient
from tests.publishing import SENT, publish

# Each test uses its own family name, because the search covers all people.
LETTERS = str.maketrans("0123456789", "abcdefghij")


def family() -> str:
    return f"Nuñez-{new_nhs_number().translate(LETTERS)}"


def named(number: str, family: str, given: str = "José", born: str = "1941-03-02", **elements: Any) -> dict[str, Any]:
    name = [{"family": family, "given": [given]}]
    return patient(number, f"{number}-{elements.pop('of', 'p')}", name=name, birthDate=born, **elements)


def search(client: httpx.Client, **parameters: str) -> httpx.Response:
    answer = client.get("/fhir/Patient", params=parameters)
    assert fhirkit.validate(answer.text) == []
    return answer


def ids(client: httpx.Client, **parameters: str) -> list[str]:
    answer = search(client, **{"birthdate": "1941-03-02", **parameters})
    assert answer.status_code == 200, answer.text
    found = [each["resource"]["id"] for each in answer.json().get("entry", [])]
    assert answer.json()["total"] == len(found)
    return found


def test_a_person_is_found_whatever_the_spelling_of_the_name(practice: httpx.Client) -> None:
    number, name = new_nhs_number(), family()
    publish(practice, named(number, name))

    plain = name.replace("ñ", "n").replace("-", " ")
    for asked in (name, name.upper(), plain, f"Jose {plain}", f"{plain} JOSÉ", plain.replace(" ", "")):
        assert ids(practice, name=asked) == [number]
    assert ids(practice, family=name, given="jos") == [number]
    assert ids(practice, family=name, given="Maria") == []
    assert ids(practice, family=name, birthdate="1941-03-03") == []
    assert ids(practice, family=name, gender="male") == []


@pytest.mark.parametrize("born", ["1941-03", "1941"])
def test_a_partial_birth_date_in_the_record_does_not_hide_a_person(practice: httpx.Client, born: str) -> None:
    number, name = new_nhs_number(), family()
    publish(practice, named(number, name, born=born))

    assert ids(practice, family=name) == [number]


def test_who_may_not_be_seen_is_neither_found_nor_counted(practice: httpx.Client, hospital: httpx.Client) -> None:
    name, theirs, ours = family(), new_nhs_number(), new_nhs_number()
    publish(practice, named(theirs, name))
    publish(hospital, named(ours, name))

    assert ids(hospital, family=name) == [ours]
    assert ids(practice, family=name) == [theirs]


def test_a_name_that_only_somebody_else_states_finds_nobody(practice: httpx.Client, hospital: httpx.Client) -> None:
    name, maiden, number = family(), family(), new_nhs_number()
    publish(practice, named(number, maiden))
    publish(hospital, named(number, name, of="h"))

    assert ids(hospital, family=name) == [number]
    assert ids(hospital, family=maiden) == []


def test_a_corrected_name_finds_nobody_by_what_it_was(practice: httpx.Client) -> None:
    wrong, right, number = family(), family(), new_nhs_number()
    publish(practice, named(number, wrong))
    publish(practice, named(number, right))

    assert ids(practice, family=wrong) == []
    assert ids(practice, family=right) == [number]
    gone = practice.delete(f"/fhir/Patient/{number}-p", params={"patient": number}, headers=SENT)
    assert gone.status_code in (200, 204)
    assert ids(practice, family=right) == []


def test_what_does_not_narrow_people_down_is_refused(practice: httpx.Client) -> None:
    for parameters in ({"name": "Okafor"}, {"birthdate": "1941-03-02"}, {"name": "Okafor", "birthdate": "1941"}):
        refused = search(practice, **parameters)
        assert refused.status_code == 400
        assert "a full birth date" in refused.json()["issue"][0]["diagnostics"]


def test_too_many_people_are_not_listed(practice: httpx.Client) -> None:
    name = family()
    twins = [named(new_nhs_number(), name, given=f"Twin{place}") for place in range(21)]
    for each in twins[:20]:
        publish(practice, each)
    assert len(ids(practice, family=name)) == 20

    publish(practice, twins[20])

    refused = search(practice, family=name, birthdate="1941-03-02")
    assert refused.status_code == 400
    assert refused.json()["issue"][0]["code"] == "too-costly"
    assert len(ids(practice, family=name, given="Twin20")) == 1


def test_pages_of_people_hold_each_of_them_once(practice: httpx.Client) -> None:
    name = family()
    numbers = [new_nhs_number() for _ in range(3)]
    for number in numbers:
        publish(practice, named(number, name))

    url, found = f"/fhir/Patient?family={name}&birthdate=1941-03-02&_count=2", []
    while url:
        page = practice.get(url).json()
        found += [each["resource"]["id"] for each in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")

    assert sorted(found) == sorted(numbers)


def test_a_name_beside_an_nhs_number_only_narrows(practice: httpx.Client) -> None:
    number, name = new_nhs_number(), family()
    publish(practice, named(number, name), condition(number, f"{number}-c"))

    for parameters, total in [({"family": name}, 1), ({"family": "Smith"}, 0), ({"birthdate": "1941"}, 1)]:
        assert search(practice, identifier=number, **parameters).json()["total"] == total
