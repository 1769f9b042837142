"""Events that an earlier release wrote are read, and what they lack has the value that it had then."""

from __future__ import annotations

import io
import json
import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import fastavro
import pytest

from onestory.shared.events import REFERENCE_RULES, DirectoryChanged, Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import schemas_folder

AT = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)
SOURCE = Source("A81001", "emis-web")
PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")
ENTRY = Entry("Location", "l", "location", AT, Operation.ASSERT, b"{}")
EVENTS = [
    RecordChanged(UUID(int=1), SOURCE, PERSON, None, AT, AT, "c", (), (ENTRY,), REFERENCE_RULES),
    DirectoryChanged(UUID(int=2), SOURCE, None, AT, AT, "c", ENTRY, REFERENCE_RULES),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_rules_of_the_references_come_back_as_they_were_written(event: RecordChanged | DirectoryChanged) -> None:
    codec = create_codec()

    assert codec.decode(codec.encode(event)) == event


@pytest.mark.parametrize("name", ["RecordChanged", "DirectoryChanged"])
def test_an_event_of_the_first_schema_has_the_first_rules(name: str) -> None:
    decoded = create_codec().decode(first_schema_bytes(name))

    assert isinstance(decoded, RecordChanged | DirectoryChanged)
    assert decoded.reference_rules == 1


def first_schema_bytes(name: str) -> bytes:
    """Return an event in the bytes of the schema's first version."""
    avro = schemas_folder() / "avro"
    schema_id = json.loads((avro / "ids.json").read_text())[f"{name}.1"]
    entry = {"resource_type": "Location", "local_id": "l", "shared_id": "s", "recorded_at": AT, "operation": "assert"}
    event: dict[str, Any] = {
        "event_id": str(UUID(int=1)),
        "source": {"organisation": "A81001", "system": "emis-web"},
        "person": PERSON._asdict(),
        "recorded_at": AT,
        "published_at": AT,
        "correlation_id": "c",
        "entries": [entry],
        "entry": entry,
    }
    schema = fastavro.parse_schema(json.loads((avro / "history" / f"{name}.1.avsc").read_text()))
    out = io.BytesIO(struct.pack(">bI", 0, schema_id))
    out.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(out, schema, event)
    return out.getvalue()
