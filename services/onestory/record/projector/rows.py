"""A statement about one resource, as it is kept: the rows that an event becomes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.shared.errors import Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, Operation, OrderKey, RecordChanged, rank_of
from onestory.shared.fhir.definitions import is_about_a_person
from onestory.shared.kafka.reader import ConsumedEvent

# The bytes of a resource: what is stored, what is served, what is compared.

NOTHING = b""
"""The content digest of a retraction."""


def content_digest(entry: Entry) -> bytes:
    """SHA-256 of the content as it was published; empty for a retraction."""
    return NOTHING if entry.content is None else hashlib.sha256(entry.content).digest()


def version_meta(event_id: UUID, broker_time: datetime) -> bytes:
    """The members of `meta` that are ours (http://hl7.org/fhir/R4/resource.html#Meta), to stand at its beginning."""
    last_updated = broker_time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f'"versionId":"{event_id}","lastUpdated":"{last_updated}"'.encode()


def served(entry: Entry, meta: bytes) -> bytes | None:
    """The content with versionId and lastUpdated in place; None for a retraction. Raises `Unprocessable`.

    The content must begin in the form that intake gives it, so that nothing has to be parsed here.
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


_KEY_LENGTH = 26


class StatementRow(NamedTuple):
    """A row of `statement`; one of `directory_statement` has no person, and an empty `person_key`."""

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

    @property
    def key(self) -> OrderKey:
        return OrderKey(self.rank, self.published_at, self.event_id)

    @property
    def asserts(self) -> bool:
        return self.operation is Operation.ASSERT

    @property
    def resource_hash(self) -> str:
        """What is left of a shared id when the person is taken off: the same for every person."""
        return self.shared_id[_KEY_LENGTH + 1 :]


class WholeList(NamedTuple):
    """A row of `whole_list`, and the offset of its message: this event has all that the source says of a type."""

    person_key: str
    organisation: str
    system: str
    resource_type: str
    event_id: UUID
    rank: int
    published_at: datetime
    broker_time: datetime
    offset: int


def statements(
    arrival: ConsumedEvent, event: RecordChanged | DirectoryChanged, digests: Sequence[bytes]
) -> Iterator[StatementRow]:
    """The rows of an event, in the order of its entries; `digests` are their content digests.

    Raises `Unprocessable` for content that cannot be served.
    """
    entries: Sequence[Entry] = event.entries if isinstance(event, RecordChanged) else (event.entry,)
    person_key = entries[0].shared_id[:_KEY_LENGTH] if isinstance(event, RecordChanged) and entries else ""
    meta = version_meta(event.event_id, arrival.broker_time)
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
            served(entry, meta),
            digest,
            arrival.broker_time,
            arrival.partition,
            arrival.offset,
            entry.recorded_at,
        )


def whole_lists(arrival: ConsumedEvent, event: RecordChanged, person_key: str) -> Iterator[WholeList]:
    """The types of which the event is the source's whole list."""
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
            arrival.broker_time,
            arrival.offset,
        )


# The record digest: two records with the same digest say the same (design section 6).


def record_digest(entries: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256, in hex, over (shared id, content digest) of visible current entries. No clocks, no offsets, no order."""
    digest = hashlib.sha256()
    for shared_id, content in sorted(entries):
        digest.update(f"{shared_id}:{content.hex()}\n".encode())
    return digest.hexdigest()


# Whether a message says the same as an earlier one with its event id.


def fingerprint(
    event: RecordChanged | DirectoryChanged, contents: Sequence[bytes], beside: Sequence[str] = ()
) -> bytes:
    """SHA-256 over what the event says, without clocks: a repetition at another time is the same event.

    `contents` are the content digests of its entries, `beside` is what it says beside them.
    """
    digest = hashlib.sha256()
    for part in [*_about(event), *[said.encode() for said in beside]]:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    for entry, content in zip(_entries(event), contents, strict=True):
        digest.update(f"{entry.shared_id}{entry.operation}".encode())
        digest.update(content)
    return digest.digest()


def _entries(event: RecordChanged | DirectoryChanged) -> Sequence[Entry]:
    return event.entries if isinstance(event, RecordChanged) else (event.entry,)


def _about(event: RecordChanged | DirectoryChanged) -> list[bytes]:
    parts = [event.source.organisation, event.source.system, str(event.sequence)]
    if isinstance(event, RecordChanged):
        parts += [event.person.system, event.person.value, *sorted(event.complete_types)]
    return [part.encode() for part in parts]


# One resource, one person: what follows from who got it (design section 5).


class Taken(NamedTuple):
    """A resource that a claim of this batch got, and the person whom it left, if any."""

    resource_hash: str
    former_key: str | None


class Claims(NamedTuple):
    """The greatest assertion of each resource in a batch; who else in the batch asserts it, where anybody does."""

    greatest: dict[str, StatementRow]
    contested: dict[str, set[str]]


def claims(statements: Iterable[StatementRow]) -> Claims:
    """What a batch says of whose each resource is. A retraction claims nothing, and nor does what only comes along with
    a person's statement, such as the Medication that it speaks of: it may come with another person's too.
    """
    greatest: dict[str, StatementRow] = {}
    contested: dict[str, set[str]] = {}
    for said in statements:
        if not said.asserts or not is_about_a_person(said.resource_type):
            continue
        other = greatest.setdefault(said.resource_hash, said)
        if other is said:
            continue
        if other.person_key != said.person_key:
            contested.setdefault(said.resource_hash, set()).update((said.person_key, other.person_key))
        if said.key > other.key:
            greatest[said.resource_hash] = said
    return Claims(greatest, contested)


def claimants(made: Claims, taken: Iterable[Taken], owner_of: Mapping[str, str]) -> set[tuple[str, str]]:
    """(resource hash, person key) of every resource that this batch knows to be asserted of several persons."""
    persons = {hash_: set(keys) for hash_, keys in made.contested.items()}
    for hash_, former_key in taken:
        if former_key:
            persons.setdefault(hash_, set()).add(former_key)
    for hash_, said in made.greatest.items():
        if hash_ in persons or owner_of[hash_] != said.person_key:
            persons.setdefault(hash_, set()).update((said.person_key, owner_of[hash_]))
    return {(hash_, key) for hash_, keys in persons.items() for key in keys}


def left(made: Claims, taken: Iterable[Taken]) -> list[tuple[str, str, str]]:
    """(person key, resource type, shared id) of the rows whose resource left that person."""
    return [
        (former_key, made.greatest[hash_].resource_type, f"{former_key}-{hash_}")
        for hash_, former_key in taken
        if former_key
    ]
