"""A message that takes a mistake back: what is left of its own content, and the statements that it retracts. Pure.

A referral of the wrong person carried clinical content of somebody else. The content goes with the referral.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec

from onestory.referral.bars.message import BarsMessage, MessageEntry
from onestory.referral.bars.parse import MESSAGE_PROFILE
from onestory.shared.events import Entry, Operation, RecordChanged
from onestory.shared.identity import PersonIdentifier

# The elements of a deletion that show which message is taken back, and who sends it.
_KEPT = {
    "MessageHeader": ("eventCoding", "eventUri", "definition", "reason", "source", "focus", "sender"),
    "Patient": ("identifier",),
    "Organization": ("identifier", "name"),
    "ServiceRequest": ("status", "intent", "subject"),
    "Appointment": ("status", "cancelationReason", "start", "end"),
}


class StatedResource(NamedTuple):
    """A resource that a message stated under an id that it got here."""

    resource_type: str
    local_id: str
    shared_id: str


def reduced_deletion(message: BarsMessage) -> bytes:
    """The deletion with its MessageHeader, Patient, focus and sender only, without references to anything else."""
    sender = message.resolve(message.header.resource.get("sender"), message.header, "sender")
    kept = [message.header, message.patient, message.focus, *([sender] if sender else [])]
    entries = [
        {"fullUrl": entry.full_url, "resource": _reduced(message, entry, has_sender=sender is not None)}
        for entry in kept
    ]
    bundle = {
        "resourceType": "Bundle",
        "id": message.message_id,
        "meta": {"versionId": message.version, "profile": [MESSAGE_PROFILE]},
        "type": "message",
        "entry": entries,
    }
    return msgspec.json.encode(bundle)


def _reduced(message: BarsMessage, entry: MessageEntry, *, has_sender: bool) -> dict[str, Any]:
    kept = ("resourceType", "id", *_KEPT.get(entry.resource_type, ()))
    resource = {name: value for name, value in entry.resource.items() if name in kept}
    if entry.resource_type == "MessageHeader" and not has_sender:
        resource.pop("sender", None)
    if entry.resource_type == "Appointment":
        patient = {"reference": message.patient.full_url}
        resource["participant"] = [{"actor": patient, "status": "declined"}]
    return resource


def stated_by(message: BarsMessage, event: RecordChanged | None, request_id: UUID) -> list[StatedResource]:
    """The resources in the message's event for the record whose ids were made for it, and are used nowhere else."""
    made = {str(uuid5(request_id, entry.full_url)) for entry in message.entries}
    entries: Sequence[Entry] = event.entries if event else ()
    return [
        StatedResource(entry.resource_type, entry.local_id, entry.shared_id)
        for entry in entries
        if entry.local_id in made
    ]


def retraction(
    event: RecordChanged, event_id: UUID, person: PersonIdentifier, stated: Iterable[StatedResource], at: datetime
) -> RecordChanged:
    """The sender's event that retracts these resources of a person. `event` is that of the deletion."""
    entries = tuple(
        Entry(each.resource_type, each.local_id, each.shared_id, at, Operation.RETRACT, None)
        for each in dict.fromkeys(stated)
    )
    return replace(event, event_id=event_id, person=person, complete_types=(), entries=entries)
