"""Entries become events: one about a person, or one for each entry of the directory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from onestory.intake.domain.bundle import Meta, is_organisation_tag
from onestory.intake.domain.item import Item
from onestory.intake.domain.references import Target, Targets, rewrite
from onestory.intake.domain.request import AcceptedEntry, Reception
from onestory.intake.domain.validate import Examination, Examined
from onestory.shared.errors import OneStoryError, Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, Operation, RecordChanged
from onestory.shared.fhir.definitions import directory_types
from onestory.shared.identity import ODS_CODE_SYSTEM, PersonIdentifier

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


def accepted(each: Examined, entry: Entry, event_id: UUID) -> AcceptedEntry:
    """The outcome of an entry that went into an event."""
    return AcceptedEntry(each.item.method, entry.resource_type, entry.shared_id, event_id, entry.content)


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


# A resource's bytes as they travel: its own, with the shared id in front and a tag that names the verified source.
#
# They begin `{"resourceType":"T","id":"I","meta":{`; the projector puts versionId and lastUpdated right behind that.

_META = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IN_FRONT = ("resourceType", "id", "meta")
# The record gives each version its own; the publisher's lastUpdated lives on as recorded_at.
_REPLACED = ("versionId", "lastUpdated", "_versionId", "_lastUpdated")


def assemble(item: Item, meta: Meta, shared_id: str, organisation: str) -> bytes:
    """The content of an entry; its references are still the publisher's."""
    parts: list[bytes | msgspec.Raw] = [
        f'{{"resourceType":"{item.resource_type}","id":"{shared_id}","meta":{{'.encode(),
        _meta(item.members.get("meta"), meta, organisation),
        b"}",
    ]
    for name, raw in item.members.items():
        if name not in _IN_FRONT:
            parts += (b',"', name.encode(), b'":', raw)
    parts.append(b"}")
    return b"".join(parts)


def _meta(raw: msgspec.Raw | None, meta: Meta, organisation: str) -> bytes:
    own = b'{"system":"%b","code":"%b"}' % (ODS_CODE_SYSTEM.encode(), organisation.encode())
    if raw is None:
        return b'"tag":[%b]' % own
    members = {name: bytes(value) for name, value in _META.decode(raw).items() if name not in _REPLACED}
    if "tag" not in members:
        members["tag"] = b"[%b]" % own
    elif not any(is_organisation_tag(tag) for tag in meta.tag):
        members["tag"] = b"%b,%b]" % (members["tag"].rstrip()[:-1], own)
    return b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members.items())


# Items become entries: with shared ids, and with content whose references lead where the record has things.


@dataclass(frozen=True, slots=True)
class Stated:
    """The entries of a statement by their items' place, and the errors of those that could not be stated."""

    entries: dict[int, Entry]
    errors: dict[int, OneStoryError]


def state(items: Sequence[Examined], person: PersonIdentifier | None, examination: Examination) -> Stated:
    """The entries for one person, or for the directory when `person` is None."""
    reception = examination.reception
    person_key = reception.door.keys.person_key(person) if person else None
    shared_ids = {each.item.index: _shared_id(each, person_key, reception) for each in items}

    def patient_id(item: Item) -> str:
        return _patient_id(item, examination)

    targets = Targets(examination.index, examination.people, reception, person_key, shared_ids, patient_id)
    cache: dict[bytes, Target] = {}
    stated = Stated({}, {})
    for each in items:
        try:
            stated.entries[each.item.index] = _entry(each, shared_ids[each.item.index], targets, cache, reception)
        except OneStoryError as error:
            stated.errors[each.item.index] = error
    return stated


def _shared_id(each: Examined, person_key: str | None, reception: Reception) -> str:
    keys, source = reception.door.keys, reception.source
    name = (source.organisation, source.system, each.item.resource_type, each.local_id)
    return keys.shared_id(person_key, *name) if person_key else keys.resource_hash(*name)


def _patient_id(item: Item, examination: Examination) -> str:
    person = examination.people.of_patient(item)
    if person.is_nhs_number:
        return person.value
    examined = examination.fit[item.index]
    return _shared_id(examined, examination.reception.door.keys.person_key(person), examination.reception)


def _entry(each: Examined, shared_id: str, targets: Targets, cache: dict[bytes, Target], reception: Reception) -> Entry:
    item = each.item
    content = None
    if item.operation is Operation.ASSERT:
        assembled = assemble(item, each.meta, shared_id, reception.source.organisation)
        content = rewrite(assembled, item, targets, cache)
    return Entry(item.resource_type, each.local_id, shared_id, each.recorded_at, item.operation, content)
