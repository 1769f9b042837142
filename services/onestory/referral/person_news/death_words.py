"""The word of a source that is no demographic authority that a person died, or no longer says so. Pure.

It makes no death a fact. The parties of open referrals are told who says so (docs/explanation/decisions/0029).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

import msgspec

from onestory.shared.errors import Unprocessable
from onestory.shared.events import ConsumedMessage, Entry, Operation, RecordChanged, rank_of
from onestory.shared.fhir.json import elements, stated_death
from onestory.shared.identity import parse_shared_id

# Avro writes the type of an entry as its length, doubled, and its bytes. JSON has no such control character.
_PATIENT_IN_AVRO = b"\x0ePatient"


class DeathWord(NamedTuple):
    """A row of `death_word`: what one Patient of a source says now. `died` is false where it does not say."""

    person_key: str
    resource_hash: str
    event_id: UUID
    rank: int
    published_at: object
    organisation: str
    asserted: bool
    died: bool


def may_have_patient(value: bytes) -> bool:
    """Whether the bytes of a RecordChanged may have an entry of type Patient."""
    return _PATIENT_IN_AVRO in value


def death_words(message: ConsumedMessage, authorities: Collection[str]) -> Iterator[DeathWord]:
    """The words in a message of a source that is no demographic authority.

    Raises `Unprocessable` where a Patient cannot be read; the code of its issue is the reason.
    """
    event = message.event
    if not isinstance(event, RecordChanged) or event.source.organisation in authorities:
        return
    for entry in event.entries:
        if entry.resource_type == "Patient":
            yield _word(message, event, entry)


def _word(message: ConsumedMessage, event: RecordChanged, entry: Entry) -> DeathWord:
    shared_id = parse_shared_id(entry.shared_id)
    if shared_id is None or shared_id.person_key.encode() != message.key:
        raise Unprocessable("The message key is not the key of the person.", code="wrong-key")
    asserted = entry.operation is Operation.ASSERT
    if (entry.content is None) is asserted or entry.key_id is not None:
        raise Unprocessable("An assertion has readable content, and a retraction has none.", code="content-form")
    try:
        died = stated_death(elements(entry.content)) if entry.content else None
    except msgspec.DecodeError as error:
        raise Unprocessable("The Patient is no JSON object.", code="content-form") from error
    rank, organisation = rank_of(event.sequence, entry.recorded_at), event.source.organisation
    return DeathWord(*shared_id, event.event_id, rank, event.published_at, organisation, asserted, died is True)


def greatest_words(words: Iterable[DeathWord]) -> list[DeathWord]:
    """The word with the greatest order key, for each Patient under each person key."""
    greatest: dict[tuple[str, str], DeathWord] = {}
    for word in words:
        other = greatest.setdefault(word[:2], word)
        if (word.rank, word.published_at, word.event_id) > (other.rank, other.published_at, other.event_id):
            greatest[word[:2]] = word
    return [greatest[key] for key in sorted(greatest)]
