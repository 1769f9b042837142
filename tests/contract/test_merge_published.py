"""Real published records can be merged, and a fact that two sources state becomes one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from tests.contract.shared_data import DATA, needs_shared_data

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.reading import StatementReader
from onestory.record.merge.rules import merge_rules

RULES = merge_rules()
GROUPS = ("synthea-gb", "ips", "ukcore", "scr", "uk-patient-summary", "pathology", "hl7-r4-examples", "bars-messages")
FILES = [path for group in GROUPS for path in sorted((DATA / group).glob("*.json"))]
AT = datetime(2026, 11, 1, tzinfo=UTC)


def resources(path: Path) -> Iterator[dict[str, Any]]:
    """The resources of a file. A Bundle yields each of its resources."""
    raw = orjson.loads(path.read_bytes())
    if not isinstance(raw, dict):
        return
    entries = (
        raw["entry"]
        if raw.get("resourceType") == "Bundle" and isinstance(raw.get("entry"), list)
        else [{"resource": raw}]
    )
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and isinstance(resource.get("resourceType"), str):
            yield resource


def statements(path: Path) -> list[Statement]:
    return [
        Statement(f"a{place:05}", each["resourceType"], "A81001", "emis-web", UUID(int=place), AT, AT, each)
        for place, each in enumerate(resources(path))
    ]


def another(told: list[Statement]) -> list[Statement]:
    """The same statements from another source."""
    return [replace(each, shared_id=f"b{each.shared_id}", organisation="RYE", system="cerner") for each in told]


@needs_shared_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem[:60]}")
def test_a_published_record_can_be_merged(path: Path) -> None:
    told = statements(path)

    merged = merge(told, RULES)

    assert sum(len(fact.members) for fact in merged.facts) + len(merged.judgements) == len(told)


@needs_shared_data
def test_what_two_sources_both_say_of_a_synthetic_person_is_said_once() -> None:
    compared = {"Condition", "Immunization", "MedicationRequest", "Observation", "AllergyIntolerance"}
    for path in (path for path in FILES if path.parent.name == "synthea-gb" and "nformation" not in path.name):
        told = [each for each in statements(path) if each.resource_type in compared and _has_a_value(each)]

        merged = merge([*told, *another(told)], RULES)

        single = [fact for fact in merged.facts if len(fact.members) == 1]
        assert len(merged.facts) - len(told) == len(single) // 2
        assert len(single) <= len(told) // 50, path.name


def _has_a_value(each: Statement) -> bool:
    reading = StatementReader(RULES).read(0, each)
    found = {name for name in each.content if name.startswith(("value", "component"))}
    return bool(reading.codes) and (each.resource_type != "Observation" or bool(found))
