"""A content that cannot be read is parked, and does not stop the projector."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from onestory.record.parking.park import Parking
from onestory.record.projector.handler import RecordProjector
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.record.projector.store import _names_person
from onestory.shared.events import ConsumedMessage, DirectoryChanged, Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC

KEYS = Keys(b"secret of the tests")
SOURCE = Source("A81001", "emis")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")
ODD_VALUES = {
    "nested lists": b"[" * 1_100 + b"]" * 1_100,
    "nested objects": b'{"a":' * 600 + b"1" + b"}" * 600,
    "much nested objects": b'{"a":' * 1_100 + b"1" + b"}" * 1_100,
    "a number beyond every double": b"1e999",
    "such a number in a valid extension": b'[{"url":"http://x","valueDecimal":1e999}]',
    "half a surrogate": rb'"\ud800"',
    "no value": b"",
}


def directory_message(resource_type: str, value: bytes) -> ConsumedMessage:
    shared_id = KEYS.resource_hash(SOURCE.organisation, SOURCE.system, resource_type, "l1")
    content = b'{"resourceType":"%b","id":"%b","meta":{},"extension":%b}' % (
        resource_type.encode(),
        shared_id.encode(),
        value,
    )
    entry = Entry(resource_type, "l1", shared_id, BEGAN, Operation.ASSERT, content)
    event = DirectoryChanged(UUID(int=1), SOURCE, None, BEGAN, BEGAN, "test", entry)
    return ConsumedMessage(DIRECTORY_TOPIC, 0, 0, BEGAN, shared_id.encode(), b"", event)


def projector() -> RecordProjector:
    metrics = ProjectorMetrics(CollectorRegistry())
    return RecordProjector(KEYS, [], Parking(create_codec(), metrics, 10), metrics, 20)


@pytest.mark.parametrize("resource_type", ["Location", "Organization"])
@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
def test_a_directory_resource_with_an_odd_value_stops_nothing(resource_type: str, value: bytes) -> None:
    batch = projector().prepare([directory_message(resource_type, value)])

    assert [refused.error.issues[0].code for refused in batch.refused] == ["content-form"]
    assert batch.ready == []


@pytest.mark.parametrize("resource_type", ["Patient", "Condition"])
@pytest.mark.parametrize("element", ["extension", "security", "identifier", "link"])
@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
def test_a_statement_about_a_person_with_an_odd_value_stops_nothing(
    resource_type: str, element: str, value: bytes
) -> None:
    key = KEYS.person_key(PERSON)
    shared_id = f"{key}-{KEYS.resource_hash(SOURCE.organisation, SOURCE.system, resource_type, 'l1')}"
    begin = f'{{"resourceType":"{resource_type}","id":"{shared_id}","meta":{{'.encode()
    content = begin + (b'"security":%b}}' if element == "security" else b'},"' + element.encode() + b'":%b}') % value
    entry = Entry(resource_type, "l1", shared_id, BEGAN, Operation.ASSERT, content)
    event = RecordChanged(UUID(int=1), SOURCE, PERSON, None, BEGAN, BEGAN, "test", (), (entry,))
    batch = projector().prepare([ConsumedMessage(RECORD_TOPIC, 0, 0, BEGAN, key.encode(), b"", event)])

    assert len(batch.ready) + len(batch.refused) == 1
    assert [refused.error.issues[0].code for refused in batch.refused] in ([], ["content-form"])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a":' * 600 + b"1" + b"}" * 600, b"1e999"])
def test_a_stored_content_that_cannot_be_read_is_removed_like_one_with_a_person(content: bytes) -> None:
    assert _names_person(content)
    assert not _names_person(b'{"resourceType":"Organization","name":"Harbour"}')
