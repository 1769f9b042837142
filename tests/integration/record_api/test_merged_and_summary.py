"""`$merged` and `$summary` over HTTP: one fact for joined statements, limited to the caller's visibility."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.people import SNOMED, condition, new_nhs_number, said_at
from tests.publishing import SENT
from tests.stack import Services
from tests.waiting import until

from onestory.shared.events import SummaryChanged
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import SUMMARY_TOPIC, topics

CLINICAL = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"


def allergy(number: str, local_id: str, text: str, **elements: Any) -> dict[str, Any]:
    """An allergy to penicillin, with a source's own text."""
    return {
        "resourceType": "AllergyIntolerance",
        "id": f"{number}-{local_id}",
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": "active"}]},
        "code": {"coding": [{"system": SNOMED, "code": "91936005"}], "text": text},
        "patient": {"reference": f"Patient/{number}"},
        **elements,
    }


def says(source: httpx.Client, resource: dict[str, Any]) -> str:
    """Publish, wait until it is visible, and return the shared id."""
    answer = source.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=SENT)
    assert answer.is_success, answer.text
    return answer.headers["Location"].split("/")[-3]


def facts(reader: httpx.Client, number: str, query: str = "", name: str = "fact") -> list[dict[str, Any]]:
    """The facts in `$merged`, each as a map of its parts by name."""
    answer = reader.get(f"/fhir/Patient/{number}/$merged{query}")
    assert answer.status_code == 200, answer.text
    found = [each for each in answer.json().get("parameter", []) if each["name"] == name]
    return [{part["name"]: part for part in each["part"]} | {"sources": _sources(each)} for each in found]


def _sources(fact: dict[str, Any]) -> list[str]:
    sources = [part for part in fact["part"] if part["name"] == "source"]
    named = [{part["name"]: part for part in each["part"]} for each in sources]
    return sorted(each["organisation"]["valueIdentifier"]["value"] for each in named)


def sections(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The sections of a summary by LOINC code."""
    composition = document["entry"][0]["resource"]
    return {each["code"]["coding"][0]["code"]: each for each in composition["section"]}


@pytest.fixture
def hospital(services: Services) -> Iterator[httpx.Client]:
    with services.client("RZ3", network="") as client:
        yield client


@pytest.fixture
def number(services: Services) -> str:
    number = new_nhs_number()
    services.register(number)
    return number


def test_one_fact_of_two_sources_is_one_line_with_both(
    practice: httpx.Client, hospital: httpx.Client, number: str
) -> None:
    says(practice, allergy(number, "a1", "Allergy to penicillin"))
    says(hospital, allergy(number, "h1", "PENICILLIN ALLERGY (PMH)"))

    (line,) = [each for each in facts(practice, number) if each["type"]["valueCode"] == "AllergyIntolerance"]

    assert line["sources"] == ["A81001", "RZ3"]
    assert (line["rule"]["valueCode"], line["certainty"]["valueCode"]) == ("same-substance", "exact")


def test_who_sees_its_own_statements_alone_finds_no_trace_of_the_others(
    practice: httpx.Client, hospital: httpx.Client, number: str
) -> None:
    says(practice, allergy(number, "a1", "Allergy to penicillin", criticality="high"))
    says(practice, condition(number, f"{number}-c1", "Heart failure"))
    says(hospital, allergy(number, "h1", "PENICILLIN ALLERGY (PMH)"))

    (line,) = facts(hospital, number)
    document = hospital.get(f"/fhir/Patient/{number}/$summary")

    assert line["sources"] == ["RZ3"]
    assert "PENICILLIN ALLERGY" in document.text
    for hidden in ("A81001", "Heart failure", "Allergy to penicillin"):
        assert hidden not in document.text


def test_a_stranger_is_told_nothing(services: Services, practice: httpx.Client, number: str) -> None:
    says(practice, allergy(number, "a1", "Allergy to penicillin"))

    with services.client("B99999", network="elsewhere") as stranger:
        for operation in ("$merged", "$summary"):
            known = stranger.get(f"/fhir/Patient/{number}/{operation}")
            unknown = stranger.get(f"/fhir/Patient/{new_nhs_number()}/{operation}")
            assert (known.status_code, unknown.status_code) == (404, 404)
            assert known.json()["issue"] == unknown.json()["issue"]


def test_a_summary_is_a_document_that_follows_each_change(practice: httpx.Client, number: str) -> None:
    says(practice, allergy(number, "a1", "Allergy to penicillin"))
    first = practice.get(f"/fhir/Patient/{number}/$summary")
    again = practice.get(f"/fhir/Patient/{number}/$summary", headers={"If-None-Match": first.headers["ETag"]})

    says(practice, condition(number, f"{number}-c1", "Gout"))
    second = practice.get(f"/fhir/Patient/{number}/$summary", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.json()["type"], again.status_code, second.status_code) == ("document", 304, 200)
    assert "penicillin" in sections(first.json())["48765-2"]["text"]["div"]
    assert "Gout" not in first.text
    assert "Gout" in sections(second.json())["11450-4"]["text"]["div"]


def test_a_summary_can_be_read_as_a_page(practice: httpx.Client, number: str) -> None:
    says(practice, allergy(number, "a1", "Penicillin <script>alert(1)</script>"))

    shown = practice.get(f"/fhir/Patient/{number}/$summary", headers={"Accept": "text/html,*/*;q=0.8"})

    assert shown.headers["Content-Type"].startswith("text/html")
    assert "Penicillin &lt;script&gt;" in shown.text
    assert "<script" not in shown.text


def test_only_the_summary_is_written_as_a_page(practice: httpx.Client, number: str) -> None:
    assert practice.get(f"/fhir/Patient/{number}/$merged", headers={"Accept": "text/html"}).status_code == 406


def test_both_are_as_they_were(practice: httpx.Client, number: str) -> None:
    says(practice, said_at(allergy(number, "a1", "Allergy to penicillin"), "2026-10-01T10:00:00Z"))
    then = datetime.now(UTC).isoformat()
    before = practice.get(f"/fhir/Patient/{number}/$summary").json()
    says(practice, said_at(allergy(number, "a1", "Not penicillin: latex"), "2026-10-02T10:00:00Z"))

    shown = practice.get(f"/fhir/Patient/{number}/$summary", params={"asOf": then}).json()
    (line,) = [
        each
        for each in facts(practice, number, f"?asOf={then.replace('+', '%2B')}")
        if each["type"]["valueCode"] == "AllergyIntolerance"
    ]

    assert sections(shown)["48765-2"] == sections(before)["48765-2"]
    assert line["resource"]["resource"]["code"]["text"] == "Allergy to penicillin"
    assert practice.get(f"/fhir/Patient/{number}/$summary?asOf=2990-01-01T00:00:00Z").status_code == 400


def test_what_changed_since_somebody_looked_is_new_changed_or_gone(practice: httpx.Client, number: str) -> None:
    says(practice, said_at(allergy(number, "a1", "Allergy to penicillin"), "2026-10-01T10:00:00Z"))
    gone = says(practice, condition(number, f"{number}-c1", "Gout"))
    looked = datetime.now(UTC).isoformat().replace("+", "%2B")
    says(practice, said_at(allergy(number, "a1", "Penicillin: rash"), "2026-10-02T10:00:00Z"))
    says(practice, condition(number, f"{number}-c2", "Asthma"))
    practice.delete(
        f"/fhir/Condition/{number}-c1", params={"patient": number}, headers={"Prefer": "wait=20"}
    ).raise_for_status()

    told = facts(practice, number, f"?_since={looked}")
    left = facts(practice, number, f"?_since={looked}", "gone")

    assert sorted((each["type"]["valueCode"], each["change"]["valueCode"]) for each in told) == [
        ("AllergyIntolerance", "changed"),
        ("Condition", "new"),
    ]
    assert [each["id"]["valueId"] for each in left] == [gone]


def test_a_consumer_that_starts_from_nothing_has_the_current_summary(
    services: Services, practice: httpx.Client, number: str
) -> None:
    shared_id = says(practice, allergy(number, "a1", "Allergy to penicillin"))
    key = shared_id.partition("-")[0].encode()

    until(lambda: b"Allergy to penicillin" in _latest(services, key))


def _latest(services: Services, key: bytes) -> bytes:
    """This person's latest summary document, read from the beginning of the topic."""
    consumer = KafkaConsumer(bootstrap_servers=services.kafka)
    try:
        places = [TopicPartition(SUMMARY_TOPIC, number) for number in range(topics()[SUMMARY_TOPIC].partitions)]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends, found = consumer.end_offsets(places), b""
        while any(consumer.position(place) < ends[place] for place in places):
            for messages in consumer.poll(timeout_ms=500).values():
                for message in messages:
                    event = create_codec().decode(message.value)
                    if message.key == key and isinstance(event, SummaryChanged):
                        found = event.document
        return found
    finally:
        consumer.close()


def test_a_medicine_of_the_directory_is_named_and_included_and_follows_its_changes(
    practice: httpx.Client, number: str
) -> None:
    named: dict[str, Any] = {"resourceType": "Medication", "id": f"{number}-m", "code": {"text": "Warfarin 3 mg"}}
    medication_id = says(practice, named)
    taken = {
        "resourceType": "MedicationStatement",
        "id": f"{number}-s",
        "status": "active",
        "subject": {"reference": f"Patient/{number}"},
        "medicationReference": {"reference": f"Medication/{medication_id}"},
    }
    says(practice, taken)
    first = practice.get(f"/fhir/Patient/{number}/$summary")
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")

    says(practice, {**named, "code": {"text": "Warfarin 5 mg"}})

    now = practice.get(f"/fhir/Patient/{number}/$summary", headers={"If-None-Match": first.headers["ETag"]})
    then = practice.get(f"/fhir/Patient/{number}/$summary", params={"asOf": moment})
    for document, name in ((first, "Warfarin 3 mg"), (now, "Warfarin 5 mg"), (then, "Warfarin 3 mg")):
        assert name in sections(document.json())["10160-0"]["text"]["div"]
        found = [each["resource"] for each in document.json()["entry"]]
        assert [each["code"]["text"] for each in found if each["resourceType"] == "Medication"] == [name]
    merged = practice.get(f"/fhir/Patient/{number}/$merged").json()["parameter"]
    (included,) = [each["resource"] for each in merged if each["name"] == "included"]
    assert (included["id"], included["code"]["text"]) == (medication_id, "Warfarin 5 mg")
    (source,) = [
        part for fact in merged if fact["name"] == "fact" for part in fact["part"] if part["name"] == "source"
    ][:1]
    assert {"name": "text", "valueString": "Warfarin 5 mg"} in source["part"]
    (changed,) = facts(practice, number, f"?_since={moment}")
    assert changed["change"]["valueCode"] == "changed"


def test_everything_includes_the_directory_resources_of_each_page(practice: httpx.Client, number: str) -> None:
    makers = {"resourceType": "Organization", "id": f"{number}-o", "name": "Makers"}
    maker = says(practice, makers)
    device = {
        "resourceType": "Device",
        "id": f"{number}-d",
        "manufacturer": "x",
        "owner": {"reference": f"Organization/{maker}"},
    }
    device_id = says(practice, device)
    used = {
        "resourceType": "Observation",
        "id": f"{number}-u",
        "status": "final",
        "code": {"text": "Peak flow"},
        "subject": {"reference": f"Patient/{number}"},
        "device": {"reference": f"Device/{device_id}"},
    }
    says(practice, used)

    def found(**parameters: str) -> dict[str, list[str]]:
        bundle = practice.get(f"/fhir/Patient/{number}/$everything", params=parameters).json()
        by_mode: dict[str, list[str]] = {}
        for entry in bundle.get("entry", []):
            by_mode.setdefault(entry["search"]["mode"], []).append(entry["resource"]["id"])
        assert bundle["total"] == (1 if "_type" in parameters else bundle["total"])
        return by_mode

    assert sorted(found()["include"]) == sorted([device_id, maker])
    assert "include" not in found(_type="Observation")
    assert found(_type="Observation,Device")["include"] == [device_id]
