"""Provenance names who made a statement, by which system, when, and by which event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import fhirkit
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from onestory.record.provenance.domain import (
    EVENT_SYSTEM,
    ORIGIN_SYSTEM,
    RECEIVED,
    ParsedProvenanceId,
    StatementOrigin,
    marked_as_published,
    parse_provenance_id,
    provenance_id,
    provenance_resource,
)
from onestory.shared.events import Operation
from onestory.shared.fhir.validate import is_fhir_id
from onestory.shared.identity import ODS_CODE_SYSTEM

RECORDED = datetime(2026, 10, 1, 8, 30, 0, 123456, tzinfo=UTC)
RECEIVED_AT = RECORDED + timedelta(minutes=7)
EVENT = UUID("01998f2e-8d6a-7c31-9e60-2b7f1c4f0d11")
PERSON, RESOURCE = "a" * 26, "b" * 26
TOLD = StatementOrigin(
    resource_type="Condition",
    shared_id=f"{PERSON}-{RESOURCE}",
    event_id=EVENT,
    organisation="RX001",
    system="theatre",
    operation=Operation.ASSERT,
    recorded_at=RECORDED,
    broker_time=RECEIVED_AT,
    first=True,
)
KEYS = some.text(alphabet="abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26)


def told(**changed: Any) -> dict[str, Any]:
    provenance: dict[str, Any] = orjson.loads(provenance_resource(TOLD._replace(**changed)))
    assert fhirkit.validate(orjson.dumps(provenance).decode()) == []
    return provenance


def test_a_statement_says_who_which_system_when_and_by_which_event() -> None:
    provenance = told()

    organisation, system = provenance["agent"]
    assert organisation["who"]["identifier"] == {"system": ODS_CODE_SYSTEM, "value": "RX001"}
    assert system["who"]["display"] == "theatre"
    assert system["onBehalfOf"] == organisation["who"]
    assert provenance["recorded"] == "2026-10-01T08:30:00.123Z"
    assert provenance["extension"] == [{"url": RECEIVED, "valueInstant": "2026-10-01T08:37:00.123Z"}]
    assert provenance["entity"][0]["what"]["identifier"] == {"system": EVENT_SYSTEM, "value": str(EVENT)}
    assert provenance["target"] == [{"reference": f"Condition/{PERSON}-{RESOURCE}/_history/{EVENT}"}]


@pytest.mark.parametrize(
    ("operation", "first", "activity"),
    [
        (Operation.ASSERT, True, "CREATE"),
        (Operation.ASSERT, False, "UPDATE"),
        (Operation.RETRACT, False, "DELETE"),
        (Operation.RETRACT, True, "DELETE"),
    ],
)
def test_what_was_done_is_a_creation_an_update_or_a_deletion(operation: Operation, first: bool, activity: str) -> None:
    assert told(operation=operation, first=first)["activity"]["coding"][0]["code"] == activity


@given(KEYS, KEYS, some.uuids())
def test_an_id_leads_back_to_the_statement_and_is_an_id_of_fhir(person: str, resource: str, event: UUID) -> None:
    of_person, of_directory = provenance_id(f"{person}-{resource}", event), provenance_id(resource, event)

    assert parse_provenance_id(of_person) == ParsedProvenanceId(person, event, resource[:10])
    assert parse_provenance_id(of_directory) == ParsedProvenanceId(None, event, resource)
    assert is_fhir_id(of_person)
    assert is_fhir_id(of_directory)


@pytest.mark.parametrize("other", ["", "prov-1", f"{PERSON}-{RESOURCE}", f"{PERSON}-{'9' * 26}-{'b' * 10}"])
def test_an_id_in_another_form_stands_for_no_statement(other: str) -> None:
    assert parse_provenance_id(other) is None


def test_a_published_provenance_is_marked_with_who_published_it_and_cannot_mark_itself() -> None:
    forged = {"system": ORIGIN_SYSTEM, "code": "derived"}
    own = {"system": "https://example.org", "code": "x"}
    published = {
        "resourceType": "Provenance",
        "id": "p",
        "meta": {"versionId": "1", "tag": [forged, own]},
        "recorded": "x",
    }

    marked = orjson.loads(marked_as_published(orjson.dumps(published), "RZ9"))

    assert marked["meta"]["versionId"] == "1"
    assert marked["meta"]["tag"][0] == own
    assert [tag["code"] for tag in marked["meta"]["tag"][1:]] == ["published"]
    assert "RZ9" in marked["meta"]["tag"][1]["display"]
    assert {**marked, "meta": None} == {**published, "meta": None}
