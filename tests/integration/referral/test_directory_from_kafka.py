"""The directory takes events from intake through Kafka. Its process may be killed at any moment."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import httpx
import psycopg
from tests.stack import Services
from tests.waiting import until

from onestory.shared.identity import DOS_SERVICE_SYSTEM, ODS_CODE_SYSTEM, SDS_USER_SYSTEM

TYPE = {"Content-Type": "application/fhir+json", "X-Source-System": "rio"}


def publish(client: httpx.Client, ods: str, places: Sequence[int], mark: str) -> None:
    """One Bundle for each team: its organisation, itself, and one person who works in it."""
    for place in places:
        client.post("/fhir", json=_bundle(ods, f"{mark}{place}"), headers=TYPE).raise_for_status()


def known(services: Services, mark: str) -> set[tuple[str, str, str]]:
    """Return (team name, DoS id, user) of every role at a team whose DoS id begins with this mark."""
    with psycopg.connect(services.postgres) as connection:
        return set(
            connection.execute(
                """select t.name, t.dos_service_id, r.subject from referral.team t join referral.role r using (team_id)
                   where t.dos_service_id like %s""",
                [f"{mark}%"],
            ).fetchall()
        )


def test_a_process_killed_again_and_again_loses_and_doubles_nothing(services: Services) -> None:
    mark = f"{uuid.uuid4().int % 10**8}-"
    with services.client("R0D01") as trust:
        publish(trust, "R0D01", range(10), mark)
        until(lambda: bool(known(services, mark)))
        services.kill("refer")
        publish(trust, "R0D01", range(5, 20), mark)
        services.start("refer")
        services.kill("refer")
        publish(trust, "R0D01", range(20, 25), mark)
        services.start("refer")

    expected = {(f"Team {mark}{place}", f"{mark}{place}", f"5{mark}{place}") for place in range(25)}
    until(lambda: known(services, mark) == expected)
    with psycopg.connect(services.postgres) as connection:
        counted = connection.execute(
            """select count(*), count(distinct event_id) from referral.directory_statement s
               join referral.directory_team t using (shared_id) where t.dos_service_id like %s""",
            [f"{mark}%"],
        ).fetchone()
    assert counted == (30, 30)


def test_the_process_says_that_it_is_ready_and_what_it_has_left(services: Services) -> None:
    base = services.stack.health["refer"]

    assert httpx.get(f"{base}/health/ready", trust_env=False).status_code == 200
    metrics = httpx.get(f"{base}/metrics", trust_env=False).text
    assert 'onestory_consumer_lag{partition="0",topic="care.directory"}' in metrics


def _bundle(ods: str, name: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = [
        {"resourceType": "Organization", "id": ods, "identifier": [_identifier(ODS_CODE_SYSTEM, ods)], "name": "Vale"},
        {
            "resourceType": "HealthcareService",
            "id": f"team-{name}",
            "identifier": [_identifier(DOS_SERVICE_SYSTEM, name)],
            "providedBy": {"reference": f"Organization/{ods}"},
            "name": f"Team {name}",
        },
        {"resourceType": "Practitioner", "id": f"p-{name}", "identifier": [_identifier(SDS_USER_SYSTEM, f"5{name}")]},
        {
            "resourceType": "PractitionerRole",
            "id": f"r-{name}",
            "practitioner": {"reference": f"Practitioner/p-{name}"},
            "healthcareService": [{"reference": f"HealthcareService/team-{name}"}],
        },
    ]
    requests = [{"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"} for each in entries]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": each, "request": request} for each, request in zip(entries, requests, strict=True)],
    }


def _identifier(system: str, value: str) -> dict[str, str]:
    return {"system": system, "value": value}
