"""One referral in the terminal: made by a practice, worked on by a community team, and shown on the person's record."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onestory.local.state import Stack
from onestory.local.token import fetch_token
from onestory.shared.errors import Unavailable

NURSES = "RZ1"
KIND = "community-nursing"
ROLE = "R8000"
PATIENCE_S = 60.0
_ENGLAND = ZoneInfo("Europe/London")
_EXTENSION = "https://onestory.nhs.uk/StructureDefinition/referral-"
# What the team does, and what is said with it.
_WAY: tuple[tuple[str, str, tuple[dict[str, Any], ...]], ...] = (
    ("receive", "team has it", ()),
    ("accept", "team takes it", ()),
    ("start", "nurse visits", ()),
    (
        "complete",
        "done",
        ({"name": "outcome", "valueString": "Ulcer clean, dressed weekly by the practice nurse."},),
    ),
)


@dataclass(frozen=True, slots=True)
class DemoTeam:
    """Whom a practice can refer to."""

    team_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What became of the demonstration's referral: its id, its Task's, and the team's."""

    referral_id: str
    task_id: str
    team: DemoTeam


@dataclass(frozen=True, slots=True)
class DemoReferral:
    """A practice and a community team at work. `names` are those of the organisations, by ODS code."""

    stack: Stack
    practice: str
    names: Mapping[str, str]

    def show(self, console: Console, nhs_number: str) -> Shown:
        """Refer the person, step by step, then read it on the record."""
        with self._client(self.practice) as surgery, self._client(NURSES) as nurses:
            team = self._team(surgery)
            table = _table(f"{self.names.get(self.practice, self.practice)} refers to {team.name}")
            sent = _checked(surgery.post("/fhir/ServiceRequest", json=_request(nhs_number, team), headers=_keyed()))
            task = _checked(surgery.get(_task_of(sent))).json()
            self._add(table, "practice refers", task, team)
            tag = sent.headers["ETag"]
            for action, says, said in _WAY:
                body = {"resourceType": "Parameters", **({"parameter": list(said)} if said else {})}
                url = f"/fhir/Task/{task['id']}/${action}"
                answer = _checked(nurses.post(url, json=body, headers={"If-Match": tag, **_keyed()}))
                task, tag = answer.json(), answer.headers["ETag"]
                self._add(table, says, task, team)
            console.print(table)
            self._read(console, surgery, nhs_number, sent.json()["id"], task)
            return Shown(sent.json()["id"], task["id"], team)

    def _team(self, surgery: httpx.Client) -> DemoTeam:
        """The community nurses who serve the practice, once the directory has them."""
        deadline = time.monotonic() + PATIENCE_S
        asked = {"serves": self.practice, "service-category": KIND}
        while not (found := _checked(surgery.get("/fhir/HealthcareService", params=asked)).json().get("entry")):
            if time.monotonic() > deadline:
                raise Unavailable("The directory shows no community team; see: onestory logs refer")
            time.sleep(0.1)
        resource = found[0]["resource"]
        return DemoTeam(found[0]["fullUrl"].rpartition("/")[2], resource.get("name", KIND))

    def _read(
        self, console: Console, reader: httpx.Client, nhs_number: str, referral_id: str, task: Mapping[str, Any]
    ) -> None:
        """The referral as it stands on the record, for everybody who may read that."""
        began = time.monotonic()
        while True:
            tasks = _resources(reader, f"/fhir/Task?patient={nhs_number}&_count=200")
            shown = next((each for each in tasks if each["id"] == task["id"]), None)
            if shown and shown["meta"]["versionId"] == task["meta"]["versionId"]:
                break
            if time.monotonic() > began + PATIENCE_S:
                raise Unavailable("The record does not show the referral; see: onestory logs project")
            time.sleep(0.02)
        history = _resources(reader, f"/fhir/Task/{task['id']}/_history")
        requests = _resources(reader, f"/fhir/ServiceRequest?patient={nhs_number}&_count=200")
        asked = next(each for each in requests if each["id"] == referral_id)
        states = [f"{each['status']} {_moment(each['lastModified'])}" for each in reversed(history)]
        console.print(f"[bold]On the record[/], for every team of the person's network: {asked['code']['text']}")
        console.print(f"  ServiceRequest {asked['status']}, because of {asked['reasonCode'][0]['text'].lower()}")
        console.print(f"  Task {', '.join(states)}", highlight=False)
        console.print(f"  outcome: {shown['output'][0]['valueString']}", highlight=False)

    def _add(self, table: Table, says: str, task: Mapping[str, Any], team: DemoTeam) -> None:
        said = {each["url"].removeprefix(_EXTENSION): each.get("valueReference") for each in task["extension"]}
        until = task.get("restriction", {}).get("period", {}).get("end", "")
        table.add_row(
            says,
            task["status"],
            escape(self._party(said.get("holder"), team)),
            escape(self._party(said.get("next-actor"), team)),
            _moment(until) if until else "",
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
        with httpx.Client(base_url=self.stack.base_url, headers=headers, timeout=PATIENCE_S, trust_env=False) as client:
            yield client


def to_try(base_url: str, practice: str, nhs_number: str, shown: Shown) -> list[str]:
    """Lines for a shell in which TOKEN is the practice's."""
    fhir, authorised = f"{base_url}/fhir", '-H "Authorization: Bearer $TOKEN"'
    body = _request(nhs_number, shown.team)
    reason = body["reasonCode"][0]["text"]
    json_of = (
        f'{{"resourceType":"ServiceRequest","status":"active","intent":"order","code":{{"text":"{body["code"]["text"]}"}},'
        f'"reasonCode":[{{"text":"{reason}"}}],"subject":{{"reference":"Patient/{nhs_number}"}},'
        f'"performer":[{{"reference":"HealthcareService/{shown.team.team_id}"}}]}}'
    )
    return [
        f"To refer from {practice}, and to work on it as the team:",
        "",
        f"export NURSE=$(.venv/bin/onestory token --org {NURSES} --role {ROLE})",
        "",
        f"curl -si {authorised} -H \"Content-Type: application/fhir+json\" {fhir}/ServiceRequest -d '{json_of}'"
        " | tee sent.txt",
        "export TASK=$(sed -n 's|.*/fhir/Task/\\([^>]*\\)>.*|\\1|p' sent.txt)"
        " ETAG=$(sed -n 's/^etag: //Ip' sent.txt | tr -d '\\r')",
        f'curl -si -X POST -H "Authorization: Bearer $NURSE" -H "If-Match: $ETAG" "{fhir}/Task/$TASK/\\$accept"',
        f'curl -s -H "Authorization: Bearer $NURSE" "{base_url}/worklists/teams/{shown.team.team_id}"',
        f'curl -s {authorised} "{fhir}/ServiceRequest/{shown.referral_id}"',
        f'curl -s {authorised} "{fhir}/Task/{shown.task_id}/_history"',
    ]


def _table(title: str) -> Table:
    table = Table(title=title, title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
    for column in ("what happens", "it is", "responsible", "acts next", "until"):
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


def _keyed() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def _task_of(answer: httpx.Response) -> str:
    """The address of a new referral's Task."""
    return "/fhir/Task/" + answer.headers["Link"].partition("/fhir/Task/")[2].partition(">")[0]


def _resources(reader: httpx.Client, url: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in _checked(reader.get(url)).json().get("entry", ()) if "resource" in entry]


def _moment(instant: str) -> str:
    return f"{datetime.fromisoformat(instant).astimezone(_ENGLAND):%d %b %H:%M}"


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 400:
        raise Unavailable(f"{answer.request.method} was answered with {answer.status_code}; see: onestory logs serve")
    return answer
