"""Events as Kafka messages: key, Avro value, CloudEvents 1.0 attributes and trace context in headers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from onestory.shared.contracts.codec import Codec
from onestory.shared.contracts.topics import DIRECTORY, RECORD, Topic
from onestory.shared.errors import TooLarge
from onestory.shared.events import DirectoryChanged, RecordChanged
from onestory.shared.fhir.instants import format_instant
from onestory.shared.identity import Keys
from onestory.shared.producer import Message


class Messages:
    """Makes messages of events."""

    def __init__(self, codec: Codec, keys: Keys, topics: Mapping[str, Topic]) -> None:
        self._codec = codec
        self._keys = keys
        self._topics = topics

    def of(self, event: RecordChanged | DirectoryChanged, traceparent: str) -> Message:
        """The message, within one trace or beginning one. Raises `TooLarge` for more than its topic takes."""
        if isinstance(event, RecordChanged):
            topic, kind, subject = RECORD, "record-changed", self._keys.person_key(event.person)
        else:
            topic, kind, subject = DIRECTORY, "directory-changed", event.entry.shared_id
        value = self._codec.encode(event)
        if len(value) > self._topics[topic].max_message_bytes:
            raise TooLarge("What is said of one person is too large for one message: split it.")
        attributes = {
            "ce_specversion": "1.0",
            "ce_id": str(event.event_id),
            "ce_type": f"uk.nhs.onestory.{kind}.v1",
            "ce_source": f"/organisations/{event.source.organisation}/systems/{event.source.system}",
            "ce_time": format_instant(event.published_at),
            "ce_subject": subject,
            "content-type": "application/avro",
            "traceparent": traceparent or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00",
        }
        return Message(topic, subject.encode(), value, [(name, text.encode()) for name, text in attributes.items()])
