"""Builds statements for tests of the projector, and the record that design section 6 expects from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from onestory.record.projector.rows import record_digest
from onestory.shared.events import (
    ConsumedMessage,
    DirectoryChanged,
    Entry,
    Operation,
    RecordChanged,
    ReferralChanged,
    Source,
)
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, REFERRAL_TOPIC

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PRACTICE = Source("A81001", "emis")


@dataclass(frozen=True)
class Said:
    """One entry of a test's statement. `at` and all other times are seconds after BEGAN."""

    kind: str
    local_id: str
    text: str | None
    """None retracts it."""
    at: int


def at(seconds: int) -> datetime:
    """The instant that is this many seconds after BEGAN."""
    return BEGAN + timedelta(seconds=seconds)


def person(number: int) -> PersonIdentifier:
    """The NHS number of a test's person."""
    return PersonIdentifier(NHS_NUMBER_SYSTEM, f"999{number:07d}")


def statement(
    keys: Keys,
    event_id: int,
    about: PersonIdentifier,
    said: Sequence[Said],
    *,
    source: Source = PRACTICE,
    recorded: int = 0,
    published: int = 0,
    sequence: int | None = None,
    complete_types: Sequence[str] = (),
) -> RecordChanged:
    """An event as intake publishes it."""
    return RecordChanged(
        event_id=UUID(int=event_id),
        source=source,
        person=about,
        sequence=sequence,
        recorded_at=at(recorded),
        published_at=at(published),
        correlation_id="test",
        complete_types=tuple(complete_types),
        entries=tuple(_entry(keys, about, source, each) for each in said),
    )


def _entry(keys: Keys, about: PersonIdentifier, source: Source, said: Said) -> Entry:
    shared_id = keys.shared_id(keys.person_key(about), source.organisation, source.system, said.kind, said.local_id)
    if said.text is None:
        return Entry(said.kind, said.local_id, shared_id, at(said.at), Operation.RETRACT, None)
    content = f'{{"resourceType":"{said.kind}","id":"{shared_id}","meta":{{}},{said.text}}}'
    return Entry(said.kind, said.local_id, shared_id, at(said.at), Operation.ASSERT, content.encode())


def later(event: RecordChanged, *, published: int, recorded: int | None = None) -> RecordChanged:
    """The same event, published again at another time. Pass `recorded` if intake set it to the time of receipt."""
    if recorded is None:
        return replace(event, published_at=at(published))
    entries = tuple(replace(entry, recorded_at=at(recorded)) for entry in event.entries)
    return replace(event, published_at=at(published), recorded_at=at(recorded), entries=entries)


def arrivals(
    keys: Keys, events: Iterable[RecordChanged | DirectoryChanged | ReferralChanged], first: int = 0
) -> list[ConsumedMessage]:
    """The events as messages of one partition, one second apart."""
    avro = create_codec()
    found = []
    for offset, event in enumerate(events, first):
        match event:
            case RecordChanged():
                topic, key = RECORD_TOPIC, keys.person_key(event.person)
            case ReferralChanged():
                topic, key = REFERRAL_TOPIC, keys.person_key(event.person)
            case DirectoryChanged():
                topic, key = DIRECTORY_TOPIC, event.entry.shared_id
        found.append(ConsumedMessage(topic, 0, offset, at(offset), key.encode(), avro.encode(event), event))
    return found


def expected_digest(keys: Keys, events: Sequence[RecordChanged]) -> str:
    """The digest of the record that these events give in any order: a plain version of the specification."""
    return record_digest(sorted(expected_record(keys, events).items()))


def expected_record(keys: Keys, events: Sequence[RecordChanged]) -> dict[str, bytes]:
    """A map from shared id to content digest, for each visible resource."""
    once = _each_once(events)
    said = [(_key(event, entry.recorded_at), event, entry) for event in once for entry in event.entries]
    visible = {}
    for shared_id in {entry.shared_id for _, _, entry in said}:
        key, event, entry = max(_of(said, shared_id=shared_id), key=lambda each: each[0])
        assertions = [each for each in said if _hash(each) == _hash((key, event, entry)) and each[2].content]
        # A Medication belongs to no person: it only accompanies a statement.
        owned = entry.resource_type == "Medication" or (
            bool(assertions) and max(assertions, key=lambda each: each[0])[1].person == event.person
        )
        if entry.content and owned and not _retired(once, key, event, entry):
            visible[shared_id] = sha256(entry.content).digest()
    return visible


def whose(keys: Keys, events: Sequence[RecordChanged]) -> dict[str, str]:
    """A map from resource hash to the owner's person key. The latest assertion of a resource decides its owner."""
    said = [
        (_key(event, entry.recorded_at), entry.shared_id.rpartition("-")[2], keys.person_key(event.person))
        for event in _each_once(events)
        for entry in event.entries
        if entry.content and entry.resource_type != "Medication"
    ]
    return {resource_hash: person_key for _, resource_hash, person_key in sorted(said)}


def _each_once(events: Sequence[RecordChanged]) -> list[RecordChanged]:
    """One copy of each event. Each of its times has the earliest value of all copies."""
    copies: dict[tuple[UUID, PersonIdentifier], list[RecordChanged]] = {}
    for event in events:
        copies.setdefault((event.event_id, event.person), []).append(event)
    return [
        replace(
            same[0],
            published_at=min(copy.published_at for copy in same),
            recorded_at=min(copy.recorded_at for copy in same),
            entries=tuple(
                replace(entries[0], recorded_at=min(entry.recorded_at for entry in entries))
                for entries in zip(*(copy.entries for copy in same), strict=True)
            ),
        )
        for same in copies.values()
    ]


def _key(event: RecordChanged, recorded_at: datetime) -> tuple[Any, ...]:
    rank = event.sequence if event.sequence is not None else (recorded_at - datetime(1970, 1, 1, tzinfo=UTC))
    micros = rank if isinstance(rank, int) else rank // timedelta(microseconds=1)
    return (micros, event.published_at, event.event_id)


def _retired(once: Sequence[RecordChanged], key: tuple[Any, ...], event: RecordChanged, entry: Entry) -> bool:
    lists = [
        (_key(other, other.recorded_at), other)
        for other in once
        if other.person == event.person and other.source == event.source and entry.resource_type in other.complete_types
    ]
    if not lists:
        return False
    latest, whole = max(lists, key=lambda each: each[0])
    return key < latest and entry.shared_id not in {mentioned.shared_id for mentioned in whole.entries}


def _of(said: list[tuple[Any, RecordChanged, Entry]], *, shared_id: str) -> list[tuple[Any, RecordChanged, Entry]]:
    return [each for each in said if each[2].shared_id == shared_id]


def _hash(each: tuple[Any, RecordChanged, Entry]) -> str:
    return each[2].shared_id.rpartition("-")[2]
