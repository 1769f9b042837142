"""A clinician's judgements from intake to the reader: stated, corrected, undone, and always attributed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.publishing import SENT
from tests.stack import Services

from onestory.intake.domain.judgement import JUDGEMENT_SYSTEM, KEPT_APART_EXTENSION
from onestory.shared.identity import NHS_NUMBER_SYSTEM

AUTHOR = {"display": "Dr Adeyemi"}


@pytest.fixture
def person(services: Services) -> str:
    number = new_nhs_number()
    services.register(number)
    return number


def put(client: httpx.Client, resource: dict[str, Any]) -> httpx.Response:
    return client.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=SENT)


def problem(client: httpx.Client, number: str, local_id: str, text: str = "Gout") -> str:
    """Publish a problem. Returns `Condition/<shared id>`."""
    answer = put(client, condition(number, local_id, code={"text": text}))
    assert answer.is_success, answer.text
    return f"Condition/{answer.headers['Location'].split('/')[-3]}"


def same(local_id: str, *named: str) -> dict[str, Any]:
    items = [{"type": "source", "resource": {"reference": each}} for each in named]
    return {"resourceType": "Linkage", "id": local_id, "author": AUTHOR, "item": items}


def apart(local_id: str, number: str, *named: str) -> dict[str, Any]:
    return {
        "resourceType": "Basic",
        "id": local_id,
        "extension": [{"url": KEPT_APART_EXTENSION, "valueReference": {"reference": each}} for each in named],
        "code": {"coding": [{"system": JUDGEMENT_SYSTEM, "code": "keep-apart"}]},
        "subject": {"reference": f"Patient/{number}"},
        "author": AUTHOR,
    }


def judgements(client: httpx.Client, number: str, kind: str) -> list[dict[str, Any]]:
    answer = client.get(f"/fhir/{kind}?patient={number}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def lines(client: httpx.Client, number: str) -> list[list[str]]:
    """The facts of the merged record that are no Patients, each as its list of organisations."""
    answer = client.get(f"/fhir/Patient/{number}/$merged")
    assert answer.status_code == 200, answer.text
    facts = [each["part"] for each in answer.json()["parameter"] if each["name"] == "fact"]
    return sorted(_organisations(parts) for parts in facts if {"name": "type", "valueCode": "Patient"} not in parts)


def _organisations(parts: list[dict[str, Any]]) -> list[str]:
    sources = [part["part"] for part in parts if part["name"] == "source"]
    named = [each["valueIdentifier"]["value"] for parts in sources for each in parts if each["name"] == "organisation"]
    return sorted(named)


def replaces(old: str) -> list[dict[str, Any]]:
    return [{"other": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": old}}, "type": "replaces"}]


@pytest.mark.parametrize("kind", ["Linkage", "Basic"])
def test_a_judgement_of_what_others_said_is_in_the_record_until_it_is_taken_back(
    services: Services, practice: httpx.Client, hospital: httpx.Client, person: str, kind: str
) -> None:
    named = (problem(practice, person, f"{person}-1"), problem(hospital, person, f"{person}-2", "Podagra"))
    third = problem(practice, person, f"{person}-3", "Gouty arthritis")

    def judgement(*judged: str) -> dict[str, Any]:
        local_id = f"{person}-j"
        return same(local_id, *judged) if kind == "Linkage" else apart(local_id, person, *judged)

    with services.client("RY001", role="R8001", network="harbour") as nurse:
        assert put(nurse, judgement(*named)).is_success
        (said,) = judgements(practice, person, kind)
        assert all(each in str(said) for each in named)
        assert said["author"] == AUTHOR
        assert said["meta"]["tag"][0]["code"] == "RY001"
        (provenance,) = practice.get(f"/fhir/Provenance?target={kind}/{said['id']}").json()["entry"]
        assert provenance["resource"]["agent"][0]["who"]["identifier"]["value"] == "RY001"

        assert put(nurse, judgement(*named, third)).is_success
        (corrected,) = judgements(practice, person, kind)
        assert corrected["id"] == said["id"]
        assert third in str(corrected)

        undone = nurse.delete(f"/fhir/{kind}/{person}-j", params={"patient": person}, headers=SENT)
        assert undone.status_code == 204, undone.text

    assert judgements(practice, person, kind) == []
    assert practice.get(f"/fhir/{kind}/{said['id']}").status_code == 410
    history = practice.get(f"/fhir/{kind}/{said['id']}/_history").json()
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "PUT", "PUT"]


def test_a_same_makes_one_line_of_two_until_it_is_taken_back(
    practice: httpx.Client, hospital: httpx.Client, person: str
) -> None:
    named = (problem(practice, person, f"{person}-1"), problem(hospital, person, f"{person}-2", "Podagra"))
    assert lines(practice, person) == [["A81001"], ["RX001"]]

    assert put(practice, same(f"{person}-j", *named)).is_success
    assert lines(practice, person) == [["A81001", "RX001"]]
    # A caller who may see only one of the two gets no fact that joins them.
    assert lines(hospital, person) == [["RX001"]]

    practice.delete(f"/fhir/Linkage/{person}-j", params={"patient": person}, headers=SENT).raise_for_status()
    assert lines(practice, person) == [["A81001"], ["RX001"]]


def test_a_keep_apart_makes_two_lines_of_one_until_it_is_taken_back(
    practice: httpx.Client, hospital: httpx.Client, person: str
) -> None:
    shingles: dict[str, Any] = {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "4740000"}]}}
    named = [
        f"Condition/{put(each, condition(person, f'{person}-{place}', **shingles)).headers['Location'].split('/')[-3]}"
        for place, each in enumerate((practice, hospital))
    ]
    assert lines(practice, person) == [["A81001", "RX001"]]

    assert put(practice, apart(f"{person}-j", person, *named)).is_success
    assert lines(practice, person) == [["A81001"], ["RX001"]]

    practice.delete(f"/fhir/Basic/{person}-j", params={"patient": person}, headers=SENT).raise_for_status()
    assert lines(practice, person) == [["A81001", "RX001"]]


def test_a_judgement_of_a_person_without_a_number_holds_when_the_number_is_known(
    hospital: httpx.Client, person: str
) -> None:
    unnumbered = {"resourceType": "Patient", "id": f"{person}-u", "name": [{"family": "Okafor"}]}
    about: dict[str, Any] = {"subject": {"reference": f"Patient/{person}-u"}}
    said = [condition(person, f"{person}-{text}", **about, code={"text": text}) for text in ("Jaundice", "Icterus")]
    answer = hospital.post("/fhir", json=transaction(unnumbered, *said), headers=SENT)
    ids = [entry["response"]["location"].split("/")[-3] for entry in answer.json()["entry"]]
    judgement = same(f"{person}-j", *[f"Condition/{each}" for each in ids[1:]])
    assert put(hospital, judgement).is_success
    assert lines(hospital, ids[0]) == [["RX001", "RX001"]]

    numbered = patient(person, f"{person}-u")
    restated = [{**each, "subject": {"reference": f"Patient/{person}"}} for each in said]
    assert hospital.post("/fhir", json=transaction(numbered, *restated), headers=SENT).status_code == 200

    assert lines(hospital, person) == [["RX001", "RX001"]]


def test_nobody_but_a_clinician_judges_or_takes_a_judgement_back(
    services: Services, practice: httpx.Client, person: str
) -> None:
    named = [problem(practice, person, f"{person}-{place}") for place in range(2)]
    assert put(practice, same(f"{person}-j", *named)).is_success

    with services.client("A81001", role="R8010", network="harbour") as clerk:
        undo = {"params": {"patient": person}, "headers": SENT}
        refused = [
            put(clerk, same(f"{person}-k", *named)),
            put(clerk, apart(f"{person}-k", person, *named)),
            clerk.delete(f"/fhir/Linkage/{person}-j", **undo),  # type: ignore[arg-type]
        ]

    assert [answer.status_code for answer in refused] == [403] * 3
    assert all("R8000" in answer.json()["issue"][0]["diagnostics"] for answer in refused)
    assert len(judgements(practice, person, "Linkage")) == 1


def test_nobody_but_a_clinician_makes_something_else_of_a_judgement(
    services: Services, practice: httpx.Client, person: str
) -> None:
    named = [problem(practice, person, f"{person}-{place}") for place in range(2)]
    kept = apart(f"{person}-j", person, *named)
    assert put(practice, kept).is_success
    other, note = (
        new_nhs_number(),
        {"code": {"text": "A note"}, "extension": [{"url": "http://x/y", "valueString": "z"}]},
    )

    with services.client("A81001", role="R8010", network="harbour") as clerk:
        refused = [
            put(clerk, {**kept, **note}),
            put(clerk, {**kept, **note, "subject": {"reference": f"Patient/{other}"}}),
        ]
        taken = put(clerk, {**kept, **note, "id": f"{person}-note"})

    assert [answer.status_code for answer in refused] == [403, 403]
    assert taken.is_success
    assert len([each for each in judgements(practice, person, "Basic") if "kept-apart" in str(each)]) == 1
    assert put(practice, {**kept, **note}).is_success


def test_a_same_joins_no_two_people(services: Services, practice: httpx.Client, person: str) -> None:
    other = new_nhs_number()
    services.register(other)
    named = (problem(practice, person, f"{person}-1"), problem(practice, other, f"{other}-1"))

    refused = put(practice, same(f"{person}-j", *named))

    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["Linkage.item[1].resource"]
    assert judgements(practice, person, "Linkage") == judgements(practice, other, "Linkage") == []


def test_what_stands_under_two_numbers_is_judged_while_the_authority_says_that_they_are_one_person(
    services: Services, practice: httpx.Client, person: str
) -> None:
    old = new_nhs_number()
    services.register(old)
    named = (problem(practice, old, f"{old}-1"), problem(practice, person, f"{person}-1"))
    alias = said_at(patient(person, f"{person}-alias", link=replaces(old)), "2026-10-01T10:00:00Z")
    with services.client("X26") as authority:
        assert put(authority, alias).is_success
        assert put(practice, same(f"{person}-j", *named)).is_success
        assert len(judgements(practice, old, "Linkage")) == len(judgements(practice, person, "Linkage")) == 1

        undone = said_at(patient(person, f"{person}-alias"), "2026-10-02T10:00:00Z")
        assert put(authority, undone).is_success

    assert put(practice, same(f"{person}-k", *named)).status_code == 422
    # The judgement stays with one person. It does not apply to any resource of the other.
    assert len(judgements(practice, old, "Linkage")) + len(judgements(practice, person, "Linkage")) == 1


def test_a_judgement_may_name_what_is_published_with_a_correction_of_it(practice: httpx.Client, person: str) -> None:
    named = [problem(practice, person, f"{person}-{place}") for place in range(2)]
    corrected = condition(person, f"{person}-0", "Gout, right foot")

    answer = practice.post("/fhir", json=transaction(corrected, same(f"{person}-j", *named)), headers=SENT)

    assert answer.status_code == 200, answer.text
    assert len(judgements(practice, person, "Linkage")) == 1
