"""The Provenance of a statement: its source, its times and its event. It follows from the statement and is not stored.

FHIR R4, http://hl7.org/fhir/R4/provenance.html. Pure.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson

from onestory.shared.events import Operation
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

EVENT_SYSTEM = "https://onestory.nhs.uk/Id/event"
"""The identifier system of event ids, which a publish answers with in X-OneStory-Event-Id."""
RECEIVED = "https://onestory.nhs.uk/StructureDefinition/provenance-received"
"""Extension on Provenance: the broker time of the statement. `_since` and reads as of a time use this time."""

ORIGIN_SYSTEM = "https://onestory.nhs.uk/CodeSystem/provenance-origin"
"""The system of the tag that marks a published Provenance. `schemas/fhir` defines its codes."""

_OPERATIONS = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_KEY_PATTERN = "[a-z2-7]{26}"
_PERSON_STATEMENT_ID = re.compile(rf"(?P<person>{_KEY_PATTERN})-(?P<event>{_KEY_PATTERN})-(?P<resource>[a-z2-7]{{10}})")
_DIRECTORY_STATEMENT_ID = re.compile(rf"directory-(?P<resource>{_KEY_PATTERN})-(?P<event>{_KEY_PATTERN})")
_HASH_LENGTH = 10


class StatementOrigin(NamedTuple):
    """The facts of a statement that its Provenance shows. `first`: no older statement of the resource is known."""

    resource_type: str
    shared_id: str
    event_id: UUID
    organisation: str
    system: str
    operation: Operation
    recorded_at: datetime
    broker_time: datetime
    first: bool


class ParsedProvenanceId(NamedTuple):
    """The statement that the id of a Provenance stands for. `person_key` is None in the directory.

    `resource` is the beginning of the resource's hash, because an id has no room for more. Two resources of one event
    hardly ever begin alike.
    """

    person_key: str | None
    event_id: UUID
    resource: str


def provenance_id(shared_id: str, event_id: UUID) -> str:
    """The id of a statement's Provenance, of at most 64 characters. It begins with the person key, so no lookup is
    needed.
    """
    event = base64.b32encode(event_id.bytes).decode().rstrip("=").lower()
    person_key, dash, resource = shared_id.partition("-")
    return f"{person_key}-{event}-{resource[:_HASH_LENGTH]}" if dash else f"directory-{shared_id}-{event}"


def parse_provenance_id(provenance: str) -> ParsedProvenanceId | None:
    """The parts of such an id; None for any other text."""
    of_person, of_directory = _PERSON_STATEMENT_ID.fullmatch(provenance), _DIRECTORY_STATEMENT_ID.fullmatch(provenance)
    match = of_person or of_directory
    if match is None:
        return None
    try:
        event_id = UUID(bytes=base64.b32decode(match["event"].upper() + "======"))
    except (binascii.Error, ValueError):
        return None
    return ParsedProvenanceId(match["person"] if of_person else None, event_id, match["resource"])


def provenance_resource(origin: StatementOrigin) -> bytes:
    """The Provenance resource, as JSON bytes. The same statement always gives the same bytes."""
    body = {
        "resourceType": "Provenance",
        "id": provenance_id(origin.shared_id, origin.event_id),
        "meta": {"versionId": str(origin.event_id), "lastUpdated": format_instant(origin.broker_time)},
        "extension": [{"url": RECEIVED, "valueInstant": format_instant(origin.broker_time)}],
        "target": [{"reference": f"{origin.resource_type}/{origin.shared_id}/_history/{origin.event_id}"}],
        "recorded": format_instant(origin.recorded_at),
        "activity": {"coding": [{"system": _OPERATIONS, "code": _activity(origin)}]},
        "agent": _agents(origin),
        "entity": [{"role": "source", "what": {"identifier": {"system": EVENT_SYSTEM, "value": str(origin.event_id)}}}],
    }
    return orjson.dumps(body)


def marked_as_published(provenance: bytes, organisation: str) -> bytes:
    """A published Provenance with a tag that names the organisation that published it. All else keeps its bytes."""
    members: dict[str, Any] = msgspec.json.decode(provenance, type=dict[str, msgspec.Raw])
    meta: dict[str, Any] = orjson.loads(bytes(members.get("meta", b"{}")))
    tag = {
        "system": ORIGIN_SYSTEM,
        "code": "published",
        "display": f"Published by {organisation}. OneStory has not checked it.",
    }
    # A source must not set this tag itself.
    others = [each for each in meta.get("tag", ()) if each.get("system") != ORIGIN_SYSTEM]
    return msgspec.json.encode({**members, "meta": {**meta, "tag": [*others, tag]}})


def _activity(origin: StatementOrigin) -> str:
    if origin.operation is Operation.RETRACT:
        return "DELETE"
    return "CREATE" if origin.first else "UPDATE"


def _agents(origin: StatementOrigin) -> list[dict[str, Any]]:
    """The organisation that states, as author, and the system that sent it on its behalf, as assembler."""
    organisation = {"type": "Organization", "identifier": {"system": ODS_CODE_SYSTEM, "value": origin.organisation}}
    system = {"type": "Device", "display": origin.system}
    return [
        {"type": _participant("author"), "who": organisation},
        {"type": _participant("assembler"), "who": system, "onBehalfOf": organisation},
    ]


def _participant(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _PARTICIPANTS, "code": code}]}
