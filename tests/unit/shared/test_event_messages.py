"""Each event goes to Kafka with CloudEvents 1.0 attributes as headers, whichever topic it is for."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from tests.referral_events import Made

from onestory.shared.events import (
    AccessRecorded,
    DirectoryChanged,
    Entry,
    Event,
    Operation,
    Parked,
    RecordChanged,
    Source,
    SummaryChanged,
)
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.messages import event_message, tombstone
from onestory.shared.kafka.schemas import topics
from onestory.shared.postgres.outbox import stored_headers

ID = UUID("01890000-0000-7000-8000-000000000001")
AT = datetime(2026, 11, 30, 9, 30, tzinfo=UTC)
PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")
SOURCE = Source("A81001", "emis")
KEYS = Keys(b"a secret of this test")
KEY = KEYS.person_key(PERSON).encode()
REFERRAL = Made(KEYS, PERSON).change(ID, 1, "requested", AT)
EVENTS: dict[str, tuple[Event, str, str, str, str]] = {
    "care.record": (
        RecordChanged(ID, SOURCE, PERSON, None, AT, AT, "c", (), ()),
        str(ID),
        "record-changed",
        "/organisations/A81001/systems/emis",
        KEY.decode(),
    ),
    "care.directory": (
        DirectoryChanged(ID, SOURCE, None, AT, AT, "c", Entry("Device", "d", "x", AT, Operation.RETRACT, None)),
        str(ID),
        "directory-changed",
        "/organisations/A81001/systems/emis",
        KEY.decode(),
    ),
    "care.parked": (
        Parked(ID, "not-decodable", "why", "care.record", 3, 7, None, b"\xff", b"\xff", 2, AT),
        f"{ID}/2",
        "parked",
        "/services/record",
        "care.record/3/7",
    ),
    "care.access": (
        AccessRecorded(ID, "k", AT, "A81001", "s", "r", "p", "read", (), "all", "why", "c"),
        str(ID),
        "access-recorded",
        "/services/record",
        KEY.decode(),
    ),
    "care.summary": (
        SummaryChanged(ID, PERSON, "", "d", (), AT, None, b"{}"),
        str(ID),
        "summary-changed",
        "/services/record",
        KEY.decode(),
    ),
    "care.referral": (
        REFERRAL,
        str(REFERRAL.event_id),
        "referral-changed",
        "/services/referral",
        KEY.decode(),
    ),
}


@pytest.mark.parametrize("topic", sorted(topics()))
def test_a_message_of_each_topic_names_its_event_source_time_and_subject(topic: str) -> None:
    event, event_id, kind, source, subject = EVENTS[topic]
    key = b"\xff" if isinstance(event, Parked) else KEY

    message = event_message(topic, key, event, create_codec())

    assert (message.topic, message.key) == (topic, key)
    assert create_codec().decode(message.value or b"") == event
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": event_id.encode(),
        "ce_type": f"uk.nhs.onestory.{kind}.v1".encode(),
        "ce_source": source.encode(),
        "ce_time": b"2026-11-30T09:30:00.000Z",
        "ce_subject": subject.encode(),
        "content-type": b"application/avro",
    }


def test_a_tombstone_has_headers_and_no_value() -> None:
    message = tombstone("care.summary", KEY.decode(), "summary-removed", str(ID), AT)

    assert (message.key, message.value) == (KEY, None)
    assert dict(message.headers)["ce_type"] == b"uk.nhs.onestory.summary-removed.v1"
    assert dict(message.headers)["ce_subject"] == KEY
    assert "content-type" not in dict(message.headers)


def test_the_outbox_stores_headers_in_their_order() -> None:
    assert stored_headers([("b", b"1"), ("a", "é".encode())]) == '{"b":"1","a":"é"}'
