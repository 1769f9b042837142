"""Referrals for tests: teams in the directory, and the requests that make and change referrals."""

from __future__ import annotations

import itertools
import secrets
import time
from datetime import datetime
from typing import Any

import httpx
import psycopg
from tests.stack import PATIENCE_S, Services

from onestory.shared.identity import ODS_CODE_SYSTEM

FHIR = {"Content-Type": "application/fhir+json"}
ADVICE = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "code": "a8t1"}]}
REASON = {"name": "reason", "valueCodeableConcept": {"text": "For a test"}}
_names = itertools.count(1)


def new_team(services: Services, organisation: str, name: str = "", **elements: Any) -> str:
    """Publish a team of this organisation, wait until the referral service knows it, and return its id."""
    local_id = f"team-{secrets.token_hex(6)}"
    provided_by = {"identifier": {"system": ODS_CODE_SYSTEM, "value": organisation}}
    said = {"resourceType": "HealthcareService", "id": local_id, "active": True, "providedBy": provided_by}
    said |= {"name": name or f"Team {next(_names)}", **elements}
    with services.client(organisation) as client:
        answer = client.put(f"/fhir/HealthcareService/{local_id}", json=said, headers=FHIR).raise_for_status()
    team_id = str(answer.headers["Location"]).partition("/HealthcareService/")[2].partition("/")[0]
    await_team(services, team_id)
    return team_id


def restate_team(services: Services, team: str, **elements: Any) -> None:
    """Publish a team again under its id, with other elements."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(
            "select local_id, organisation from record.directory_statement where shared_id = %s limit 1", [team]
        ).fetchone()
    assert row is not None
    local_id, owner = row
    resource = {
        "resourceType": "HealthcareService",
        "id": local_id,
        "name": "Restated team",
        "providedBy": {"identifier": {"system": ODS_CODE_SYSTEM, "value": owner}},
        **elements,
    }
    with services.client(owner) as client:
        client.put(f"/fhir/HealthcareService/{local_id}", json=resource, headers=FHIR).raise_for_status()


def await_team(services: Services, team_id: str) -> None:
    """Return when the referral service knows the team."""
    deadline = time.monotonic() + PATIENCE_S
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        while not connection.execute("select from referral.team where team_id = %s", [team_id]).fetchall():
            assert time.monotonic() < deadline, "the team did not reach the referral room"
            time.sleep(0.02)


def advice_request(number: str, team_id: str, **elements: Any) -> dict[str, Any]:
    """A ServiceRequest that asks this team for advice about this person."""
    return service_request(number, team_id, **{"category": [ADVICE], "priority": "routine", **elements})


def service_request(number: str, team_id: str, **elements: Any) -> dict[str, Any]:
    """A ServiceRequest that refers this person to this team."""
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": "urgent",
        "code": {"text": "District nursing assessment"},
        "reasonCode": [{"text": "Leg ulcer"}],
        "subject": {"reference": f"Patient/{number}"},
        "performer": [{"reference": f"HealthcareService/{team_id}"}],
        **elements,
    }


def refer(client: httpx.Client, request: dict[str, Any], **headers: str) -> httpx.Response:
    """Post a ServiceRequest that makes a referral."""
    return client.post("/fhir/ServiceRequest", json=request, headers=FHIR | headers)


def task_of(answer: httpx.Response) -> str:
    """The id of a new referral's Task."""
    assert answer.status_code in (200, 201), answer.text
    return answer.headers["Link"].partition("/fhir/Task/")[2].partition(">")[0]


def act(
    client: httpx.Client, task_id: str, action: str, tag: str, *said: dict[str, Any], **headers: str
) -> httpx.Response:
    """Run an operation on this version of the Task."""
    body = {"resourceType": "Parameters", "parameter": list(said)} if said else {"resourceType": "Parameters"}
    return client.post(f"/fhir/Task/{task_id}/${action}", json=body, headers=FHIR | {"If-Match": tag} | headers)


def say(
    client: httpx.Client, task_id: str, tag: str, category: str, text: str = "Has she had a Doppler?", *more: Any
) -> httpx.Response:
    """Send a message of this category about this version of the Task."""
    return act(client, task_id, "message", tag, {"name": "category", "valueCode": category}, a_text(text), *more)


def a_text(text: str) -> dict[str, Any]:
    """The parameter `text`."""
    return {"name": "text", "valueString": text}


def read(client: httpx.Client, task_id: str) -> httpx.Response:
    """Read the current Task."""
    return client.get(f"/fhir/Task/{task_id}")


def new_role(services: Services, team_id: str, organisation: str, subject: str, ends_at: datetime | None = None) -> str:
    """Insert a role of this user at a team of this organisation, and return its id."""
    role_id = secrets.token_hex(13).translate(str.maketrans("0189", "abcd"))
    with psycopg.connect(services.postgres) as connection:
        connection.execute(
            """insert into referral.directory_role
                   (shared_id, said_by, practitioner_id, subject, name, code, starts_at, ends_at, active)
               values (%s, %s, '', %s, %s, 'R8001', null, %s, true)""",
            [role_id, organisation, subject, f"Nurse {subject}", ends_at],
        )
        connection.execute("insert into referral.directory_role_team values (%s, %s, '')", [role_id, team_id])
    return role_id


def end_role(services: Services, role_id: str, at: datetime) -> None:
    """End a role at this time."""
    with psycopg.connect(services.postgres) as connection:
        connection.execute("update referral.directory_role set ends_at = %s where shared_id = %s", [at, role_id])
