"""A message that is being processed, and what has come of it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onestory.referral.bars.domain.carrying import body_of
from onestory.referral.bars.domain.headers import Said
from onestory.referral.bars.domain.meaning import Meaning
from onestory.referral.bars.domain.message import Carried, Message
from onestory.referral.bars.store.messages import Processed
from onestory.referral.handler import Request
from onestory.shared.caller import Caller
from onestory.shared.events import RecordChanged


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it came: its bytes, what its headers say, from whom and when."""

    body: bytes
    said: Said
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

    message: Message
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
    def request(self) -> Request:
        """Who asks, as commands have it: that a message is processed once is made sure of for all of them together."""
        return Request(self.caller, self.arrived.correlation_id)

    @property
    def creating(self) -> Request:
        """The same for what it makes new, whose name follows from X-Request-Id."""
        digest = hashlib.sha256(self.arrived.body).digest()
        return Request(self.caller, self.arrived.correlation_id, self.arrived.key, digest)

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
