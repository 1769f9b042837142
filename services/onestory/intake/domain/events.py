"""Builds entries from valid items, and events from entries: one for a person, or one for each directory entry.

`validate.py` comes before this, and `intake/publish.py` sends the events. `references.py` rewrites the references
and links in an entry's content.

The content of an entry begins `{"resourceType":"T","id":"<shared id>","meta":{`. The projector inserts versionId and
lastUpdated right after that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid5

import msgspec

from onestory.intake.domain.bundle import Meta, is_organisation_tag
from onestory.intake.domain.conditions import MatchedResource
from onestory.intake.domain.item import Item
from onestory.intake.domain.references import ReferenceTargets, rewrite
from onestory.intake.domain.request import AcceptedEntry, ExistingEntry, SubmissionContext
from onestory.intake.domain.validate import SubmissionValidation, ValidItem
from onestory.shared.errors import OneStoryError, Unprocessable
from onestory.shared.events import REFERENCE_RULES, DirectoryChanged, Entry, Operation, RecordChanged
from onestory.shared.fhir.definitions import directory_types
from onestory.shared.fhir.persons import person_in
from onestory.shared.identity import ODS_CODE_SYSTEM, PersonIdentifier

NewId = Callable[[], UUID]

# The namespace of event ids that follow from an idempotency key (RFC 9562, UUIDv5). It must never change: a repetition
# years later must give the same event id.
_EVENT_ID_NAMESPACE = UUID("5b0d8f9e-6c0f-4e1c-9a7e-0f3d6f0c2a11")
_META = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WRITTEN_FIRST = ("resourceType", "id", "meta")
# The record gives each version its own. The publisher's lastUpdated is kept as recorded_at.
_REPLACED = ("versionId", "lastUpdated", "_versionId", "_lastUpdated")


@dataclass(frozen=True, slots=True)
class BuiltEntries:
    """The entries of one statement, and the errors of items that could not become one. Both are by item index."""

    entries: dict[int, Entry]
    errors: dict[int, OneStoryError]


def build_entries(
    items: Sequence[ValidItem], person: PersonIdentifier | None, validation: SubmissionValidation
) -> BuiltEntries:
    """Return the entries for one person, or for the directory when `person` is None.

    Items that exist already become no entry. References lead to their shared ids.
    """
    context = validation.context
    person_key = context.deployment.keys.person_key(person) if person else None
    shared_ids = {item.item.index: _shared_id(item, person_key, context) for item in items}

    def patient_id(item: Item) -> str:
        return _patient_id(item, validation)

    targets = ReferenceTargets(
        validation.index, validation.people, validation.earlier, context, person_key, shared_ids, patient_id
    )
    built = BuiltEntries({}, {})
    for item in items:
        index = item.item.index
        if item.existing:
            continue
        try:
            built.entries[index] = _entry(item, shared_ids[index], targets, context)
        except OneStoryError as error:
            built.errors[index] = error
    return built


def _shared_id(valid_item: ValidItem, person_key: str | None, context: SubmissionContext) -> str:
    keys, source = context.deployment.keys, context.source
    if valid_item.existing:
        return valid_item.existing.shared_id
    name = (source.organisation, source.system, valid_item.item.resource_type, valid_item.local_id)
    return keys.shared_id(person_key, *name) if person_key else keys.resource_hash(*name)


def _patient_id(item: Item, validation: SubmissionValidation) -> str:
    person = validation.people.person_of_patient(item)
    if person.is_nhs_number:
        return person.value
    valid_item = validation.valid[item.index]
    return _shared_id(valid_item, validation.context.deployment.keys.person_key(person), validation.context)


def _entry(
    valid_item: ValidItem,
    shared_id: str,
    targets: ReferenceTargets,
    context: SubmissionContext,
) -> Entry:
    item = valid_item.item
    content = None
    if item.operation is Operation.ASSERT:
        assembled = assemble_content(item, valid_item.meta, shared_id, context.source.organisation)
        content = rewrite(assembled, item, targets)
    return Entry(item.resource_type, valid_item.local_id, shared_id, valid_item.recorded_at, item.operation, content)


def assemble_content(item: Item, meta: Meta, shared_id: str, organisation: str) -> bytes:
    """Return the resource's bytes with the shared id, and with a tag that names the verified source.

    The references are still the publisher's.
    """
    parts: list[bytes | msgspec.Raw] = [
        f'{{"resourceType":"{item.resource_type}","id":"{shared_id}","meta":{{'.encode(),
        _meta(item.members.get("meta"), meta, organisation),
        b"}",
    ]
    for name, raw in item.members.items():
        if name not in _WRITTEN_FIRST:
            parts += (b',"', name.encode(), b'":', raw)
    parts.append(b"}")
    return b"".join(parts)


def _meta(raw: msgspec.Raw | None, meta: Meta, organisation: str) -> bytes:
    tag = b'{"system":"%b","code":"%b"}' % (ODS_CODE_SYSTEM.encode(), organisation.encode())
    if raw is None:
        return b'"tag":[%b]' % tag
    members = {name: bytes(value) for name, value in _META.decode(raw).items() if name not in _REPLACED}
    if "tag" not in members:
        members["tag"] = b"[%b]" % tag
    elif not any(is_organisation_tag(own) for own in meta.tag):
        members["tag"] = b"%b,%b]" % (members["tag"].rstrip()[:-1], tag)
    return b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members.items())


def person_event(
    entries: Sequence[Entry],
    person: PersonIdentifier,
    recorded_at: datetime,
    context: SubmissionContext,
    new_id: NewId,
) -> RecordChanged:
    """Return the event with these entries about the person."""
    return RecordChanged(
        event_id=_event_id(context, new_id, entries, *person),
        source=context.source,
        person=person,
        sequence=context.sequence,
        recorded_at=recorded_at,
        published_at=context.received_at,
        correlation_id=context.correlation_id,
        complete_types=context.complete_types,
        entries=tuple(entries),
        reference_rules=REFERENCE_RULES,
    )


def directory_event(entry: Entry, context: SubmissionContext, new_id: NewId) -> DirectoryChanged:
    """Return the event with this entry of the directory."""
    return DirectoryChanged(
        event_id=_event_id(context, new_id, [entry], entry.resource_type, entry.local_id),
        source=context.source,
        sequence=context.sequence,
        recorded_at=entry.recorded_at,
        published_at=context.received_at,
        correlation_id=context.correlation_id,
        entry=entry,
        reference_rules=REFERENCE_RULES,
    )


def _event_id(context: SubmissionContext, new_id: NewId, entries: Sequence[Entry], *subject: str) -> UUID:
    source = (context.source.organisation, context.source.system)
    if context.idempotency_key:
        return uuid5(_EVENT_ID_NAMESPACE, "\0".join((*source, context.idempotency_key, *subject)))
    if context.name_of_copies:
        # The same message again is the same event. A corrected copy has the same name, and is an event of its own.
        name = (*source, "", context.name_of_copies, *subject, _content_digest(entries, context))
        return uuid5(_EVENT_ID_NAMESPACE, "\0".join(name))
    return new_id()


def _content_digest(entries: Sequence[Entry], context: SubmissionContext) -> str:
    """Return a digest of all that an event states, with the times of recording."""
    digest = hashlib.sha256("\0".join((str(context.sequence), *context.complete_types)).encode())
    for entry in entries:
        recorded_at = entry.recorded_at.isoformat()
        digest.update(f"\0{entry.shared_id}{entry.operation}{recorded_at}/{len(entry.content or b'')}\0".encode())
        digest.update(entry.content or b"")
    return digest.hexdigest()


def existing_entry(match: MatchedResource) -> ExistingEntry:
    """Return the outcome of a conditional create that changes nothing."""
    return ExistingEntry(match.resource_type, match.shared_id, match.event_id, match.content, match.received_at)


def accepted_entry(valid_item: ValidItem, entry: Entry, event_id: UUID) -> AcceptedEntry:
    """Return the outcome of an item that went into an event."""
    return AcceptedEntry(valid_item.item.method, entry.resource_type, entry.shared_id, event_id, entry.content)


def refuse_without_person(valid_item: ValidItem) -> None:
    """Raise `Unprocessable` for an item without a person whose type does not belong in the directory."""
    kind = valid_item.item.resource_type
    if kind not in directory_types():
        raise Unprocessable(
            f"This {kind} names no person. Include the person's Patient, reference Patient/<NHS number>, or send an "
            "identifier with the NHS number in its reference to the person.",
            code="required",
            expression=valid_item.item.path,
        )


def refuse_person_in_directory(valid_item: ValidItem, entry: Entry) -> None:
    """Raise `Unprocessable` when an entry for the directory contains, names or refers to a person.

    Everyone may read the directory. The references of the entry lead to the record already.
    """
    if entry.content is None:
        return
    found = person_in(msgspec.json.decode(entry.content), valid_item.item.path)
    if found:
        kind = entry.resource_type
        raise Unprocessable(
            f"Here is {found.what}. Everyone may read the directory, so no {kind} in it may name a person. Leave this "
            f"out, or send the {kind} in one Bundle with resources about that person: it is then part of their record.",
            code="business-rule",
            expression=found.path,
        )


def refuse_complete_types(context: SubmissionContext) -> None:
    """Raise `Unprocessable` when the submission claims a whole list: only one person's statement can be one."""
    if context.complete_types:
        text = "X-Complete-Types must be about one person. Send one submission for each person, or leave it out."
        raise Unprocessable(text, code="business-rule")
