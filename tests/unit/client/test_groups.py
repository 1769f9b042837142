"""Files that refer to one another are published together, and the report tells which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.client.fake_door import FakeDoor, refused
from tests.unit.client.fhir import FIRST_PERSON, SECOND_PERSON, bundle, dump, patient, tags
from tests.unit.client.test_publish import report, run

from onestory.client import groups
from onestory.client.groups import group_files

Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has no embedded stack, no settings, and its own state directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("ONESTORY_HOME", "ONESTORY_BASE_URL", "ONESTORY_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def resource(kind: str, local_id: str, **elements: Any) -> Json:
    return {"resourceType": kind, "id": local_id, **elements}


def to(reference: str) -> Json:
    return {"reference": reference}


def write(*resources: Json) -> None:
    """Write each resource to a file of its own, such as `files/Patient-p1.json`."""
    Path("files").mkdir(exist_ok=True)
    for each in resources:
        Path(f"files/{each['resourceType']}-{each['id']}.json").write_bytes(dump(each))


def together() -> list[list[str]]:
    paths = sorted(Path("files").iterdir())
    return [[member.path.stem for member in members] for members in group_files(paths).groups]


def test_the_files_of_a_person_are_one_transaction_and_the_others_are_as_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    observation = resource("Observation", "o1", subject=to("Patient/p1"), performer=[to("Organization/g1")])
    write(patient(id="p1"), observation, resource("Organization", "g1"), patient(SECOND_PERSON, id="p2"))
    door = FakeDoor()

    assert run(door, "files") == 0

    assert door.calls[0] == "POST /fhir"
    assert sorted(door.calls[1:]) == ["PUT /fhir/Organization/g1", "PUT /fhir/Patient/p2"]
    assert [entry["request"]["url"] for entry in door.bodies[0]["entry"]] == ["Patient/p1", "Observation/o1"]
    assert door.bodies[0]["type"] == "transaction"
    assert door.bodies[0]["entry"][1]["resource"] == observation
    printed = capsys.readouterr().out
    assert "2 files were published together, as 1 transactions:\n  Patient-p1.json, Observation-o1.json\n" in printed
    assert "4 items, 4 resources published; nothing refused" in printed


def test_each_person_is_a_transaction_and_a_shared_organisation_joins_nobody() -> None:
    for number, own in ((FIRST_PERSON, "1"), (SECOND_PERSON, "2")):
        write(
            patient(number, id=f"p{own}", managingOrganization=to("Organization/g")),
            resource("Condition", f"c{own}", subject=to(f"Patient/p{own}"), encounter=to(f"Encounter/e{own}")),
            resource("Encounter", f"e{own}", subject=to(f"Patient/p{own}/_history/2")),
        )
    write(resource("Organization", "g"))

    assert together() == [
        ["Patient-p1", "Condition-c1", "Encounter-e1"],
        ["Patient-p2", "Condition-c2", "Encounter-e2"],
    ]


def test_a_file_that_names_no_person_goes_with_the_files_that_it_refers_to() -> None:
    write(
        patient(id="p1"),
        resource("Observation", "o1", subject=to("Patient/p1"), specimen=to("Specimen/s1")),
        resource("Specimen", "s1"),
        resource("Provenance", "v1", target=[to("Observation/o1")]),
        resource("Location", "home", extension=[{"url": "u", "valueReference": to("Patient/p1")}]),
        resource("Location", "ward"),
    )

    assert together() == [["Patient-p1", "Location-home", "Observation-o1", "Provenance-v1", "Specimen-s1"]]


def test_a_file_about_one_person_that_mentions_another_is_the_first_ones() -> None:
    write(
        patient(id="p1"),
        patient(SECOND_PERSON, id="p2"),
        resource("Observation", "o1", subject=to("Patient/p1"), performer=[to("Patient/p2")]),
        resource("Specimen", "s1"),
        resource("Condition", "c2", subject=to("Patient/p2")),
    )

    assert together() == [["Patient-p1", "Observation-o1"], ["Patient-p2", "Condition-c2"]]


@pytest.mark.parametrize(
    "subject",
    [
        to(f"Patient/{FIRST_PERSON}"),
        {"identifier": {"value": "1"}},
        to("https://x.example/Patient/p1"),
        to("Patient/p9"),
    ],
)
def test_a_file_about_somebody_who_is_no_file_is_published_alone(subject: Json) -> None:
    write(patient(id="p1"), resource("Observation", "o1", subject=subject))

    assert together() == []


def test_files_of_two_sources_or_with_claims_of_their_own_are_not_joined() -> None:
    sequence = {"tag": [{"system": "https://onestory.nhs.uk/CodeSystem/sequence", "code": "7"}]}
    write(
        patient(id="p1", meta=tags("A81001", "gp")),
        resource("Observation", "o1", subject=to("Patient/p1"), meta=tags("RZ1", "ward")),
        resource("Observation", "o2", subject=to("Patient/p1"), meta=sequence),
    )

    assert together() == []


def test_bundles_lines_and_damaged_files_are_as_before() -> None:
    write(patient(id="p1"), resource("Observation", "o1", subject=to("Patient/p1")))
    Path("files/a.json").write_bytes(dump(bundle(patient())))
    Path("files/b.json").write_bytes(b'{"resourceType":')
    Path("files/c.ndjson").write_bytes(dump(resource("Observation", "o1", subject=to("Patient/p1"))))
    Path("files/d.json").write_bytes(b"[]")

    grouped = group_files(sorted(Path("files").iterdir()))

    assert [len(members) for members in grouped.groups] == [2]
    assert [path.name for path in grouped.others] == ["a.json", "b.json", "c.ndjson", "d.json"]


def test_a_group_that_is_too_large_for_one_request_begins_with_the_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MAX_BYTES", 1_500)
    write(patient(id="p1"), *[resource("Observation", f"o{each}", subject=to("Patient/p1")) for each in range(9)])

    parts = together()

    assert len(parts) > 1
    assert parts[0][0] == "Patient-p1"
    assert sum(map(len, parts)) == 10


def test_a_refused_group_names_the_faulty_file_and_those_that_went_with_it() -> None:
    write(patient(id="p1"), resource("Observation", "o1", subject=to("Patient/p1")))

    def script(_request: httpx.Request, _resource: Any) -> httpx.Response:
        return refused(422, "No such code.", "Bundle.entry[1].resource.status")

    assert run(FakeDoor(script), "files") == 1

    faulty, other = report()
    assert (faulty["file"], faulty["field"], faulty["reason"]) == (
        "files/Observation-o1.json",
        "status",
        "No such code.",
    )
    assert other["file"] == "files/Patient-p1.json"
    assert "files/Observation-o1.json" in other["reason"]
    assert json.dumps(report()).count('"status": 422') == 2
