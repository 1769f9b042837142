"""A message that is being processed, and what has come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

from onestory.referral.bars import message
from onestory.referral.bars.http import BarsHeaders
from onestory.referral.bars.meaning import Meaning
from onestory.referral.bars.message import BarsMessage, Carried, body_of
from onestory.referral.bars.parse import EVENTS, PROFILE
from onestory.referral.bars.store import Processed
from onestory.referral.lifecycle.handler import CommandRequest
from onestory.shared.events import RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.caller import Caller


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it came: its bytes, what its headers say, from whom and when."""

    body: bytes
    said: BarsHeaders
    caller: Caller
    correlation_id: str
    at: datetime

    @property
    def key(self) -> str:
        """The idempotency key of what it makes new."""
        return f"bars {self.said.request_id}"


Statements = Callable[[bytes, Caller, str, str, datetime], Awaitable[RecordChanged]]
"""What a collection of one person states for the record, one entry for each of its own in their order: the body, who
sends it, its correlation id, an idempotency key, and when it came. Raises what the door of the record refuses with.
"""


@dataclass(frozen=True, slots=True)
class Work:
    """A message with what it states (`event`, an entry for each that it carries). `before` is the message that it is
    about, or the latest of the same thing. `foreign` are the places of what others have said, with its shared ids.
    """

    message: BarsMessage
    meaning: Meaning
    arrived: Arrived
    event: RecordChanged
    before: Processed | None
    foreign: Mapping[int, str]

    @property
    def caller(self) -> Caller:
        """Who sent it."""
        return self.arrived.caller

    @property
    def request(self) -> CommandRequest:
        """Who asks, as commands have it: that a message is processed once is made sure of for all of them together."""
        return CommandRequest(self.caller, self.arrived.correlation_id)

    @property
    def creating(self) -> CommandRequest:
        """The same for what it makes new, whose name follows from X-Request-Id."""
        digest = hashlib.sha256(self.arrived.body).digest()
        return CommandRequest(self.caller, self.arrived.correlation_id, self.arrived.key, digest)

    @property
    def person_key(self) -> str:
        """The key of the person whom it is about."""
        return self.event.entries[self.message.patient.index].shared_id.partition("-")[0]

    def body(self, carried: Carried) -> dict[str, Any]:
        """One of its resources, with references as they lead in the record."""
        named = {self.event.entries[index].shared_id: shared_id for index, shared_id in self.foreign.items()}
        return body_of(self.event.entries[carried.index], named)

    def shared_id(self, carried: Carried) -> str:
        """Under which id one of its resources is in the record."""
        return self.foreign.get(carried.index) or self.event.entries[carried.index].shared_id


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a message. `resource` is the ServiceRequest or Appointment as it stands, as FHIR JSON.

    `owned` are the places of entries that this room keeps itself, with the ids under which it does.
    """

    person_key: str
    resource: bytes
    owned: Mapping[int, str]
    referral_id: str = ""
    appointment_id: str = ""


# The answer to a message that was processed: a message too, with everything under the ids that it has here.

_SYSTEM = f"https://fhir.nhs.uk/CodeSystem/{EVENTS}"


def answer(work: Work, done: Done, base_url: str) -> bytes:
    """The Bundle: MessageHeader with response `ok`, then the ServiceRequest or Appointment, then what was stated."""
    kind = "Appointment" if done.appointment_id else "ServiceRequest"
    about = f"{base_url}/{kind}/{done.appointment_id or done.referral_id}"
    entries = [_entry(f"urn:uuid:{uuid4()}", orjson.dumps(_header(work, about))), _entry(about, done.resource)]
    stated = message.to_state(work.event, {**work.foreign, **done.owned})
    for each in stated.entries if stated else ():
        assert each.content is not None
        entries.append(_entry(f"{base_url}/{each.resource_type}/{each.shared_id}", each.content))
    meta = orjson.dumps({"versionId": work.message.version, "profile": [PROFILE]})
    return b'{"resourceType":"Bundle","id":"%b","meta":%b,"type":"message","timestamp":"%b","entry":[%b]}' % (
        str(uuid4()).encode(),
        meta,
        format_instant(work.arrived.at).encode(),
        b",".join(entries),
    )


def _header(work: Work, about: str) -> dict[str, Any]:
    said = work.message.header.resource
    sender = said.get("source", {}).get("endpoint", "")
    return {
        "resourceType": "MessageHeader",
        "id": str(uuid4()),
        "eventCoding": {"system": _SYSTEM, "code": f"{work.message.event.partition('-')[0]}-response"},
        **({"destination": [{"endpoint": sender}]} if sender else {}),
        "source": {"name": "OneStory", "software": "OneStory", "endpoint": _endpoint(work)},
        "reason": said["reason"],
        "response": {"identifier": work.message.message_id, "code": "ok"},
        "focus": [{"reference": about}],
    }


def _endpoint(work: Work) -> str:
    destinations = work.message.header.resource.get("destination", ())
    return str(destinations[0].get("endpoint", "")) if destinations else ""


def _entry(full_url: str, content: bytes) -> bytes:
    return b'{"fullUrl":%b,"resource":%b}' % (orjson.dumps(full_url), content)
