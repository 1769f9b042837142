"""The referral of `onestory demo`: a practice makes it, a community team completes it, the record shows it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onestory.local.state import Stack
from onestory.local.token import fetch_token
from onestory.shared.display import printable_text
from onestory.shared.errors import Unavailable
from onestory.shared.fhir.dates import UK

COMMUNITY_ODS = "RZ1"
TEAM_KIND = "community-nursing"
ROLE = "R8000"
TIMEOUT_S = 60.0
_EXTENSION = "https://onestory.nhs.uk/StructureDefinition/referral-"
_TEAM_ACTIONS: tuple[tuple[str, str, tuple[dict[str, Any], ...]], ...] = (
    ("receive", "team receives it", ()),
    ("accept", "team accepts it", ()),
    ("start", "nurse visits", ()),
    (
        "complete",
        "team completes it",
        ({"name": "outcome", "valueString": "Ulcer clean, dressed weekly by the practice nurse."},),
    ),
)
"""The team's commands in order: the operation of the Task, the text in the table, and its parameters."""


@dataclass(frozen=True, slots=True)
class DemoTeam:
    """A team to which the practice can refer."""

    team_id: str
    name: str


@dataclass(frozen=True, slots=True)
class DemoReferralIds:
    """The ids of the demo's referral and of its Task, and its team."""

    referral_id: str
    task_id: str
    team: DemoTeam


@dataclass(frozen=True, slots=True)
class DemoReferral:
    """A practice that refers to a community team. `practice` is an ODS code; `names`: ODS code -> organisation."""

    stack: Stack
    practice: str
    names: Mapping[str, str]

    def show(self, console: Console, nhs_number: str) -> DemoReferralIds:
        """Make the referral, complete it, and print both its transitions and the record's view of it."""
        with self._client(self.practice) as surgery, self._client(COMMUNITY_ODS) as nurses:
            team = self._team(surgery)
            table = _table(f"{self.names.get(self.practice, self.practice)} refers to {team.name}")
            sent = _checked(
                surgery.post("/fhir/ServiceRequest", json=_request(nhs_number, team), headers=_idempotency_key())
            )
            task = _checked(surgery.get(_task_path(sent))).json()
            self._add_row(table, "practice refers", task, team)
            tag = sent.headers["ETag"]
            for operation, event, parameters in _TEAM_ACTIONS:
                body = {"resourceType": "Parameters", **({"parameter": list(parameters)} if parameters else {})}
                url = f"/fhir/Task/{task['id']}/${operation}"
                answer = _checked(nurses.post(url, json=body, headers={"If-Match": tag, **_idempotency_key()}))
                task, tag = answer.json(), answer.headers["ETag"]
                self._add_row(table, event, task, team)
            console.print(table)
            self._print_on_record(console, surgery, nhs_number, sent.json()["id"], task)
            return DemoReferralIds(sent.json()["id"], task["id"], team)

    def _team(self, surgery: httpx.Client) -> DemoTeam:
        """The community nurses who serve the practice. Waits for the directory; raises `Unavailable` after 60 s."""
        deadline = time.monotonic() + TIMEOUT_S
        query = {"serves": self.practice, "service-category": TEAM_KIND}
        while not (entries := _checked(surgery.get("/fhir/HealthcareService", params=query)).json().get("entry")):
            if time.monotonic() > deadline:
                raise Unavailable("The directory shows no community team; see: onestory logs refer")
            time.sleep(0.1)
        resource = entries[0]["resource"]
        return DemoTeam(entries[0]["fullUrl"].rpartition("/")[2], resource.get("name", TEAM_KIND))

    def _print_on_record(
        self, console: Console, reader: httpx.Client, nhs_number: str, referral_id: str, task: Mapping[str, Any]
    ) -> None:
        """Print the referral as the person's record shows it. Waits until the record has this version of the Task."""
        began = time.monotonic()
        while True:
            tasks = _resources(reader, f"/fhir/Task?patient={nhs_number}&_count=200")
            current = next((resource for resource in tasks if resource["id"] == task["id"]), None)
            if current and current["meta"]["versionId"] == task["meta"]["versionId"]:
                break
            if time.monotonic() > began + TIMEOUT_S:
                raise Unavailable("The record does not show the referral; see: onestory logs project")
            time.sleep(0.02)
        history = _resources(reader, f"/fhir/Task/{task['id']}/_history")
        requests = _resources(reader, f"/fhir/ServiceRequest?patient={nhs_number}&_count=200")
        request = next(resource for resource in requests if resource["id"] == referral_id)
        states = [f"{version['status']} {_local_time(version['lastModified'])}" for version in reversed(history)]
        console.print(f"[bold]On the record[/], for every team of the person's network: {request['code']['text']}")
        console.print(f"  ServiceRequest {request['status']}, because of {request['reasonCode'][0]['text'].lower()}")
        console.print(f"  Task {', '.join(states)}", highlight=False)
        console.print(f"  outcome: {current['output'][0]['valueString']}", highlight=False)

    def _add_row(self, table: Table, event: str, task: Mapping[str, Any], team: DemoTeam) -> None:
        parties = {
            extension["url"].removeprefix(_EXTENSION): extension.get("valueReference")
            for extension in task["extension"]
        }
        due = task.get("restriction", {}).get("period", {}).get("end", "")
        table.add_row(
            event,
            task["status"],
            escape(printable_text(self._party(parties.get("holder"), team))),
            escape(printable_text(self._party(parties.get("next-actor"), team))),
            _local_time(due) if due else "",
        )

    def _party(self, reference: Mapping[str, Any] | None, team: DemoTeam) -> str:
        if reference is None:
            return "nobody"
        if reference.get("reference") == f"HealthcareService/{team.team_id}":
            return "the team"
        ods = str(reference.get("identifier", {}).get("value", ""))
        return "the practice" if ods == self.practice else self.names.get(ods, ods)

    @contextmanager
    def _client(self, org: str) -> Iterator[httpx.Client]:
        token = fetch_token(org, role=ROLE, issuer=self.stack.issuer)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        with httpx.Client(base_url=self.stack.base_url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
            yield client


def commands_to_try(base_url: str, practice: str, nhs_number: str, ids: DemoReferralIds) -> list[str]:
    """Shell commands that make and accept a referral. They expect the practice's token in TOKEN."""
    fhir, authorised = f"{base_url}/fhir", '-H "Authorization: Bearer $TOKEN"'
    body = _request(nhs_number, ids.team)
    reason = body["reasonCode"][0]["text"]
    json_of = (
        f'{{"resourceType":"ServiceRequest","status":"active","intent":"order","code":{{"text":"{body["code"]["text"]}"}},'
        f'"reasonCode":[{{"text":"{reason}"}}],"subject":{{"reference":"Patient/{nhs_number}"}},'
        f'"performer":[{{"reference":"HealthcareService/{ids.team.team_id}"}}]}}'
    )
    return [
        f"To make a referral from {practice}, and to accept it as the team:",
        "",
        f"export NURSE=$(.venv/bin/onestory token --org {COMMUNITY_ODS} --role {ROLE})",
        "",
        f"curl -si {authorised} -H \"Content-Type: application/fhir+json\" {fhir}/ServiceRequest -d '{json_of}'"
        " | tee sent.txt",
        "export TASK=$(sed -n 's|.*/fhir/Task/\\([^>]*\\)>.*|\\1|p' sent.txt)"
        " ETAG=$(sed -n 's/^etag: //Ip' sent.txt | tr -d '\\r')",
        f'curl -si -X POST -H "Authorization: Bearer $NURSE" -H "If-Match: $ETAG" "{fhir}/Task/$TASK/\\$accept"',
        f'curl -s -H "Authorization: Bearer $NURSE" "{base_url}/worklists/teams/{ids.team.team_id}"',
        f'curl -s {authorised} "{fhir}/ServiceRequest/{ids.referral_id}"',
        f'curl -s {authorised} "{fhir}/Task/{ids.task_id}/_history"',
    ]


def _table(title: str) -> Table:
    table = Table(title=title, title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
    for column in ("event", "status", "responsible", "acts next", "due"):
        table.add_column(column, no_wrap=True)
    return table


def _request(nhs_number: str, team: DemoTeam) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "priority": "routine",
        "code": {"text": "District nursing assessment"},
        "reasonCode": [{"text": "Leg ulcer, left"}],
        "subject": {"reference": f"Patient/{nhs_number}"},
        "performer": [{"reference": f"HealthcareService/{team.team_id}"}],
    }


def _idempotency_key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def _task_path(answer: httpx.Response) -> str:
    """The path of a new referral's Task, from the Link header."""
    return "/fhir/Task/" + answer.headers["Link"].partition("/fhir/Task/")[2].partition(">")[0]


def _resources(reader: httpx.Client, url: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in _checked(reader.get(url)).json().get("entry", ()) if "resource" in entry]


def _local_time(instant: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(UK):%d %b %H:%M}"


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 400:
        raise Unavailable(f"{answer.request.method} was answered with {answer.status_code}; see: onestory logs serve")
    return answer
