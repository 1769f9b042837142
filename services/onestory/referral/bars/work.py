"""The data of one message while it is processed, its result, and the response that its sender gets."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from onestory.referral.bars import message
from onestory.referral.bars.http import BarsHeaders
from onestory.referral.bars.meaning import Meaning
from onestory.referral.bars.message import BarsMessage, MessageEntry, entry_body
from onestory.referral.bars.parse import EVENT_SYSTEM, MESSAGE_PROFILE
from onestory.referral.bars.store import ProcessedMessage
from onestory.referral.lifecycle.handler import CommandRequest
from onestory.shared.errors import Issue
from onestory.shared.events import RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.policy import Caller

# The warnings in a response: one OperationOutcome, which its MessageHeader refers to.
_OUTCOME_URL = "urn:uuid:7f0c6a52-0d5a-4f5e-8a57-5d0f1a6c3b11"
_EVENT_SYSTEM_URL = f"https://fhir.nhs.uk/CodeSystem/{EVENT_SYSTEM}"

BuildRecordEvent = Callable[[bytes, Caller, str, str, datetime], Awaitable[RecordChanged]]
"""Makes the record's event of a collection Bundle, with one entry for each of the Bundle's, in order.

The arguments are the Bundle, the sender, the correlation id, an idempotency key, and the time of arrival. Raises the
errors with which the intake service refuses a submission.
"""


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message as received: its bytes, its headers, its sender, and the time of arrival."""

    body: bytes
    headers: BarsHeaders
    caller: Caller
    correlation_id: str
    at: datetime

    @property
    def idempotency_key(self) -> str:
        """The idempotency key of the resources that the message creates."""
        return f"bars {self.headers.request_id}"


@dataclass(frozen=True, slots=True)
class MessageWork:
    """A message that is being processed. `event` is its statement for the record, with one entry for each of its own.

    `earlier` is the message that this one is about, or the latest about the same referral or booking. `foreign_ids`
    has, by index, the shared ids of entries that other sources have stated. The sender gets the `warnings`.
    """

    message: BarsMessage
    meaning: Meaning
    incoming: IncomingMessage
    event: RecordChanged
    earlier: ProcessedMessage | None
    foreign_ids: Mapping[int, str]
    warnings: Sequence[Issue] = ()

    @property
    def caller(self) -> Caller:
        """The sender."""
        return self.incoming.caller

    @property
    def is_mistake(self) -> bool:
        """Whether the message says that an earlier one was a mistake: then it states nothing itself."""
        if self.meaning is Meaning.CANCEL_BOOKING:
            ended_as = self.message.focus.resource.get("status")
            return self.message.reason == "delete" or ended_as == "entered-in-error"
        return self.meaning is Meaning.CORRECT

    @property
    def request(self) -> CommandRequest:
        """The sender as the requester of commands. It has no idempotency key, because a message is processed once."""
        return CommandRequest(self.caller, self.incoming.correlation_id)

    @property
    def create_request(self) -> CommandRequest:
        """The same, with the idempotency key from which the id of a new referral follows."""
        digest = hashlib.sha256(self.incoming.body).digest()
        return CommandRequest(self.caller, self.incoming.correlation_id, self.incoming.idempotency_key, digest)

    @property
    def person_key(self) -> str:
        """The person key of the message's Patient."""
        return self.event.entries[self.message.patient.index].shared_id.partition("-")[0]

    @property
    def carried_ids(self) -> tuple[str, ...]:
        """The shared ids of the message's resources: the team that it asks may read all of them."""
        return tuple(self.shared_id(entry) for entry in self.message.entries if entry is not self.message.focus)

    def resource_body(self, entry: MessageEntry) -> dict[str, Any]:
        """The resource of one entry, with its references as in the record."""
        new_ids = {self.event.entries[index].shared_id: shared_id for index, shared_id in self.foreign_ids.items()}
        return entry_body(self.event.entries[entry.index], new_ids)

    def shared_id(self, entry: MessageEntry) -> str:
        """The id that the resource of one entry has in the record."""
        return self.foreign_ids.get(entry.index) or self.event.entries[entry.index].shared_id


@dataclass(frozen=True, slots=True)
class MessageResult:
    """The result of a message. `resource` is the ServiceRequest or Appointment after the change, as FHIR JSON.

    `owned_ids` has, by index, the shared ids of the entries that the referral service owns.
    """

    person_key: str
    resource: bytes
    owned_ids: Mapping[int, str]
    referral_id: str = ""
    appointment_id: str = ""


def response_bundle(work: MessageWork, result: MessageResult, base_url: str) -> bytes:
    """The response to a message: a message Bundle whose entries have the ids of OneStory.

    It has a MessageHeader with response `ok`, the ServiceRequest or Appointment, and the resources for the record.
    """
    kind = "Appointment" if result.appointment_id else "ServiceRequest"
    about = f"{base_url}/{kind}/{result.appointment_id or result.referral_id}"
    entries = [_entry(f"urn:uuid:{uuid4()}", orjson.dumps(_header(work, about))), _entry(about, result.resource)]
    owned = {**work.foreign_ids, **result.owned_ids}
    stated = None if work.is_mistake else message.record_event(work.event, owned)
    for entry in stated.entries if stated else ():
        assert entry.content is not None
        entries.append(_entry(f"{base_url}/{entry.resource_type}/{entry.shared_id}", entry.content))
    if work.warnings:
        entries.append(_entry(_OUTCOME_URL, operation_outcome(work.warnings)))
    meta = orjson.dumps({"versionId": work.message.version, "profile": [MESSAGE_PROFILE]})
    return b'{"resourceType":"Bundle","id":"%b","meta":%b,"type":"message","timestamp":"%b","entry":[%b]}' % (
        str(uuid4()).encode(),
        meta,
        format_instant(work.incoming.at).encode(),
        b",".join(entries),
    )


def _header(work: MessageWork, about: str) -> dict[str, Any]:
    header = work.message.header.resource
    sender = header.get("source", {}).get("endpoint", "")
    return {
        "resourceType": "MessageHeader",
        "id": str(uuid4()),
        "eventCoding": {"system": _EVENT_SYSTEM_URL, "code": f"{work.message.event.partition('-')[0]}-response"},
        **({"destination": [{"endpoint": sender}]} if sender else {}),
        "source": {"name": "OneStory", "software": "OneStory", "endpoint": _own_endpoint(work)},
        "reason": header["reason"],
        "response": {
            "identifier": work.message.message_id,
            "code": "ok",
            **({"details": {"reference": _OUTCOME_URL}} if work.warnings else {}),
        },
        "focus": [{"reference": about}],
    }


def _own_endpoint(work: MessageWork) -> str:
    destinations = work.message.header.resource.get("destination", ())
    return str(destinations[0].get("endpoint", "")) if destinations else ""


def _entry(full_url: str, content: bytes) -> bytes:
    return b'{"fullUrl":%b,"resource":%b}' % (orjson.dumps(full_url), content)
