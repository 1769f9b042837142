"""Entries become events: one about a person, or one for each entry of the directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID, uuid5

from onestory.intake.domain.examination import Examined
from onestory.intake.domain.submission import Accepted, Reception
from onestory.shared.errors import Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, RecordChanged
from onestory.shared.fhir.definitions import directory_types
from onestory.shared.identity import PersonIdentifier

NewId = Callable[[], UUID]

# The namespace of event ids that follow from an idempotency key (RFC 9562, UUIDv5). Fixed for ever: a repetition years
# later must meet its event.
_KEYED = UUID("5b0d8f9e-6c0f-4e1c-9a7e-0f3d6f0c2a11")


def person_event(
    entries: Sequence[Entry], person: PersonIdentifier, recorded_at: datetime, reception: Reception, new_id: NewId
) -> RecordChanged:
    """The event that says these entries of the person."""
    return RecordChanged(
        event_id=_event_id(reception, new_id, *person),
        source=reception.source,
        person=person,
        sequence=reception.sequence,
        recorded_at=recorded_at,
        published_at=reception.received_at,
        correlation_id=reception.correlation_id,
        complete_types=reception.complete_types,
        entries=tuple(entries),
    )


def directory_event(entry: Entry, reception: Reception, new_id: NewId) -> DirectoryChanged:
    """The event that says this entry to the directory."""
    return DirectoryChanged(
        event_id=_event_id(reception, new_id, entry.resource_type, entry.local_id),
        source=reception.source,
        sequence=reception.sequence,
        recorded_at=entry.recorded_at,
        published_at=reception.received_at,
        correlation_id=reception.correlation_id,
        entry=entry,
    )


def accepted(each: Examined, entry: Entry, event_id: UUID) -> Accepted:
    """The outcome of an entry that went into an event."""
    return Accepted(each.item.method, entry.resource_type, entry.shared_id, event_id, entry.content)


def refuse_outside_directory(each: Examined) -> None:
    """Raise `Unprocessable` for a resource that must be about a person, and names nobody."""
    kind = each.item.resource_type
    if kind not in directory_types():
        raise Unprocessable(
            f"This {kind} names nobody: include the person's Patient, or reference Patient/<NHS number>, or give an "
            "identifier with the NHS number where it says whose it is.",
            code="required",
            expression=each.item.path,
        )


def refuse_whole_list(reception: Reception) -> None:
    """Raise `Unprocessable` if this was said to be the whole list of something: only one person's record has that."""
    if reception.complete_types:
        says = "X-Complete-Types is about one person: send a submission for each person, or leave it out."
        raise Unprocessable(says, code="business-rule")


def _event_id(reception: Reception, new_id: NewId, *about: str) -> UUID:
    if not reception.idempotency_key:
        return new_id()
    source = reception.source
    return uuid5(_KEYED, "\0".join((source.organisation, source.system, reception.idempotency_key, *about)))
