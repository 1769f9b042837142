"""A person registers with a practice of another network: the team keeps the record, and the new practice may act."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.people import new_nhs_number, patient
from tests.referrals import FHIR, REASON, act, new_team, read, refer, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.sample.network import DEMOGRAPHICS


@pytest.fixture
def moor(services: Services) -> Iterator[httpx.Client]:
    """The system of a practice in another network."""
    with services.client("A81004") as client:
        yield client


def register(services: Services, number: str, practice: str) -> None:
    """Publish the person's registration as the demographic authority, and wait until it is visible."""
    headers = {**FHIR, "X-Source-System": DEMOGRAPHICS.system, "Prefer": "wait=10"}
    with services.client(DEMOGRAPHICS.ods) as authority:
        resource = patient(number, f"pds-{number}", practice)
        authority.put(f"/fhir/Patient/{resource['id']}", json=resource, headers=headers).raise_for_status()


def allergies(client: httpx.Client, number: str) -> int:
    """The status of a search for the person's allergies."""
    return client.get("/fhir/AllergyIntolerance", params={"patient": number}).status_code


def codes(client: httpx.Client, task_id: str) -> list[str]:
    """The codes of the caller's notices about a Task."""
    return [notice["code"] for notice in client.get("/notices").json()["notices"] if notice["task"] == task_id]


def allergy(number: str) -> dict[str, Any]:
    """An allergy of the person."""
    return {
        "resourceType": "AllergyIntolerance",
        "id": f"al-{number}",
        "code": {"text": "Penicillin"},
        "patient": {"reference": f"Patient/{number}"},
    }


def test_the_team_reads_on_and_the_new_practice_sees_and_acts(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, moor: httpx.Client, team: str
) -> None:
    number = new_nhs_number()
    register(services, number, "A81001")
    surgery.put(f"/fhir/AllergyIntolerance/al-{number}", json=allergy(number), headers={**FHIR, "Prefer": "wait=10"})
    kept = task_of(refer(surgery, service_request(number, team)))
    act(nurses, kept, "accept", read(nurses, kept).headers["ETag"]).raise_for_status()
    rejected = task_of(refer(surgery, service_request(number, team)))
    act(nurses, rejected, "reject", read(nurses, rejected).headers["ETag"], REASON).raise_for_status()
    until(lambda: allergies(nurses, number) == 200)

    register(services, number, "A81004")
    until(lambda: "person-moved" in codes(moor, rejected))

    assert "person-moved" in codes(surgery, rejected)
    assert allergies(nurses, number) == 200
    assert surgery.get(f"/fhir/Task/{kept}").status_code == 200
    listed = moor.get("/worklists/organisations/A81004", params={"count": 200}).json()["rows"]
    assert {kept, rejected} <= {row["task"] for row in listed}

    other = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{new_team(services, 'RZ2')}"}}
    answer = act(moor, rejected, "redirect", read(moor, rejected).headers["ETag"], REASON, other)
    assert answer.status_code == 200, answer.text
    held = [each["valueReference"] for each in answer.json()["extension"] if each["url"].endswith("referral-holder")]
    assert held[0]["identifier"]["value"] == "A81004"
    assert "referral-redirected" in [notice["code"] for notice in surgery.get("/notices").json()["notices"]]

    act(nurses, kept, "cancel", read(nurses, kept).headers["ETag"], REASON).raise_for_status()
    until(lambda: allergies(nurses, number) == 404)
