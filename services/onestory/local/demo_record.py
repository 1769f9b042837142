"""One person's record in the terminal: what is known, who said it, and how long a new fact takes to get there."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onestory.local.state import Stack
from onestory.local.token import fetch_token
from onestory.shared.errors import Unavailable

ODS_CODE = "https://fhir.nhs.uk/Id/ods-organization-code"
TELLER = "RZ1"
PATIENCE_S = 60
SHOWN_OF_EACH_TYPE = 4
FIRST = ("AllergyIntolerance", "Condition", "MedicationRequest", "MedicationStatement", "Immunization", "Observation")
CODED = ("code", "medicationCodeableConcept", "vaccineCode", "type", "category", "class")
NAMED = ("description", "title", "name")
DATED = (
    "onsetDateTime",
    "effectiveDateTime",
    "occurrenceDateTime",
    "performedDateTime",
    "authoredOn",
    "recordedDate",
    "dateAsserted",
    "date",
    "issued",
    "created",
    "start",
)


@dataclass(frozen=True, slots=True)
class Delay:
    """How long one statement took, in milliseconds from the moment it was sent."""

    acknowledged_ms: float
    visible_ms: float


@dataclass(frozen=True, slots=True)
class DemoReader:
    """A clinician at the record. `names` are those of the organisations, by ODS code."""

    stack: Stack
    token: str
    names: Mapping[str, str]

    def tell(self, nhs_number: str) -> Delay:
        """Publish one observation as the community nurse, and read until it is visible."""
        headers = {
            "Authorization": f"Bearer {fetch_token(TELLER, role='R8000', issuer=self.stack.issuer)}",
            "Content-Type": "application/fhir+json",
            "X-Source-System": "rio",
            "Idempotency-Key": uuid.uuid4().hex,
        }
        url = f"{self.stack.base_url}/fhir/Observation/demo-pulse"
        with httpx.Client(timeout=PATIENCE_S, trust_env=False) as http:
            began = time.perf_counter()
            told = _checked(http.put(url, json=_pulse(nhs_number), headers=headers))
            acknowledged = time.perf_counter()
            position = told.headers.get("X-OneStory-Position", "")
            _checked(http.get(self._url(nhs_number), params={"after": position}, headers=self._authorised()))
            visible = time.perf_counter()
        return Delay((acknowledged - began) * 1000, (visible - began) * 1000)

    def print_record(self, console: Console, person: Mapping[str, Any]) -> None:
        """The record as a table, a few lines of each type, each with the organisation that said it."""
        resources = self._everything(person["nhs_number"])
        title = f"{person['name']}, born {person['born']}, NHS number {person['nhs_number']}"
        table = Table(title=title, title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
        table.add_column("what", no_wrap=True, ratio=3)
        table.add_column("when", no_wrap=True, width=10)
        table.add_column("said by", no_wrap=True, ratio=2)
        # The shared Patient is nobody's statement: below stands what each source says of her or him.
        said = [resource for resource in resources if self._who(resource)]
        for kind, found in _by_type(said).items():
            table.add_row(f"[bold]{kind}[/]" + (f" ({len(found)})" if len(found) > SHOWN_OF_EACH_TYPE else ""))
            for resource in found[:SHOWN_OF_EACH_TYPE]:
                table.add_row("  " + escape(_what(resource)), _when(resource), escape(self._who(resource)))
        console.print(table)

    def _everything(self, nhs_number: str) -> list[dict[str, Any]]:
        resources: list[dict[str, Any]] = []
        url: str | None = self._url(nhs_number)
        with httpx.Client(timeout=PATIENCE_S, trust_env=False, headers=self._authorised()) as http:
            while url:
                page = _checked(http.get(url)).json()
                resources += [entry["resource"] for entry in page.get("entry", [])]
                url = next((link["url"] for link in page.get("link", []) if link["relation"] == "next"), None)
        return resources

    def _who(self, resource: Mapping[str, Any]) -> str:
        meta = resource.get("meta", {})
        said = [tag["code"] for tag in meta.get("tag", []) if tag.get("system") == ODS_CODE and "code" in tag]
        return ", ".join(self.names.get(code, code) for code in said) or str(meta.get("source", ""))

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
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for resource in sorted(resources, key=_when, reverse=True):
        found[resource["resourceType"]].append(resource)
    order = [*FIRST, *sorted(found.keys() - set(FIRST))]
    return {kind: found[kind] for kind in order if kind in found}


def _what(resource: Mapping[str, Any]) -> str:
    """The words of a resource's main code, and its value where it has one."""
    words = next((text for name in CODED if (text := _words(resource.get(name)))), "")
    quantity = resource.get("valueQuantity", {})
    value = f" {quantity.get('value', '')} {quantity.get('unit', '')}".rstrip()
    return (words or _named(resource)) + value


def _named(resource: Mapping[str, Any]) -> str:
    """What a resource without a main code is called: its description, its title, or its name, a person's too."""
    called = next((resource[name] for name in NAMED if name in resource), "")
    if isinstance(called, list) and called and isinstance(called[0], dict):
        parts = [*called[0].get("prefix", []), *called[0].get("given", []), called[0].get("family", "")]
        return str(called[0].get("text") or " ".join(parts))
    return str(called)


def _words(concept: Any) -> str:
    concept = concept[0] if isinstance(concept, list) and concept else concept
    if not isinstance(concept, dict):
        return ""
    coding = next(iter(concept.get("coding", [])), concept)
    return str(concept.get("text") or coding.get("display") or "")


def _when(resource: Mapping[str, Any]) -> str:
    period = resource.get("period", resource.get("effectivePeriod", {}))
    return str(next((resource[name] for name in DATED if name in resource), period.get("start", "")))[:10]
