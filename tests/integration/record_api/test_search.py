"""Search in one person's record, on real Kafka and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import SNOMED, condition, new_nhs_number, patient, transaction
from tests.publishing import SENT, publish_bundle
from tests.stack import Services

SYSTEM = "https://practice.example.org/results"
DAYS = ("2026-05-01", "2026-04", "2025", "2026-06-30T23:30:00Z", "2026-05-01T09:00:00+01:00")


@pytest.fixture
def person(services: Services, practice: httpx.Client, hospital: httpx.Client) -> str:
    """A person with results of five days from the practice, two of another kind, and one result from the hospital."""
    number = new_nhs_number()
    results = [result(number, place, day) for place, day in enumerate(DAYS)]
    publish_bundle(practice, transaction(patient(number, f"{number}-p"), visit(number), prescription(number), *results))
    publish_bundle(hospital, transaction(result(number, 9, "2026-01-01")))
    services.register(number)
    return number


def result(number: str, place: int, day: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"{number}-o{place}",
        "status": "final" if place else "preliminary",
        "identifier": [{"system": SYSTEM, "value": f"{place}"}],
        "category": [{"coding": [{"code": "laboratory" if place < 3 else "vital-signs"}]}],
        "code": {"coding": [{"system": SNOMED, "code": "1000" if place % 2 else "2000"}]},
        "subject": {"reference": f"Patient/{number}"},
        "effectiveDateTime": day,
        "note": [{"text": f"Result {place}"}],
        **elements,
    }


def visit(number: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": f"{number}-e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{number}"},
    }


def prescription(number: str) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest",
        "id": f"{number}-m",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "Warfarin"},
        "subject": {"reference": f"Patient/{number}"},
        "encounter": {"reference": f"Encounter/{number}-e"},
    }


def read(client: httpx.Client, path: str, **headers: str) -> httpx.Response:
    answer = client.get(path, headers=headers)
    if answer.content:
        assert fhirkit.validate(answer.text) == []
    return answer


def found(client: httpx.Client, path: str, mode: str = "match") -> list[dict[str, Any]]:
    answer = read(client, path)
    assert answer.status_code == 200, answer.text
    return [each["resource"] for each in answer.json().get("entry", []) if each["search"]["mode"] == mode]


def places(resources: list[dict[str, Any]]) -> list[str]:
    return [each["identifier"][0]["value"] for each in resources]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "012349"),
        ("&code=1000", "139"),
        (f"&code={SNOMED}|2000", "024"),
        ("&code=1000,2000", "012349"),
        ("&status=preliminary", "0"),
        ("&status:not=preliminary", "12349"),
        ("&category=laboratory", "012"),
        ("&category=laboratory&code=1000", "1"),
        (f"&identifier={SYSTEM}|3", "3"),
        ("&date=2026", "01349"),
        ("&date=2026-05-01", "04"),
        ("&date=2026-07-01", "3"),
        ("&date=ge2026-04-15&date=lt2026-06", "014"),
        ("&date=lt2026", "2"),
        ("&date=sa2026-05-01", "3"),
        ("&date=2025,2026-04", "12"),
        ("&_tag=A81001", "01234"),
    ],
)
def test_results_are_found_by_what_they_say(practice: httpx.Client, person: str, query: str, expected: str) -> None:
    path = f"/fhir/Observation?patient={person}{query}"

    assert sorted(places(found(practice, path))) == list(expected)
    assert read(practice, path).json()["total"] == len(expected)


def test_search_by_form_is_the_same_search(practice: httpx.Client, person: str) -> None:
    form = {"patient": person, "date": ["ge2026-04-15", "lt2026-06"], "_sort": "-date"}
    by_form = practice.post("/fhir/Observation/_search", data=form)

    query = f"patient={person}&date=ge2026-04-15&date=lt2026-06&_sort=-date"
    assert by_form.json()["entry"] == read(practice, f"/fhir/Observation?{query}").json()["entry"]


def test_a_caller_who_sees_its_own_statements_alone_finds_and_counts_no_others(
    hospital: httpx.Client, person: str
) -> None:
    for query in ("code=1000", "date=2026", "_sort=date", "_summary=count"):
        assert read(hospital, f"/fhir/Observation?patient={person}&{query}").json()["total"] == 1


def test_pages_follow_the_order_asked_for(practice: httpx.Client, person: str) -> None:
    for order, expected in [("date", "291043"), ("-date", "340192"), ("-code,date", "204913")]:
        assert sorted_pages(practice, person, order) == list(expected)


def sorted_pages(client: httpx.Client, person: str, order: str) -> list[str]:
    return [
        place for page in pages(client, f"/fhir/Observation?patient={person}&_sort={order}&_count=2") for place in page
    ]


def pages(client: httpx.Client, url: str) -> Iterator[list[str]]:
    """The identifiers on each page. Each page is fetched when the test asks for it."""
    ahead: str | None = url
    while ahead:
        answer = read(client, ahead)
        yield places([each["resource"] for each in answer.json()["entry"]])
        ahead = next((link["url"] for link in answer.json()["link"] if link["relation"] == "next"), None)


def test_pages_lose_and_double_nothing_while_the_record_changes(practice: httpx.Client, person: str) -> None:
    # The order by date is 2, 9, 1, 0, 4, 3. Each page has two results.
    by_page = pages(practice, f"/fhir/Observation?patient={person}&_sort=date&_count=2")
    seen = next(by_page)

    # A result that was seen moves to the end. One that was not seen moves to the front. Each end gets a new result.
    moved = [result(person, 2, "2026-12-01"), result(person, 3, "1990-01-01")]
    new = [result(person, 7, "1980-01-01"), result(person, 8, "2026-12-31")]
    publish_bundle(practice, transaction(*moved, *new))
    seen += next(by_page)
    publish_bundle(practice, transaction(result(person, 4, "1970")))
    seen += [place for page in by_page for place in page]

    assert seen == ["2", "9", "1", "0", "4", "3", "8"]
    assert sorted_pages(practice, person, "date") == list("47391028")


def test_pages_of_a_filtered_list_hold_still_too(practice: httpx.Client, person: str) -> None:
    by_page = pages(practice, f"/fhir/Observation?patient={person}&code=2000&_count=1")
    seen = next(by_page)

    publish_bundle(practice, transaction(result(person, int(seen[0]), "1970")))

    assert sorted([*seen, *[place for page in by_page for place in page]]) == ["0", "2", "4"]


def test_a_summary_and_elements_show_a_part_and_count_everything(practice: httpx.Client, person: str) -> None:
    path = f"/fhir/Observation?patient={person}"

    counted = read(practice, f"{path}&code=1000&_summary=count").json()
    assert (counted["total"], "entry" in counted) == (3, False)
    for brief in ("_summary=true", "_elements=code"):
        for each in found(practice, f"{path}&{brief}"):
            assert "note" not in each
            assert each["status"]
            assert "SUBSETTED" in {tag["code"] for tag in each["meta"]["tag"]}
    assert all("note" in each for each in found(practice, f"{path}&_summary=data"))


def test_what_is_referred_to_comes_along_once(practice: httpx.Client, person: str) -> None:
    path = f"/fhir/MedicationRequest?patient={person}"
    query = f"{path}&_include=MedicationRequest:encounter&_include=MedicationRequest:patient"
    along = found(practice, query, "include")

    assert sorted(each["resourceType"] for each in along) == ["Encounter", "Patient"]
    assert read(practice, query).json()["total"] == 1
    everything = found(practice, f"{path}&_include=*", "include")
    assert {each["id"] for each in everything} == {each["id"] for each in along}


def test_who_is_in_the_directory_comes_along_too(practice: httpx.Client, person: str) -> None:
    doctor = {"resourceType": "Practitioner", "id": f"{person}-dr", "name": [{"family": "Adeyemi"}]}
    said = practice.put(f"/fhir/Practitioner/{doctor['id']}", json=doctor, headers=SENT)
    assert said.is_success, said.text
    known = httpx.URL(said.headers["Location"]).path.split("/")[3]
    publish_bundle(
        practice, transaction(result(person, 5, "2026-08-01", performer=[{"reference": f"Practitioner/{known}"}]))
    )

    query = f"/fhir/Observation?patient={person}&date=2026-08&_include=Observation:performer"
    (along,) = found(practice, query, "include")

    assert (along["resourceType"], along["name"]) == ("Practitioner", doctor["name"])
    assert found(practice, f"{query}:Organization", "include") == []


def test_what_refers_to_a_match_comes_along(practice: httpx.Client, person: str) -> None:
    query = f"/fhir/Encounter?patient={person}&_revinclude=MedicationRequest:encounter"

    assert [each["resourceType"] for each in found(practice, query, "include")] == ["MedicationRequest"]


def test_the_provenance_of_each_match_comes_along(practice: httpx.Client, person: str) -> None:
    query = f"/fhir/Observation?patient={person}&code=1000&_revinclude=Provenance:target"
    along = found(practice, query, "include")

    targets = {each["target"][0]["reference"].partition("/_history/")[0] for each in along}
    assert targets == {f"Observation/{each['id']}" for each in found(practice, query)}
    assert {each["agent"][0]["who"]["identifier"]["value"] for each in along} == {"A81001", "RX001"}
    for each in along:
        assert read(practice, f"/fhir/Provenance/{each['id']}").json() == each


def test_what_a_caller_may_not_see_does_not_come_along(
    practice: httpx.Client, hospital: httpx.Client, person: str
) -> None:
    (seen_at,) = found(practice, f"/fhir/Encounter?patient={person}")
    theirs = {**prescription(person), "id": f"{person}-hm", "encounter": {"reference": f"Encounter/{seen_at['id']}"}}
    publish_bundle(hospital, transaction(theirs))

    query = f"/fhir/MedicationRequest?patient={person}&_include=MedicationRequest:encounter"
    assert found(hospital, query, "include") == []
    assert len(found(practice, query, "include")) == 1


def test_what_is_not_known_is_refused_or_told_to_the_lenient(practice: httpx.Client, person: str) -> None:
    path = f"/fhir/Condition?patient={person}&colour=red&date=2026"

    refused = read(practice, path)
    assert refused.status_code == 400
    assert [issue["code"] for issue in refused.json()["issue"]] == ["not-supported"] * 2
    told = read(practice, path, Prefer="handling=lenient")
    assert told.status_code == 200
    (remark,) = [each["resource"] for each in told.json()["entry"] if each["search"]["mode"] == "outcome"]
    assert [issue["severity"] for issue in remark["issue"]] == ["warning"] * 2
    assert "colour" not in told.json()["link"][0]["url"]


def test_a_list_is_not_modified_until_what_is_in_it_changes(practice: httpx.Client, person: str) -> None:
    path = f"/fhir/Observation?patient={person}&category=laboratory&_sort=-date&_include=Observation:patient"
    etag = read(practice, path).headers["ETag"]

    publish_bundle(practice, transaction(condition(person, f"{person}-c")))
    assert read(practice, path, **{"If-None-Match": etag}).status_code == 304
    publish_bundle(practice, transaction(result(person, 1, "2024")))
    assert read(practice, path, **{"If-None-Match": etag}).status_code == 200
