"""`onestory demo`: starts the embedded stack with a synthetic care network, and shows a record and a referral.

It prints one person's record with the source of each line, the delay of a new statement, and commands to try.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onestory.client import publish
from onestory.local import demo_referral, down, processes, state, up
from onestory.local.state import Stack
from onestory.local.token import fetch_token
from onestory.sample import main as sample_main
from onestory.shared.display import printable_text
from onestory.shared.errors import Unavailable

SEED = 1
CLINICIAN = "R8000"
TOKEN_LIFETIME_S = 24 * 3600
WATCH_EVERY_S = 1.0

ODS_CODE = "https://fhir.nhs.uk/Id/ods-organization-code"
COMMUNITY_ODS = "RZ1"
TIMEOUT_S = 60
LINES_PER_TYPE = 4
FIRST_TYPES = (
    "AllergyIntolerance", "Condition", "MedicationRequest", "MedicationStatement", "Immunization", "Observation",
)  # fmt: skip
CODE_FIELDS = ("code", "medicationCodeableConcept", "vaccineCode", "type", "category", "class")
NAME_FIELDS = ("description", "title", "name")
DATE_FIELDS = (
    "onsetDateTime", "effectiveDateTime", "occurrenceDateTime", "performedDateTime", "authoredOn", "recordedDate",
    "dateAsserted", "date", "issued", "created", "start",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Population, and whether to stay in the foreground."""
    parser.add_argument("--people", type=int, default=20, metavar="N", help="how many people to invent (default: 20)")
    parser.add_argument("--detach", action="store_true", help="return when it is ready; `onestory down` stops it")


def run(arguments: argparse.Namespace) -> int:
    """Run until Ctrl-C or SIGTERM, then stop everything; with `--detach` return when everything is ready."""
    processes.interrupt_once()
    demo = Demo(state.find_home(), arguments.people, Console())
    try:
        stack = demo.start()
        demo.fill()
        demo.show(stack)
        if not arguments.detach:
            demo.watch()
    except BaseException:
        demo.stop()
        raise
    return 0


@dataclass(frozen=True, slots=True)
class Demo:
    """One demonstration in the directory `home` of an embedded stack."""

    home: Path
    people: int
    console: Console

    def start(self) -> Stack:
        """Start what does not run of the stack; return its addresses when all of it is ready."""
        os.environ["ONESTORY_HOME"] = str(self.home)  # commands called in this process find the same stack
        with self.console.status("Starting Kafka, PostgreSQL and OneStory (the first time downloads Kafka) ..."):
            stack, started = up.bring_up(self.home)
        self.console.print(f"[green]✓[/] {'Started ' + ', '.join(started) if started else 'Everything already runs'}")
        return stack

    def fill(self) -> None:
        """Invent the care network and publish it, unless this stack's record has it already."""
        marker, published = self.home / "sample-published", f"{self.people} with teams"
        if marker.exists() and marker.read_text() == published:
            self.console.print(f"[green]✓[/] {self.people} people are in the record from last time")
            return
        _command(sample_main, "--people", str(self.people), "--seed", str(SEED), "--out", str(self._sample))
        refusals = self.home / "publish-refusals.ndjson"
        # The pattern leaves out manifest.json, which is no FHIR file.
        code = _command(publish, str(self._sample / "*.ndjson"), "--report", str(refusals))
        if code == 130:
            raise KeyboardInterrupt
        marker.write_text(published)

    def show(self, stack: Stack) -> None:
        """Print one person's record, the delay of a new statement, a whole referral, and commands to try."""
        manifest = json.loads((self._sample / "manifest.json").read_text())
        person = _best_known(manifest["people"])
        token = fetch_token(person["practice"], role=CLINICIAN, lifetime=TOKEN_LIFETIME_S, issuer=stack.issuer)
        names = {source["ods"]: source["name"] for source in manifest["sources"]}
        reader = DemoReader(stack, token, names)
        delay = reader.measure_delay(person["nhs_number"])
        reader.print_record(self.console, person)
        self.console.print(
            f"\nA new observation was [bold]acknowledged after {delay.acknowledged_ms:.0f} ms[/] "
            f"and [bold]visible to every reader after {delay.visible_ms:.0f} ms[/].\n"
        )
        practice, nhs_number = person["practice"], person["nhs_number"]
        referral = demo_referral.DemoReferral(stack, practice, names).show(self.console, nhs_number)
        lines = _commands_to_try(stack, token, nhs_number)
        lines += ["", *demo_referral.commands_to_try(stack.base_url, practice, nhs_number, referral)]
        for line in lines:
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def watch(self) -> None:
        """Wait until interrupted. Raises `Unavailable` when a process ends by itself."""
        self.console.print("\n[bold]Running. Ctrl-C stops everything.[/]")
        while not threading.Event().wait(WATCH_EVERY_S):
            for name in up.START_ORDER:
                if processes.find(self.home, name) is None:
                    raise Unavailable(f"{name} ended: {processes.last_line(self.home, name)}")

    def stop(self) -> None:
        """Stop every process of the stack."""
        self.console.print("\nStopping ...")
        if self.home.exists():
            with state.stack_lock(self.home):
                down.stop_all(self.home, down.STOP_ORDER)
        self.console.print("Stopped. The data stays; `make demo` uses it again.")

    @property
    def _sample(self) -> Path:
        return self.home / "sample"


def _command(command: ModuleType, *arguments: str) -> int:
    """Run a command of this package in this process, as the command line would; return its exit code."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(arguments)))


def _best_known(people: list[dict[str, Any]]) -> dict[str, Any]:
    """The person known to most sources, with most troubles of real data.

    A protected person's practice is unknown, so no network reads that record: such a person is the last choice.
    """
    readable = [person for person in people if "protected-address" not in person["troubles"]]
    return max(
        readable or people, key=lambda person: (len(person["known_to"]), len(person["troubles"]), person["nhs_number"])
    )


def _commands_to_try(stack: Stack, token: str, nhs_number: str) -> list[str]:
    """Shell commands that read the record, one for each line."""
    fhir = f"{stack.base_url}/fhir"
    urls = [
        f"{fhir}/Patient/{nhs_number}/\\$summary",
        f"{fhir}/Patient/{nhs_number}/\\$merged",
        f"{fhir}/Patient/{nhs_number}/\\$everything",
        f"{fhir}/Patient/{nhs_number}/\\$freshness",
        f"{fhir}/Patient/{nhs_number}",
        f"{fhir}/Condition?patient={nhs_number}",
        f"{fhir}/Patient?identifier=https://fhir.nhs.uk/Id/nhs-number%7C{nhs_number}",
    ]
    return [
        "To try (the token is valid for one day):",
        "",
        f"export TOKEN={token}",
        "",
        *[f'curl -s -H "Authorization: Bearer $TOKEN" "{url}"' for url in urls],
        f'curl -s -H "Authorization: Bearer $TOKEN" -H "Accept: text/html" "{fhir}/Patient/{nhs_number}/\\$summary"'
        " > summary.html  # a page to open in a browser",
        f'curl -s "{fhir}/metadata"',
        "",
        f"{stack.base_url}/openapi.json    the HTTP API",
    ]


@dataclass(frozen=True, slots=True)
class Delay:
    """The delay of one statement, in milliseconds since it was sent."""

    acknowledged_ms: float
    """Until the publish request was answered."""
    visible_ms: float
    """Until readers saw the statement."""


@dataclass(frozen=True, slots=True)
class DemoReader:
    """Reads a record with a clinician's token. `names`: ODS code -> name of the organisation."""

    stack: Stack
    token: str
    names: Mapping[str, str]

    def measure_delay(self, nhs_number: str) -> Delay:
        """Publish one observation as a community nurse, and read the record until it is visible."""
        headers = {
            "Authorization": f"Bearer {fetch_token(COMMUNITY_ODS, role='R8000', issuer=self.stack.issuer)}",
            "Content-Type": "application/fhir+json",
            "X-Source-System": "rio",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        url = f"{self.stack.base_url}/fhir/Observation/demo-pulse"
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as http:
            began = time.perf_counter()
            answer = _checked(http.put(url, json=_pulse(nhs_number), headers=headers))
            acknowledged = time.perf_counter()
            position = answer.headers.get("X-OneStory-Position", "")
            _checked(http.get(self._url(nhs_number), params={"after": position}, headers=self._authorised()))
            visible = time.perf_counter()
        return Delay((acknowledged - began) * 1000, (visible - began) * 1000)

    def print_record(self, console: Console, person: Mapping[str, Any]) -> None:
        """Print the record as a table: a few lines of each type, each with the organisation that states it."""
        resources = self._everything(person["nhs_number"])
        title = f"{person['name']}, born {person['born']}, NHS number {person['nhs_number']}"
        table = Table(title=title, title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
        table.add_column("what", no_wrap=True, ratio=3)
        table.add_column("when", no_wrap=True, width=10)
        table.add_column("source", no_wrap=True, ratio=2)
        # The merged Patient has no source. The Patients of the sources are lines of their own.
        statements = [resource for resource in resources if self._source(resource)]
        for kind, lines in _by_type(statements).items():
            table.add_row(f"[bold]{kind}[/]" + (f" ({len(lines)})" if len(lines) > LINES_PER_TYPE else ""))
            for resource in lines[:LINES_PER_TYPE]:
                table.add_row(
                    "  " + escape(printable_text(_label(resource))),
                    printable_text(_date(resource)),
                    escape(printable_text(self._source(resource))),
                )
        console.print(table)

    def _everything(self, nhs_number: str) -> list[dict[str, Any]]:
        resources: list[dict[str, Any]] = []
        url: str | None = self._url(nhs_number)
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False, headers=self._authorised()) as http:
            while url:
                page = _checked(http.get(url)).json()
                resources += [entry["resource"] for entry in page.get("entry", [])]
                url = next((link["url"] for link in page.get("link", []) if link["relation"] == "next"), None)
        return resources

    def _source(self, resource: Mapping[str, Any]) -> str:
        """The organisations that state it, or the meta.source; empty for the merged Patient."""
        meta = resource.get("meta", {})
        codes = [tag["code"] for tag in meta.get("tag", []) if tag.get("system") == ODS_CODE and "code" in tag]
        return ", ".join(self.names.get(code, code) for code in codes) or str(meta.get("source", ""))

    def _url(self, nhs_number: str) -> str:
        return f"{self.stack.base_url}/fhir/Patient/{nhs_number}/$everything"

    def _authorised(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.status_code >= 400:
        raise Unavailable(f"{answer.request.method} was answered with {answer.status_code}; see: onestory logs serve")
    return answer


def _pulse(nhs_number: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "resourceType": "Observation",
        "id": "demo-pulse",
        "status": "final",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "364075005", "display": "Heart rate"}]},
        "subject": {"reference": f"Patient/{nhs_number}"},
        "effectiveDateTime": now.isoformat(timespec="seconds"),
        "valueQuantity": {
            "value": 60 + now.second % 30,
            "unit": "beats/minute",
            "system": "http://unitsofmeasure.org",
            "code": "/min",
        },
    }


def _by_type(resources: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Resource type -> its resources, newest first; clinically important types come first."""
    types: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for resource in sorted(resources, key=_date, reverse=True):
        types[resource["resourceType"]].append(resource)
    order = [*FIRST_TYPES, *sorted(types.keys() - set(FIRST_TYPES))]
    return {kind: types[kind] for kind in order if kind in types}


def _label(resource: Mapping[str, Any]) -> str:
    """The text of the resource's main code, and its value where it has one."""
    text = next((text for name in CODE_FIELDS if (text := _concept_text(resource.get(name)))), "")
    quantity = resource.get("valueQuantity", {})
    value = f" {quantity.get('value', '')} {quantity.get('unit', '')}".rstrip()
    return (text or _name(resource)) + value


def _name(resource: Mapping[str, Any]) -> str:
    """The description, title or name of a resource without a main code; also a HumanName."""
    name = next((resource[field] for field in NAME_FIELDS if field in resource), "")
    if isinstance(name, list) and name and isinstance(name[0], dict):
        parts = [*name[0].get("prefix", []), *name[0].get("given", []), name[0].get("family", "")]
        return str(name[0].get("text") or " ".join(parts))
    return str(name)


def _concept_text(concept: Any) -> str:
    concept = concept[0] if isinstance(concept, list) and concept else concept
    if not isinstance(concept, dict):
        return ""
    coding = next(iter(concept.get("coding", [])), concept)
    return str(concept.get("text") or coding.get("display") or "")


def _date(resource: Mapping[str, Any]) -> str:
    period = resource.get("period", resource.get("effectivePeriod", {}))
    return str(next((resource[name] for name in DATE_FIELDS if name in resource), period.get("start", "")))[:10]
