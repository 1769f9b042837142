"""News about a person that the parties of a referral have to know: a death, its withdrawal, a move. Pure.

This module reads the word of demographic authorities. `death_words` reads that of other sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from onestory.referral.lifecycle.decide import build_change
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange
from onestory.referral.notices.domain import notices
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.events import ConsumedMessage, Entry, Operation, OrderKey, Party, RecordChanged, rank_of
from onestory.shared.fhir.json import elements, stated_death
from onestory.shared.fhir.references import current_practice, general_practitioners, ods_code, organisation_shared_id
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import Keys, SharedId, parse_shared_id
from onestory.shared.identity_links import PROVISIONAL, stated_links


class PersonStatement(NamedTuple):
    """A row of `person_statement`: a Patient of a demographic authority.

    The one with the greatest (rank, published_at, event_id) is the current statement.

    - `deceased`: None where it has no such element.
    - `practice`, `organisation_id`: the ODS code of its practice, or the practice's shared id in the directory; both
      are empty where it names none.
    - `links`: other identities of the person, as (person key, `replaces` or `replaced-by`).
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
    """The content of a current statement, with its order key; `practice` is empty where it names none."""

    key: OrderKey
    deceased: bool | None
    practice: str


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """The known facts about a person. `practice` is the last practice that was named; empty: none."""

    deceased: bool = False
    practice: str = ""


class News(StrEnum):
    """News about a person; it is also the action of the change that each open referral gets."""

    DECEASED = "person-deceased"
    NOT_DECEASED = "person-deceased-withdrawn"
    MOVED = "person-moved"
    DEATH_STATED = "person-death-stated"
    """A source that is no demographic authority says that the person died. The reason is its ODS code."""
    DEATH_STATED_WITHDRAWN = "person-death-stated-withdrawn"


def person_statements(message: ConsumedMessage, keys: Keys, authorities: Collection[str]) -> Iterator[PersonStatement]:
    """The Patients in a message, if a demographic authority sent it; other sources do not count here.

    Raises `Unprocessable` where the message cannot be read; the code of its issue is the reason.
    """
    event = message.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, RecordChanged):
        raise Unprocessable(f"{type(event).__name__} does not belong on {message.topic}.", code="wrong-topic")
    if event.source.organisation not in authorities:
        return
    patients = [entry for entry in event.entries if entry.resource_type == "Patient"]
    practices = _practices(event.entries) if patients else {}
    for entry in patients:
        yield _statement(message, event, entry, practices)._replace(links=_links(event, entry, keys))


def _statement(
    message: ConsumedMessage, event: RecordChanged, entry: Entry, practices: Mapping[str, str]
) -> PersonStatement:
    shared_id = parse_shared_id(entry.shared_id)
    if shared_id is None or shared_id.person_key.encode() != message.key:
        raise Unprocessable("The message key is not the key of the person.", code="wrong-key")
    content = _readable(entry)
    references = general_practitioners(content) if content else ()
    practice = current_practice(references, practices) or ""
    shared_ids = (organisation_shared_id(reference) for reference in references)
    practice_id = next((organisation_id for organisation_id in shared_ids if organisation_id), None)
    return PersonStatement(
        *SharedId(*shared_id),
        event.event_id,
        rank_of(event.sequence, entry.recorded_at),
        event.published_at,
        entry.operation.value,
        stated_death(elements(content)) if content else None,
        practice,
        "" if practice else practice_id or "",
        hashlib.sha256(content or b"").digest(),
    )


def update_known(before: KnownPerson, current: Iterable[CurrentPersonStatement]) -> KnownPerson:
    """The facts known now. `current` are the current statements under any identity of the person.

    The newest statement with a fact counts. A statement without a practice leaves the known practice.
    """
    newest = sorted(current, key=lambda statement: statement.key, reverse=True)
    deceased = next((statement.deceased for statement in newest if statement.deceased is not None), False)
    practices = (statement.practice for statement in newest if statement.practice)
    return KnownPerson(deceased, next(practices, before.practice))


def news(before: KnownPerson, after: KnownPerson) -> list[News]:
    """The news between two states. The first known practice is no move."""
    changes = []
    if after.deceased != before.deceased:
        changes.append(News.DECEASED if after.deceased else News.NOT_DECEASED)
    if before.practice and after.practice != before.practice:
        changes.append(News.MOVED)
    return changes


def _links(event: RecordChanged, entry: Entry, keys: Keys) -> tuple[tuple[str, str], ...]:
    if entry.content is None:
        return ()
    made = stated_links(event, entry, keys, authoritative=True).links
    return tuple((link.other_key, link.kind) for link in made if link.kind != PROVISIONAL)


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


def _practices(entries: Sequence[Entry]) -> Mapping[str, str]:
    """The ODS codes of the Organizations in the same message, by shared id."""
    organisations = [entry for entry in entries if entry.resource_type == "Organization" and entry.content]
    codes = {entry.shared_id: ods_code(content) for entry in organisations if (content := _readable(entry))}
    return {shared_id: code for shared_id, code in codes.items() if code}


@dataclass(frozen=True, slots=True)
class Move:
    """A move of a person from one practice to another (ODS codes). `from_practice`: a practice stands for the requester
    of the referral, and not a hospital or another service.
    """

    former: str
    practice: str
    from_practice: bool


def news_change(
    referral: Referral, context: ChangeContext, news: News, reason: str, move: Move
) -> ReferralChange | None:
    """The change of a referral that tells its parties the news; None where the referral has ended meanwhile.

    It does not change the status: the parties decide about that. All parties get a notice, also the holder, because no
    party made the change. The reason of a move is the person's new practice, and that of a death that a source states
    is the source. A move tells the former and the new practice too, and lets the new one act.
    """
    if not referral.is_open:
        return None
    after = replace(referral, version=referral.version + 1)
    others: tuple[Party, ...] = ()
    if news is News.MOVED:
        after = replace(after, practice=_acting_practice(referral, move))
        others = tuple(Party(practice) for practice in (move.former, move.practice) if practice)
    change = build_change(referral, after, news, context)
    return replace(change, reason=reason, notices=notices(news, referral, after, None, others))


def _acting_practice(referral: Referral, move: Move) -> str:
    """The practice that may act for the requester after a move; empty: none.

    It is the new practice where a practice stands for the requester. A hospital that has referred the person goes on by
    itself.
    """
    if move.practice in ("", referral.referrer.organisation):
        return ""
    return move.practice if move.from_practice else ""
