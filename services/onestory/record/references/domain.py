"""Statements whose references an earlier release may have misread, and the events that correct them. Pure.

Earlier releases resolved `Type/id` in a Bundle by type and id alone. The first entry with that name won, whatever its
server (http://hl7.org/fhir/R4/bundle.html#references). Events name the rules that resolved them (`REFERENCE_RULES`).
The fullUrls of a Bundle are not kept. So this finds the references that may be wrong, not those that are.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec

from onestory.shared.errors import Unprocessable
from onestory.shared.events import REFERENCE_RULES, Entry, Operation, RecordChanged, Source, rank_of
from onestory.shared.fhir.definitions import is_about_a_person
from onestory.shared.fhir.references import references_in
from onestory.shared.fhir.validate import is_fhir_id
from onestory.shared.identity import Keys, PersonIdentifier, parse_shared_id, provisional_identity

CORRECTION_SYSTEM = "https://onestory.nhs.uk/CodeSystem/operator-correction"
"""The system of the tag in `meta.tag` of a statement that an operator corrected or quarantined."""

ONE_NAME = "one-name"
"""Another entry of the same submission may have had the same `Type/id`."""
CONTAINED = "contained-twice"
"""Two contained resources have the id that the reference names."""
NOT_IN_DIRECTORY = "not-in-directory"
"""The reference leads to the directory, which lacks it. The same source has it on a person's record."""

_NAMESPACE = UUID("0d6a2f2e-94b5-4b8f-8d11-6a3c1c7a5e10")
_INDEX = re.compile(r".*/([0-9]+)")
# Within a JSON text the quotes are escaped, so this finds members only.
_REFERENCE = re.compile(rb'("reference"\s*:\s*)("[^"\\]*(?:\\.[^"\\]*)*")', re.S)
_META = msgspec.json.Decoder(dict[str, msgspec.Raw])


class StoredStatement(NamedTuple):
    """One statement as the record has it. `stands`: it is the current one of its resource, and readers see it."""

    person_key: str
    person: PersonIdentifier
    resource_type: str
    shared_id: str
    event_id: UUID
    source: Source
    local_id: str
    rank: int
    published_at: datetime
    recorded_at: datetime
    broker_time: datetime
    content: bytes
    stands: bool

    @property
    def name(self) -> str:
        """The resource as `Type/id`."""
        return f"{self.resource_type}/{self.shared_id}"


class SuspectReference(NamedTuple):
    """A reference that may be misread: its FHIRPath, its target, why, and the targets that it may have meant."""

    path: str
    reference: str
    why: str
    instead: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuspectStatement:
    """A statement with at least one suspect reference."""

    statement: StoredStatement
    references: tuple[SuspectReference, ...]


def suspects_of_submission(submission: Sequence[StoredStatement]) -> Iterator[SuspectStatement]:
    """Yield the statements of one submission that refer to an entry whose name another entry may have had."""
    entries = _EntriesByType(submission)
    for statement in submission:
        found = []
        for path, reference in _references(statement):
            if instead := entries.instead_of(reference):
                found.append(SuspectReference(path, reference, ONE_NAME, instead))
        if found:
            yield SuspectStatement(statement, tuple(found))


def suspect_contained(statement: StoredStatement) -> SuspectStatement | None:
    """Return the statement if it refers to a contained resource whose id two of its contained resources have."""
    places: Mapping[str, list[str]] = defaultdict(list)
    for index, resource in enumerate(msgspec.json.decode(statement.content).get("contained", ())):
        places[f"#{resource.get('id')}"].append(f"{statement.resource_type}.contained[{index}]")
    found = tuple(
        SuspectReference(path, reference, CONTAINED, tuple(places[reference]))
        for path, reference in _references(statement)
        if len(places.get(reference, ())) > 1
    )
    return SuspectStatement(statement, found) if found else None


def suspect_directory_references(statement: StoredStatement, found_at: Mapping[str, str]) -> SuspectStatement:
    """Return the statement with its references to directory resources that do not exist.

    `found_at` has, by such a reference, the resource of the same source and local id on a person's record.
    """
    found = tuple(
        SuspectReference(path, reference, NOT_IN_DIRECTORY, (found_at[reference],))
        for path, reference in _references(statement)
        if reference in found_at
    )
    return SuspectStatement(statement, found)


class _NamedEntry(NamedTuple):
    """An entry of a submission: how references name it, and where it stood, if its local id tells."""

    statement: StoredStatement
    resource_hash: str
    has_own_id: bool
    place: int | None


class _EntriesByType:
    """The entries of a submission, by type and by the references that lead to them."""

    def __init__(self, submission: Sequence[StoredStatement]) -> None:
        self._by_type: Mapping[str, dict[str, _NamedEntry]] = defaultdict(dict)
        self._by_reference: dict[str, _NamedEntry] = {}
        for statement in submission:
            entry = _named_entry(statement)
            self._by_type[statement.resource_type].setdefault(entry.resource_hash, entry)
            self._by_reference[statement.name] = entry
            if statement.resource_type == "Patient" and statement.person.is_nhs_number:
                self._by_reference[f"Patient/{statement.person.value}"] = entry

    def instead_of(self, reference: str) -> tuple[str, ...]:
        """Return the other entries that the reference may have named."""
        target = self._by_reference.get(reference)
        if target is None:
            return ()
        others = self._by_type[target.statement.resource_type].values()
        return tuple(_reference_to(other.statement) for other in others if _may_share_name(target, other))


def _named_entry(statement: StoredStatement) -> _NamedEntry:
    match = _INDEX.fullmatch(statement.local_id)
    return _NamedEntry(
        statement,
        statement.shared_id.rpartition("-")[2],
        is_fhir_id(statement.local_id),
        int(match[1]) if match else None,
    )


def _may_share_name(target: _NamedEntry, other: _NamedEntry) -> bool:
    """Return whether `other` may have had the name of `target`. Two entries with ids of their own never share one."""
    if other.resource_hash == target.resource_hash or (target.has_own_id and other.has_own_id):
        return False
    if target.statement.resource_type == "Patient" and other.statement.person == target.statement.person:
        return False
    # The first entry with the name won. So an earlier entry had another name.
    return target.place is None or other.place is None or other.place > target.place


def _reference_to(statement: StoredStatement) -> str:
    if statement.resource_type == "Patient" and statement.person.is_nhs_number:
        return f"Patient/{statement.person.value}"
    return statement.name


def _references(statement: StoredStatement) -> Iterator[tuple[str, str]]:
    resource = msgspec.json.decode(statement.content)
    for found in references_in(resource, statement.resource_type):
        if found.is_reference:
            yield f"{found.path}.reference", str(found.members["reference"])


# Corrections. Each is a statement of the same source, with the same rank and a later time of publication. It replaces
# the statement that was misread. A statement that the source recorded later stays current.


def corrected(
    statement: StoredStatement,
    person: PersonIdentifier,
    replaced: Mapping[str, str],
    reason: str,
    now: datetime,
    keys: Keys,
) -> RecordChanged:
    """Return the event that states the resource again, for this person, with other references.

    `replaced` has the new target by the old one. A change of person replaces the references to the old person itself.

    Raises `Unprocessable` when a reference in `replaced` does not occur or cannot be replaced, and when a reference
    still leads to another resource of the former person.
    """
    references = {reference for _, reference in _references(statement)}
    if missing := sorted(set(replaced) - references):
        raise Unprocessable(f"{statement.name} has no reference {missing[0]}. Send one that the list shows.")
    targets = dict(replaced)
    if person != statement.person:
        targets |= _references_to_new_person(statement, person, references, targets)
    return _event(statement, person, targets, "corrected", reason, now, keys)


def quarantined(statement: StoredStatement, reason: str, now: datetime, keys: Keys) -> RecordChanged:
    """Return the event that takes the statement off its person's record, and keeps its content.

    It moves the resource to an identity that no person has. Only its source reads it there, and its source's next
    statement about the resource moves it back. A supporting resource, such as a Medication, belongs to several persons,
    so it is retracted for this one.
    """
    source = statement.source
    if not is_about_a_person(statement.resource_type):
        return _event(statement, statement.person, None, "quarantined", reason, now, keys)
    resource_hash = statement.shared_id.rpartition("-")[2]
    # A local id with a slash is no FHIR id, so no Patient has this identity.
    identity = provisional_identity(source.organisation, source.system, f"quarantined/{resource_hash}")
    return _event(statement, identity, {}, "quarantined", reason, now, keys)


def _references_to_new_person(
    statement: StoredStatement, person: PersonIdentifier, references: Iterable[str], replaced: Mapping[str, str]
) -> dict[str, str]:
    if not person.is_nhs_number:
        raise Unprocessable("--to-person must be an NHS number.")
    old = {f"Patient/{statement.person.value}"} if statement.person.is_nhs_number else set[str]()
    targets = {}
    for reference in references:
        kind, _, resource_id = reference.partition("/")
        shared = parse_shared_id(resource_id)
        if reference in replaced:
            continue
        if reference in old or (kind == "Patient" and shared and shared.person_key == statement.person_key):
            targets[reference] = f"Patient/{person.value}"
        elif shared and shared.person_key == statement.person_key:
            raise Unprocessable(
                f"{statement.name} also refers to {reference}, which is on the former person's record. Say where it "
                f"leads: --reference {reference}=Type/id."
            )
    if not targets:
        raise Unprocessable(
            f"{statement.name} does not name its person by a reference, so its person was not misread. Quarantine it, "
            "and ask its source to send it again."
        )
    return targets


def _event(
    statement: StoredStatement,
    person: PersonIdentifier,
    targets: Mapping[str, str] | None,
    action: str,
    reason: str,
    now: datetime,
    keys: Keys,
) -> RecordChanged:
    """Return the event with the statement's content and other references. None instead of `targets`: a retraction."""
    source, person_key = statement.source, keys.person_key(person)
    names = (source.organisation, source.system, statement.resource_type, statement.local_id)
    shared_id = keys.shared_id(person_key, *names)
    content = None if targets is None else _content(statement, shared_id, targets, action, reason)
    operation = Operation.RETRACT if content is None else Operation.ASSERT
    entry = Entry(statement.resource_type, statement.local_id, shared_id, statement.recorded_at, operation, content)
    # A repetition of the same correction is the same event.
    changes = (f"{old}={new}" for old, new in sorted((targets or {}).items()))
    named = "\0".join((str(statement.event_id), shared_id, *changes))
    return RecordChanged(
        event_id=uuid5(_NAMESPACE, f"{action}\0{reason}\0{named}"),
        source=source,
        person=person,
        sequence=None if statement.rank == rank_of(None, statement.recorded_at) else statement.rank,
        recorded_at=statement.recorded_at,
        published_at=now,
        correlation_id=f"{action}-{statement.event_id}",
        complete_types=(),
        entries=(entry,),
        reference_rules=REFERENCE_RULES,
    )


def _content(statement: StoredStatement, shared_id: str, targets: Mapping[str, str], action: str, reason: str) -> bytes:
    head = f'{{"resourceType":"{statement.resource_type}","id":"{statement.shared_id}","meta":'.encode()
    assert statement.content.startswith(head)
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    members = decoder.decode(statement.content)
    meta = {
        name: bytes(raw)
        for name, raw in _META.decode(members["meta"]).items()
        if name not in ("versionId", "lastUpdated")
    }
    tags: list[Any] = msgspec.json.decode(meta.get("tag", b"[]"), type=list[msgspec.Raw])
    tag = {"system": CORRECTION_SYSTEM, "code": action, "display": reason}
    meta["tag"] = b"[" + b",".join([*(bytes(each) for each in tags), msgspec.json.encode(tag)]) + b"]"
    written = b",".join(b'"%b":%b' % (name.encode(), raw) for name, raw in meta.items())
    rest = b"".join(
        b',"%b":%b' % (name.encode(), bytes(raw))
        for name, raw in members.items()
        if name not in ("resourceType", "id", "meta")
    )
    content = b'{"resourceType":"%b","id":"%b","meta":{%b}%b}' % (
        statement.resource_type.encode(),
        shared_id.encode(),
        written,
        rest,
    )
    return _with_targets(content, statement, targets)


def _with_targets(content: bytes, statement: StoredStatement, targets: Mapping[str, str]) -> bytes:
    """Return the content with its references replaced. Each is looked up once, so two references can be swapped.

    Raises `Unprocessable` when one of them cannot be replaced.
    """
    if not targets:
        return content
    replaced = Counter[str]()

    def replacement(match: re.Match[bytes]) -> bytes:
        reference = msgspec.json.decode(match[2], type=str)
        if reference not in targets:
            return match[0]
        replaced[reference] += 1
        return match[1] + msgspec.json.encode(targets[reference])

    content = _REFERENCE.sub(replacement, content)
    expected = Counter(reference for _, reference in _references(statement) if reference in targets)
    if missing := sorted(expected - replaced):
        raise Unprocessable(
            f"{statement.name}: the reference {missing[0]} cannot be replaced, because the name of its JSON member is "
            "written with an escape. Quarantine the statement, and ask its source to send it again."
        )
    return content
