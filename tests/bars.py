"""BaRS for tests: the published messages with few changes, and the requests that send them."""

from __future__ import annotations

import base64
import itertools
import json
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
from tests.contract.shared_data import DATA
from tests.referrals import new_team
from tests.stack import Services

from onestory.shared.identity import is_nhs_number_system, is_ods_code_system

Json = dict[str, Any]
SENDER, RECEIVER = "RND", "RYE"
"""The organisations that send and receive requests in the published messages."""
DAY = str(datetime.now(UTC).date() + timedelta(days=30))
"""The day of the bookings in the messages: a day to come."""
DOS = "https://fhir.nhs.uk/Id/dos-service-id"
_services = itertools.count(secrets.randbelow(1_000_000) * 1_000)


def published(name: str) -> Json:
    """The published message whose file name begins with `name`."""
    (path,) = [*DATA.glob(f"bars-*/{name}_*.json"), *DATA.parent.glob(f"cases/referral/bars/{name}[_-]*.json")]
    loaded: Json = json.loads(path.read_text())
    return loaded


def message(name: str, number: str, dos_id: str) -> Json:
    """The published message, changed to this person and to this service.

    The NHS number must be one that was never issued. The published bookings are over, so they are moved to `DAY`.
    The published updates of control rooms have an empty `_id`. FHIR
    does not allow it, so it is removed.
    """
    said = published(name)
    for resource in resources(said):
        resource.pop("_id", None)
        if resource["resourceType"] in ("Appointment", "Slot"):
            times: Json = {
                name: f"{DAY}T{resource[name].partition('T')[2]}" for name in ("start", "end") if name in resource
            }
            resource.update(times)
        for identifier in resource.get("identifier", ()):
            if is_nhs_number_system(identifier.get("system")):
                identifier["value"] = number
    ours: Json = json.loads(json.dumps(said).replace("111111111", dos_id))
    return ours


def resources(said: Json) -> Iterator[Json]:
    """The resources of a message."""
    return (entry["resource"] for entry in said["entry"])


def one(said: Json, resource_type: str) -> Json:
    """The first resource of this type."""
    return next(each for each in resources(said) if each["resourceType"] == resource_type)


def new_service(services: Services, organisation: str = RECEIVER) -> str:
    """Publish a team of this organisation with a new DoS id, and return that DoS id."""
    dos_id = f"20{next(_services):010d}"
    new_team(services, organisation, identifier=[{"system": DOS, "value": dos_id}])
    return dos_id


def new_slot(services: Services, dos_id: str, start: str, end: str, organisation: str = RECEIVER) -> str:
    """Publish a free slot of this service, and return its id."""
    slot_id, schedule_id = (_directory_id() for _ in range(2))
    actor = {"identifier": {"system": DOS, "value": dos_id}}
    schedule = {"resourceType": "Schedule", "id": schedule_id, "actor": [actor]}
    slot = {
        "resourceType": "Slot",
        "id": slot_id,
        "schedule": {"reference": f"Schedule/{schedule_id}"},
        "status": "free",
        "start": start,
        "end": end,
    }
    with psycopg.connect(services.postgres) as connection:
        connection.execute(
            """insert into referral.directory_schedule (shared_id, said_by, team_ids, dos_service_ids, content, active)
               values (%s, %s, '{}', %s, %s, true)""",
            [schedule_id, organisation, [dos_id], json.dumps(schedule).encode()],
        )
        connection.execute(
            """insert into referral.directory_slot
                   (shared_id, said_by, schedule_id, status, starts_at, ends_at, content, active)
               values (%s, %s, %s, 'free', %s, %s, %s, true)""",
            [slot_id, organisation, schedule_id, start, end, json.dumps(slot).encode()],
        )
    return slot_id


def send(client: httpx.Client, said: Json | bytes, path: str = "/$process-message", **headers: str) -> httpx.Response:
    """Send a message. Its ids are new unless they are given."""
    content = said if isinstance(said, bytes) else json.dumps(said).encode()
    ids = {"X-Request-Id": str(uuid.uuid4()), "X-Correlation-Id": str(uuid.uuid4())}
    sent = {"Content-Type": "application/fhir+json", **ids} | named(headers)
    return client.post(path, content=content, headers=sent)


def named(headers: dict[str, str]) -> dict[str, str]:
    """Header names from argument names: underscores become hyphens."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def encoded(said: Any) -> str:
    """The value as base64 of JSON, the form of the NHSD-* headers."""
    return base64.b64encode(json.dumps(said).encode()).decode()


def organisation(ods: str) -> Json:
    """An Organization for NHSD-End-User-Organisation."""
    system = "https://fhir.nhs.uk/Id/ods-organization-code"
    assert is_ods_code_system(system)
    return {"resourceType": "Organization", "identifier": [{"system": system, "value": ods}], "name": "Sender"}


def answered(answer: httpx.Response) -> Json:
    """The response message. Fails the test unless it is an `ok` response."""
    assert answer.status_code == 200, answer.text
    said: Json = answer.json()
    assert one(said, "MessageHeader")["response"]["code"] == "ok"
    return said


def issue(answer: httpx.Response) -> tuple[int, str, str, str]:
    """HTTP status, issue code, expression of the issue, and the BaRS code."""
    (said,) = answer.json()["issue"][:1]
    return answer.status_code, said["code"], said.get("expression", [""])[0], said["details"]["coding"][0]["code"]


def _directory_id() -> str:
    return secrets.token_hex(13).translate(str.maketrans("0189", "abcd"))
