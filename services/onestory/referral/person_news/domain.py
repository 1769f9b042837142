"""What the parties of a referral have to be told of its person: that they died, that they did not, that they moved."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from onestory.referral.lifecycle.decide import finish
from onestory.referral.lifecycle.machine import Doing, ReferralChange
from onestory.referral.lifecycle.model import Referral
from onestory.referral.notices.domain import notices
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.events import Entry, Operation, OrderKey, RecordChanged, rank_of
from onestory.shared.fhir.json import elements, value
from onestory.shared.fhir.references import ods_code, practice_in, practitioners, shared_organisation
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import Keys, SharedId, parse_shared_id
from onestory.shared.kafka.reader import ConsumedEvent
from onestory.shared.person_links import PROVISIONAL, links


class PersonStatement(NamedTuple):
    """A row of `person_statement`: one authority's Patient. The greatest (rank, published_at, event_id) stands.

    `deceased` is None where it says nothing of that. Its practice is `practice` (ODS code), or what `organisation_id`
    leads to in the directory; both are empty where it names none. `links` are other numbers of the same person: (key,
    `replaces` or `replaced-by`).
    """

    person_key: str
    resource_hash: str
    event_id: UUID
    rank: int
    published_at: datetime
    operation: str
    deceased: bool | None
    practice: str
    organisation_id: str
    digest: bytes
    links: tuple[tuple[str, str], ...] = ()


class CurrentPersonStatement(NamedTuple):
    """What a statement that stands says, since `key`; `practice` is empty where it names none."""

    key: OrderKey
    deceased: bool | None
    practice: str


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """What is known of a person. `practice` is the last that was named; empty: none ever was."""

    deceased: bool = False
    practice: str = ""


class News(StrEnum):
    """What became of a person, as the action of the change of each open referral."""

    DECEASED = "person-deceased"
    NOT_DECEASED = "person-deceased-withdrawn"
    MOVED = "person-moved"


def person_statements(arrival: ConsumedEvent, keys: Keys, authorities: Collection[str]) -> Iterator[PersonStatement]:
    """What a message says that matters here: the Patients of demographic authorities, whose word alone counts.

    Raises `Unprocessable` for what cannot be read; its issue's code is the reason.
    """
    event = arrival.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, RecordChanged):
        raise Unprocessable(f"{type(event).__name__} does not belong on {arrival.topic}.", code="wrong-topic")
    if event.source.organisation not in authorities:
        return
    patients = [entry for entry in event.entries if entry.resource_type == "Patient"]
    practices = _practices(event.entries) if patients else {}
    for entry in patients:
        yield _statement(arrival, event, entry, practices)._replace(links=_links(event, entry, keys))


def _statement(
    arrival: ConsumedEvent, event: RecordChanged, entry: Entry, practices: Mapping[str, str]
) -> PersonStatement:
    shared_id = parse_shared_id(entry.shared_id)
    if shared_id is None or shared_id.person_key.encode() != arrival.key:
        raise Unprocessable("The message key is not the key of the person.", code="wrong-key")
    content = _readable(entry)
    named = practitioners(content) if content else ()
    practice = practice_in(named, practices) or ""
    by_reference = next((found for each in named if (found := shared_organisation(each))), None)
    return PersonStatement(
        *SharedId(*shared_id),
        event.event_id,
        rank_of(event.sequence, entry.recorded_at),
        event.published_at,
        entry.operation.value,
        _deceased(content) if content else None,
        practice,
        "" if practice else by_reference or "",
        hashlib.sha256(content or b"").digest(),
    )


def known(before: KnownPerson, standing: Iterable[CurrentPersonStatement]) -> KnownPerson:
    """What is known now; `standing` is what stands, under any number. Who names no practice takes none away."""
    newest = sorted(standing, key=lambda said: said.key, reverse=True)
    deceased = next((said.deceased for said in newest if said.deceased is not None), False)
    return KnownPerson(deceased, next((said.practice for said in newest if said.practice), before.practice))


def news(before: KnownPerson, after: KnownPerson) -> list[News]:
    """What there is to tell. The first practice that is known is no move."""
    found = []
    if after.deceased != before.deceased:
        found.append(News.DECEASED if after.deceased else News.NOT_DECEASED)
    if before.practice and after.practice != before.practice:
        found.append(News.MOVED)
    return found


def _links(event: RecordChanged, entry: Entry, keys: Keys) -> tuple[tuple[str, str], ...]:
    if entry.content is None:
        return ()
    found = links(event, entry, keys, authoritative=True).made
    return tuple((link.other_key, link.kind) for link in found if link.kind != PROVISIONAL)


def _readable(entry: Entry) -> bytes | None:
    if (entry.content is None) is (entry.operation is Operation.ASSERT) or entry.key_id is not None:
        raise Unprocessable("An assertion has readable content, and a retraction has none.", code="content-form")
    if entry.content is not None:
        try:
            issues = validate(entry.content)
        except Malformed as error:
            raise Unprocessable("It is not FHIR R4 at all.", code="content-form") from error
        if issues:
            raise Unprocessable("It is not FHIR R4.", code="content-form")
    return entry.content


def _deceased(content: bytes) -> bool | None:
    said = elements(content).get("deceased", {})
    if "deceasedDateTime" in said:
        return True
    died: bool | None = value(said, "deceasedBoolean")
    return died


def _practices(entries: Sequence[Entry]) -> Mapping[str, str]:
    """The ODS codes of Organizations that came along."""
    came = [entry for entry in entries if entry.resource_type == "Organization" and entry.content]
    found = {entry.shared_id: ods_code(content) for entry in came if (content := _readable(entry))}
    return {shared_id: code for shared_id, code in found.items() if code}


# A change of a referral that tells its parties what became of the person. It ends nothing: people decide that.


def tell(referral: Referral, doing: Doing, news: News, practice: str) -> ReferralChange | None:
    """The change; None where the referral has ended since. The reason of a move is where the person is registered now.

    Everybody is told, the holder too: it was nobody's own doing.
    """
    if not referral.is_open:
        return None
    after = replace(referral, version=referral.version + 1)
    changed = finish(referral, after, news, doing)
    return replace(changed, reason=practice, notices=notices(news, referral, after, None))
