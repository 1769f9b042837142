"""The rows that an event becomes: statements, whole lists, the event's fingerprint, and claims to own a resource.

Pure. `statement_rows` is the beginning: one row for each entry of an event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.record.person.labels import is_restricted
from onestory.shared.errors import Unprocessable
from onestory.shared.events import (
    BOOKING_SYSTEM,
    REFERRAL_SYSTEM,
    ConsumedMessage,
    DirectoryChanged,
    Entry,
    Operation,
    OrderKey,
    RecordChanged,
    rank_of,
)
from onestory.shared.fhir.definitions import is_about_a_person

RETRACTION_DIGEST = b""
"""The content digest of a retraction."""

_PERSON_KEY_LENGTH = 26
_OWN_SYSTEMS = (REFERRAL_SYSTEM, BOOKING_SYSTEM)


class StatementRow(NamedTuple):
    """A row of `statement`, or of `directory_statement`; there `person_key` is empty."""

    person_key: str
    shared_id: str
    event_id: UUID
    rank: int
    published_at: datetime
    resource_type: str
    organisation: str
    system: str
    local_id: str
    operation: Operation
    content: bytes | None
    content_digest: bytes
    broker_time: datetime
    partition: int
    offset: int
    recorded_at: datetime
    restricted: bool
    """Its source labels it R or V. A label on a referral does not count: its parties have to read it."""

    @property
    def order_key(self) -> OrderKey:
        return OrderKey(self.rank, self.published_at, self.event_id)

    @property
    def asserts(self) -> bool:
        return self.operation is Operation.ASSERT

    @property
    def resource_hash(self) -> str:
        """The shared id without the person key. It stays the same when the resource moves to another person."""
        return self.shared_id[_PERSON_KEY_LENGTH + 1 :]


class WholeList(NamedTuple):
    """A row of `whole_list`, and the offset of its message.

    The event is the source's complete list of this type for this person.
    """

    person_key: str
    organisation: str
    system: str
    resource_type: str
    event_id: UUID
    rank: int
    published_at: datetime
    broker_time: datetime
    offset: int


def statement_rows(
    message: ConsumedMessage, event: RecordChanged | DirectoryChanged, digests: Sequence[bytes]
) -> Iterator[StatementRow]:
    """The rows of an event, in the order of its entries. `digests` are the content digests of the entries.

    Raises `Unprocessable` for content that cannot be served.
    """
    entries = _entries(event)
    person_key = entries[0].shared_id[:_PERSON_KEY_LENGTH] if isinstance(event, RecordChanged) and entries else ""
    meta = version_meta(event.event_id, message.broker_time)
    for entry, digest in zip(entries, digests, strict=True):
        yield StatementRow(
            person_key,
            entry.shared_id,
            event.event_id,
            rank_of(event.sequence, entry.recorded_at),
            event.published_at,
            entry.resource_type,
            event.source.organisation,
            event.source.system,
            entry.local_id,
            entry.operation,
            served_content(entry, meta),
            digest,
            message.broker_time,
            message.partition,
            message.offset,
            entry.recorded_at,
            event.source.system not in _OWN_SYSTEMS and is_restricted(entry.content or b""),
        )


def whole_list_rows(message: ConsumedMessage, event: RecordChanged, person_key: str) -> Iterator[WholeList]:
    """One row for each type in `complete_types`, by type."""
    rank = rank_of(event.sequence, event.recorded_at)
    source = event.source
    for resource_type in sorted(set(event.complete_types)):
        yield WholeList(
            person_key,
            source.organisation,
            source.system,
            resource_type,
            event.event_id,
            rank,
            event.published_at,
            message.broker_time,
            message.offset,
        )


# The bytes of a resource: stored, served and compared.


def content_digest(entry: Entry) -> bytes:
    """SHA-256 of the content as it was published; empty for a retraction."""
    return RETRACTION_DIGEST if entry.content is None else hashlib.sha256(entry.content).digest()


def version_meta(event_id: UUID, broker_time: datetime) -> bytes:
    """The members `versionId` and `lastUpdated`, as JSON without braces. They come first in `meta`.

    FHIR R4, http://hl7.org/fhir/R4/resource.html#Meta.
    """
    last_updated = broker_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f'"versionId":"{event_id}","lastUpdated":"{last_updated}"'.encode()


def served_content(entry: Entry, meta: bytes) -> bytes | None:
    """The content with versionId and lastUpdated inserted; None for a retraction. Raises `Unprocessable`.

    The content must begin in the form that intake gives it, so it need not be parsed here.
    """
    content = entry.content
    if content is None:
        return None
    start = b'{"resourceType":"%b","id":"%b","meta":{' % (entry.resource_type.encode(), entry.shared_id.encode())
    if not content.startswith(start) or len(content) < len(start) + 2:
        raise Unprocessable(
            'Content must begin {"resourceType":"<type>","id":"<shared id>","meta":{.', code="content-form"
        )
    at = len(start)
    comma = b"" if content[at : at + 1] == b"}" else b","
    return b"%b%b%b%b" % (start, meta, comma, content[at:])


# Digests: of one event, and of a record.


def fingerprint(event: RecordChanged | DirectoryChanged, contents: Sequence[bytes], extra: Sequence[str] = ()) -> bytes:
    """SHA-256 over what the event states, without times. An event that is sent again later has the same fingerprint.

    `contents` are the content digests of its entries. `extra` are further fields that must be the same.
    """
    digest = hashlib.sha256()
    for part in [*_fingerprint_parts(event), *[field.encode() for field in extra]]:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    for entry, content in zip(_entries(event), contents, strict=True):
        digest.update(f"{entry.shared_id}{entry.operation}".encode())
        digest.update(content)
    return digest.digest()


def _entries(event: RecordChanged | DirectoryChanged) -> Sequence[Entry]:
    return event.entries if isinstance(event, RecordChanged) else (event.entry,)


def _fingerprint_parts(event: RecordChanged | DirectoryChanged) -> list[bytes]:
    parts = [event.source.organisation, event.source.system, str(event.sequence)]
    if isinstance(event, RecordChanged):
        parts += [event.person.system, event.person.value, *sorted(event.complete_types)]
    return [part.encode() for part in parts]


def record_digest(entries: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256, in hex, over (shared id, content digest) of visible current entries, by shared id (design section 6).

    Two records with the same digest are equal. Times and offsets are left out.
    """
    digest = hashlib.sha256()
    for shared_id, content in sorted(entries):
        digest.update(f"{shared_id}:{content.hex()}\n".encode())
    return digest.hexdigest()


# One resource belongs to one person (design section 5). Each assertion is a claim to own the resource.


class OwnerClaims(NamedTuple):
    """By resource hash: the greatest assertion in a batch, and the person keys where it is asserted of several."""

    greatest: dict[str, StatementRow]
    contested: dict[str, set[str]]


class WonClaim(NamedTuple):
    """A resource that a claim of this batch won, and the person key of the former owner, if that was another person."""

    resource_hash: str
    former_key: str | None


def owner_claims(statements: Iterable[StatementRow]) -> OwnerClaims:
    """The claims in a batch.

    A retraction claims nothing. A supporting resource, such as the Medication that a statement refers to, claims
    nothing either, because it may come with several persons' statements.
    """
    greatest: dict[str, StatementRow] = {}
    contested: dict[str, set[str]] = {}
    for statement in statements:
        if not statement.asserts or not is_about_a_person(statement.resource_type):
            continue
        other = greatest.setdefault(statement.resource_hash, statement)
        if other is statement:
            continue
        if other.person_key != statement.person_key:
            contested.setdefault(statement.resource_hash, set()).update((statement.person_key, other.person_key))
        if statement.order_key > other.order_key:
            greatest[statement.resource_hash] = statement
    return OwnerClaims(greatest, contested)


def claimant_rows(claims: OwnerClaims, won: Iterable[WonClaim], owners: Mapping[str, str]) -> set[tuple[str, str]]:
    """(resource hash, person key) for each resource that is asserted of several persons, as far as this batch shows.

    `owners` gives the owner's person key by resource hash, after this batch.
    """
    persons = {resource_hash: set(keys) for resource_hash, keys in claims.contested.items()}
    for resource_hash, former_key in won:
        if former_key:
            persons.setdefault(resource_hash, set()).add(former_key)
    for resource_hash, statement in claims.greatest.items():
        if resource_hash in persons or owners[resource_hash] != statement.person_key:
            persons.setdefault(resource_hash, set()).update((statement.person_key, owners[resource_hash]))
    return {(resource_hash, key) for resource_hash, keys in persons.items() for key in keys}


def away_rows(claims: OwnerClaims, won: Iterable[WonClaim]) -> list[tuple[str, str, str]]:
    """(person key, resource type, shared id) of each row whose resource left that person for another one."""
    return [
        (former_key, claims.greatest[resource_hash].resource_type, f"{former_key}-{resource_hash}")
        for resource_hash, former_key in won
        if former_key
    ]
