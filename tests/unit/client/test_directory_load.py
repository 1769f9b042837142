"""A directory in YAML becomes FHIR, mistakes are named with their place, and a load shows what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fhirkit
import orjson
import pytest
import yaml

from onestory.client.directory import read_resources
from onestory.client.directory_changes import LOADED, changes, with_load_identifier
from onestory.client.directory_yaml import to_resources
from onestory.shared.errors import Malformed, NotFound

AREA = """
organisations:
  - {ods: VA1, name: Harbour Befriending, kind: charity}
networks:
  - code: harbour
    name: Harbour Primary Care Network
    members:
      - {practice: A81001, from: 2019-07-01}
      - A81002
teams:
  - id: link-workers
    organisation: VA1
    name: Link workers
    kind: social-prescribing
    dos: "2000099002"
    network: harbour
    serves: [A81001, a81002]
    eligibility: Adults who are lonely
    open: [{days: [mon, tue], from: "09:00", until: "17:00"}]
    place: Harbour House
    postcode: ZZ99 1AA
    phone: 01632 960001
    slots:
      - {start: 2026-12-07T09:00:00Z, end: 2026-12-07T09:15:00Z}
      - {start: "2026-12-07T10:15:00+01:00", end: "2026-12-07T10:30:00+01:00", status: busy}
    escalation: {name: Duty manager, phone: 01632 960002}
  - id: old-link-workers
    organisation: VA1
    name: Former link workers
    active: false
    succeeded_by: [{team: link-workers, practices: [A81001], from: 2026-12-01}]
roles:
  - {user: "555000000001", name: Ada Okafor, team: link-workers, code: R8003, from: 2026-04-01, weekdays: [tue]}
  - {user: "555000000002", name: Bea Lund, team: "2000099002", until: 2026-11-30, handed_over_to: "555000000001"}
successions:
  - {practice: A81003, successor: A81001, from: 2027-04-01}
providers:
  - {practice: A81001, provider: RZ1, services: ["2000000001"]}
"""


def resources(text: str = AREA) -> dict[str, dict[str, Any]]:
    found = to_resources(yaml.safe_load(text), "area.yaml")
    return {f"{each['resourceType']}/{each['id']}": each for each in found}


def test_every_part_becomes_valid_fhir() -> None:
    found = resources()

    assert sorted(found) == [
        "HealthcareService/link-workers",
        "HealthcareService/old-link-workers",
        "Location/place-link-workers",
        "Organization/network-harbour",
        "Organization/organisation-VA1",
        "Organization/succession-A81003-A81001",
        "OrganizationAffiliation/member-A81001-harbour",
        "OrganizationAffiliation/member-A81002-harbour",
        "OrganizationAffiliation/serves-A81001-RZ1",
        "PractitionerRole/role-555000000001-link-workers",
        "PractitionerRole/role-555000000002-2000099002",
        "Schedule/schedule-link-workers",
        "Slot/slot-link-workers-202612070900",
        "Slot/slot-link-workers-202612071015",
    ]
    for resource in found.values():
        assert fhirkit.validate(orjson.dumps(with_load_identifier(resource)).decode()) == []
    team = found["HealthcareService/link-workers"]
    assert team["availableTime"] == [
        {"daysOfWeek": ["mon", "tue"], "availableStartTime": "09:00:00", "availableEndTime": "17:00:00"}
    ]
    assert [each["valueIdentifier"]["value"] for each in team["extension"] if "valueIdentifier" in each] == [
        "A81001",
        "A81002",
    ]
    assert found["PractitionerRole/role-555000000001-link-workers"]["availableTime"] == [{"daysOfWeek": ["tue"]}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("teem: []", "unknown part teem"),
        ("teams: [{id: x, organisation: RZ1, nam: y}]", "teams[0]: unknown key nam"),
        ("teams: [{id: x, organisation: RZ1}]", "teams[0]: name is missing"),
        ("teams: [{id: x, organisation: RZ1, name: y, serves: A81001}]", "serves: write a list"),
        ("teams: [{id: x y, organisation: RZ1, name: y}]", "x y is no id"),
        ("networks: [{code: n, name: N, members: [{practice: A81001, from: soon}]}]", "soon is no date"),
        ("networks: [{code: n, name: N, members: [{practise: A81001}]}]", "members[0]: unknown key practise"),
        ("roles: [{user: '5', name: A, team: x, weekdays: [tuesday]}]", "tuesday is no day"),
        ("teams: [{id: x, organisation: RZ1, name: y, open: [{from: 9:30}]}]", "write a time in quotes"),
        ("teams: [{id: x, organisation: RZ1, name: y}, {id: x, organisation: RZ1, name: z}]", "stands there twice"),
        ("teams: [{id: x, organisation: R1, name: y, slots: [{start: nine, end: ten}]}]", "nine is no instant"),
        ("[]", "write a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(Malformed) as caught:
        resources(text)

    assert problem in caught.value.issues[0].diagnostics


def test_files_of_a_folder_are_read_and_odd_ones_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("organisations: [{ods: VA1, name: Harbour}]")
    location = {"resourceType": "Location", "id": "site", "name": "Site"}
    (tmp_path / "b.json").write_text(
        orjson.dumps({"resourceType": "Bundle", "entry": [{"resource": location}]}).decode()
    )
    (tmp_path / "notes.txt").write_text("not read")

    assert [each["id"] for each in read_resources([str(tmp_path)])] == ["organisation-VA1", "site"]

    (tmp_path / "c.json").write_text('{"resourceType": "Patient", "id": "x"}')
    with pytest.raises(Malformed):
        read_resources([str(tmp_path)])
    with pytest.raises(NotFound):
        read_resources([str(tmp_path / "nothing")])


def test_a_load_tells_new_changed_and_unchanged_resources() -> None:
    wanted = [with_load_identifier(each) for each in resources().values()]
    stored = [each for each in wanted if each["id"] != "organisation-VA1"]
    ids = {
        f"{each['resourceType']}/{each['id']}": f"{number:026d}".replace("0", "a")
        .replace("1", "b")
        .replace("8", "c")
        .replace("9", "d")
        for number, each in enumerate(stored)
    }
    current = []
    for each in stored:
        text = orjson.dumps({**each, "id": ids[f"{each['resourceType']}/{each['id']}"], "meta": {}}).decode()
        for name, shared in ids.items():
            text = text.replace(f'"reference":"{name}"', f'"reference":"{name.partition("/")[0]}/{shared}"')
        current.append(orjson.loads(text))
    changed = next(each for each in current if each.get("name") == "Link workers")
    changed["name"] = "Lonk workers"

    found = {each.resource["id"]: each for each in changes(wanted, current)}

    assert [name for name, each in found.items() if each.is_needed] == ["organisation-VA1", "link-workers"]
    assert list(found["organisation-VA1"].lines()) == ["+ Organization/organisation-VA1 (Harbour Befriending)"]
    assert list(found["link-workers"].lines()) == [
        "~ HealthcareService/link-workers (Link workers)",
        '    name: "Lonk workers" -> "Link workers"',
    ]
    assert found["link-workers"].resource["identifier"][-1] == {
        "system": LOADED,
        "value": "HealthcareService/link-workers",
    }
