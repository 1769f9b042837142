"""Provenance of a statement: who said it, by which system, when, and by which event.

FHIR R4, http://hl7.org/fhir/R4/provenance.html. Nothing is kept for it: it follows from the statement.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from onestory.shared.events import Operation
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

EVENT_SYSTEM = "https://onestory.nhs.uk/Id/event"
"""Of the event ids that a publish is answered with (X-OneStory-Event-Id)."""
RECEIVED = "https://onestory.nhs.uk/StructureDefinition/provenance-received"
"""Extension on Provenance: when Kafka had the statement, which is what `_since` and as-of go by."""

_OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_NAME = "[a-z2-7]{26}"
_OF_PERSON = re.compile(rf"(?P<person>{_NAME})-(?P<event>{_NAME})-(?P<resource>[a-z2-7]{{10}})")
_OF_DIRECTORY = re.compile(rf"directory-(?P<resource>{_NAME})-(?P<event>{_NAME})")
_HASH_SHOWN = 10


class StatementOrigin(NamedTuple):
    """A statement as its provenance tells it. `first`: nothing older is known of its resource."""

    resource_type: str
    shared_id: str
    event_id: UUID
    organisation: str
    system: str
    operation: Operation
    recorded_at: datetime
    broker_time: datetime
    first: bool


class Named(NamedTuple):
    """The statement that an id of ours stands for. `person_key` is None in the directory.

    `resource` begins the resource's hash: an id has no room for more, and one event hardly ever says two resources that
    begin alike.
    """

    person_key: str | None
    event_id: UUID
    resource: str


def provenance_id(shared_id: str, event_id: UUID) -> str:
    """The id of the Provenance of one statement: at most 64 characters, and it leads to the person without a lookup."""
    event = base64.b32encode(event_id.bytes).decode().rstrip("=").lower()
    person_key, dash, resource = shared_id.partition("-")
    return f"{person_key}-{event}-{resource[:_HASH_SHOWN]}" if dash else f"directory-{shared_id}-{event}"


def named(provenance: str) -> Named | None:
    """The statement behind such an id, else None."""
    of_person, of_directory = _OF_PERSON.fullmatch(provenance), _OF_DIRECTORY.fullmatch(provenance)
    match = of_person or of_directory
    if match is None:
        return None
    try:
        event_id = UUID(bytes=base64.b32decode(match["event"].upper() + "======"))
    except (binascii.Error, ValueError):
        return None
    return Named(match["person"] if of_person else None, event_id, match["resource"])


def provenance_of(told: StatementOrigin) -> bytes:
    """The Provenance resource, as JSON bytes. The same statement has the same, whenever it is asked for."""
    body = {
        "resourceType": "Provenance",
        "id": provenance_id(told.shared_id, told.event_id),
        "meta": {"versionId": str(told.event_id), "lastUpdated": format_instant(told.broker_time)},
        "extension": [{"url": RECEIVED, "valueInstant": format_instant(told.broker_time)}],
        "target": [{"reference": f"{told.resource_type}/{told.shared_id}/_history/{told.event_id}"}],
        "recorded": format_instant(told.recorded_at),
        "activity": {"coding": [{"system": _OPERATIONS, "code": _activity(told)}]},
        "agent": _agents(told),
        "entity": [{"role": "source", "what": {"identifier": {"system": EVENT_SYSTEM, "value": str(told.event_id)}}}],
    }
    return orjson.dumps(body)


def _activity(told: StatementOrigin) -> str:
    if told.operation is Operation.RETRACT:
        return "DELETE"
    return "CREATE" if told.first else "UPDATE"


def _agents(told: StatementOrigin) -> list[dict[str, Any]]:
    """The organisation whose statement it is, and the system that sent it on its behalf."""
    organisation = {"type": "Organization", "identifier": {"system": ODS_CODE_SYSTEM, "value": told.organisation}}
    system = {"type": "Device", "display": told.system}
    return [
        {"type": _participant("author"), "who": organisation},
        {"type": _participant("assembler"), "who": system, "onBehalfOf": organisation},
    ]


def _participant(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _PARTICIPANTS, "code": code}]}
