"""Builds the statements and summaries that the tests of this folder use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from onestory.record.freshness.domain import Freshness
from onestory.record.merge.engine import merge
from onestory.record.merge.model import MergedRecord, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.summary.document import summarise
from onestory.record.summary.model import Summary, SummaryInput
from onestory.record.summary.narrative import plain_text

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SNOMED = "http://snomed.info/sct"
GP = "A81001"
HOSPITAL = "RZ3"
NAMES = {GP: "Harbour Street Surgery", HOSPITAL: "Vale Royal Hospital"}
PATIENT = {
    "resourceType": "Patient",
    "id": "9990000018",
    "meta": {"versionId": "1"},
    "name": [{"family": "Okafor", "given": ["Amina"]}],
    "birthDate": "1941-03",
}
Json = dict[str, Any]


def code(value: str, display: str, system: str = SNOMED) -> Json:
    return {"coding": [{"system": system, "code": value, "display": display}], "text": display}


def term(system: str, value: str) -> Json:
    return {"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": value}]}


def said(
    resource_type: str, local_id: str, organisation: str = GP, *, recorded: datetime = NOW, **elements: Any
) -> Statement:
    """A statement whose shared id begins with its local id."""
    shared_id = f"{local_id}-{organisation.lower()}"
    content = {"resourceType": resource_type, "id": shared_id, "meta": {}, **elements}
    return Statement(shared_id, resource_type, organisation, "system", UUID(int=1), recorded, recorded, content)


def known(
    *statements: Statement, patient: Json = PATIENT, merged: MergedRecord | None = None, **circumstances: Any
) -> SummaryInput:
    """The summary input of a reader who may see these statements."""
    return SummaryInput(
        patient=json.dumps(patient).encode(),
        merged=merged or merge(statements, merge_rules()),
        contents={each.shared_id: stored(each) for each in statements},
        base_url="https://care.example/fhir",
        organisation_names=NAMES,
        **circumstances,
    )


def stored(statement: Statement) -> bytes:
    return json.dumps(statement.content).encode()


def former(until: date, organisation: str = GP) -> Freshness:
    return Freshness(organisation, "system", NOW, NOW, former_until=until)


def told(*statements: Statement, at: datetime = NOW, **circumstances: Any) -> dict[str, str]:
    """The sections of the summary as plain text, by title."""
    return texts(summarise(known(*statements, **circumstances), at))


def texts(summary: Summary) -> dict[str, str]:
    return {each["title"]: plain_text(each["text"]["div"]) for each in sections(summary).values()}


def sections(summary: Summary) -> dict[str, Json]:
    """The sections by code, in the order of the document."""
    composition = json.loads(summary.document)["entry"][0]["resource"]
    return {each["code"]["coding"][0]["code"]: each for each in composition["section"]}


def entries(section: Json) -> list[str]:
    return [each["reference"].rpartition("/")[2] for each in section.get("entry", [])]


def heard_at(statement: Statement, moment: datetime) -> Statement:
    return replace(statement, broker_time=moment)


def resources(summary: Summary) -> Sequence[Json]:
    return [entry["resource"] for entry in json.loads(summary.document)["entry"]]
