"""Makes Kafka messages of events: the Avro value, and CloudEvents 1.0 attributes as headers.

The headers follow the Kafka protocol binding in binary mode
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md). A consumer can route
and count messages without decoding them.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from onestory.shared.events import (
    AccessRecorded,
    DirectoryChanged,
    Event,
    Parked,
    RecordChanged,
    ReferralChanged,
    SummaryChanged,
)
from onestory.shared.fhir.dates import format_instant
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.producer import KafkaMessage

RECORD_SERVICE = "/services/record"
REFERRAL_SERVICE = "/services/referral"

Headers = list[tuple[str, bytes]]
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class _Origin(NamedTuple):
    """The id, source and time of an event."""

    id: str
    source: str
    time: datetime


def event_message(topic: str, key: bytes, event: Event, codec: Codec, partition: int | None = None) -> KafkaMessage:
    """Return the message of an event, with its headers. When `partition` is None the key decides it."""
    return KafkaMessage(topic, key, codec.encode(event), event_headers(event, key), partition)


def event_headers(event: Event, key: bytes, traceparent: str = "") -> Headers:
    """Return the CloudEvents attributes of an event, its media type, and its trace if there is one.

    The subject is the key, which names the person or the directory resource. The key of a parked message may be any
    bytes, so the subject of `Parked` is the message's first position: `<topic>/<partition>/<offset>`.
    """
    id_, source, time = _origin(event)
    subject = f"{event.topic}/{event.partition}/{event.offset}" if isinstance(event, Parked) else key.decode()
    kind = _WORD_START.sub("-", type(event).__name__).lower()
    headers = [*_attributes(kind, id_, source, time, subject), ("content-type", b"application/avro")]
    return [*headers, ("traceparent", traceparent.encode())] if traceparent else headers


def tombstone(topic: str, person_key: str, kind: str, event_id: str, time: datetime) -> KafkaMessage:
    """Return the message without a value that removes a person's earlier messages from a compacted topic."""
    return KafkaMessage(topic, person_key.encode(), None, _attributes(kind, event_id, RECORD_SERVICE, time, person_key))


def _attributes(kind: str, event_id: str, source: str, time: datetime, subject: str) -> Headers:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", f"uk.nhs.onestory.{kind}.v1".encode()),
        ("ce_source", source.encode()),
        ("ce_time", format_instant(time).encode()),
        ("ce_subject", subject.encode()),
    ]


def _origin(event: Event) -> _Origin:
    match event:
        case RecordChanged() | DirectoryChanged():
            source = f"/organisations/{event.source.organisation}/systems/{event.source.system}"
            return _Origin(str(event.event_id), source, event.published_at)
        case ReferralChanged():
            return _Origin(str(event.event_id), REFERRAL_SERVICE, event.occurred_at)
        case SummaryChanged():
            return _Origin(str(event.event_id), RECORD_SERVICE, event.summarised_at)
        case AccessRecorded():
            return _Origin(str(event.access_id), RECORD_SERVICE, event.occurred_at)
        case Parked():
            # A replay that is parked again is another event about the same parked message.
            return _Origin(f"{event.parked_id}/{event.attempts}", RECORD_SERVICE, event.parked_at)
