"""Reading a person's record: load, decide, audit. Nothing leaves before the audit event is with Kafka."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from uuid_utils.compat import uuid7

from onestory.record.person import load
from onestory.record.person import store as person_store
from onestory.record.person.composition import is_restricted
from onestory.record.person.identifiers import PersonRef, candidates
from onestory.record.person.load import Demographics, PersonLoader, PersonRecord
from onestory.record.projector.rows import record_digest
from onestory.record.read import store as read_store
from onestory.record.read.store import CurrentEntry
from onestory.record.search.parameters import RecordQuery
from onestory.record.search.sorting import START, EntryPlace
from onestory.shared.audit import AuditTrail
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.events import AccessRecorded
from onestory.shared.http.caller import Caller
from onestory.shared.policy import Decision, Subject, Visibility, may
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import Cache

# What one caller sees of one person: policy first, and everything else follows from the visible entries.

PATIENT = "Patient"


@dataclass(frozen=True, slots=True)
class View:
    """What a caller sees of a person: `entries` as they were stated, and the shared Patients."""

    person: PersonRecord
    decision: Decision
    entries: Sequence[CurrentEntry]
    patients: Sequence[CurrentEntry]

    def matching(self, question: RecordQuery) -> list[CurrentEntry]:
        """All that the question asks for, in order: the shared Patients, then entries by type and id."""
        everything = [*self.patients, *self.entries]
        return everything if question.asks_for_all else [entry for entry in everything if _matches(entry, question)]


def visible(entries: Sequence[CurrentEntry], visibility: Visibility, organisation: str) -> Sequence[CurrentEntry]:
    """The entries that a caller of this organisation sees."""
    match visibility:
        case Visibility.ALL:
            return entries
        case Visibility.OWN:
            return [entry for entry in entries if entry.organisation == organisation]
        case _:
            return ()


def page(matching: Sequence[CurrentEntry], question: RecordQuery) -> tuple[Sequence[CurrentEntry], EntryPlace | None]:
    """The part of an answer that goes onto this page, and where the next page begins."""
    first_page = question.after == START
    ahead = matching if first_page else [entry for entry in matching if entry.place > question.after]
    held = ahead[: question.count]
    return held, held[-1].place if held and len(ahead) > len(held) else None


def tag(matching: Sequence[CurrentEntry], address: str, visibility: str) -> str:
    """What changes when the answer to this address changes: the versions in it, and how much the caller sees."""
    said = [f"{entry.shared_id}/{entry.event_id}" for entry in matching]
    return hashlib.sha256("\n".join([address, visibility, *said]).encode()).hexdigest()[:32]


def _matches(entry: CurrentEntry, question: RecordQuery) -> bool:
    if question.types is not None and entry.resource_type not in question.types:
        return False
    if question.ids is not None and entry.shared_id not in question.ids:
        return False
    return question.span.holds(entry.broker_time)


# Whom a reading is about: the person, the practice where they are registered, and their shared Patients.


class Subjects:
    """Finds them, by what their sources say."""

    def __init__(self, database: Database, demographics: Demographics) -> None:
        self._database = database
        self._demographics = demographics
        self._persons = PersonLoader(database)

    async def load(self, asked: PersonRef, at: datetime | None = None) -> PersonRecord:
        """The person asked for, as the record is now or was at a time. Raises `Unavailable`."""
        return await self._persons.load(asked, at)

    async def practice(self, found: PersonRecord) -> str | None:
        """The ODS code of the practice where the person is registered. Raises `Unavailable`."""
        statements = _patient_statements(found.entries)
        practice, named = self._demographics.practice(statements)
        if not named:
            return practice
        codes = await load.organisation_codes(self._database, found.entries, named)
        return self._demographics.practice_knowing(statements, codes)

    async def unfiltered(self, asked: PersonRef) -> View:
        """All of a person's record, for the deployment's own use: nobody reads it. Raises `Unavailable`."""
        found = await self.load(asked)
        decision = Decision(Visibility.ALL, "deployment")
        return View(found, decision, found.entries, self.patients(found, found.entries, await self.practice(found)))

    def patients(self, found: PersonRecord, seen: Sequence[CurrentEntry], practice: str | None) -> list[CurrentEntry]:
        """The shared Patients as these entries tell them; a reader who sees nothing of the person has none."""
        if not seen:
            return []
        statements = _patient_statements(seen)
        return [
            self._demographics.patient(key, found.numbers_of(key), statements, practice)
            for key in sorted(found.numbers)
        ]


def _patient_statements(entries: Sequence[CurrentEntry]) -> list[CurrentEntry]:
    return [entry for entry in entries if entry.resource_type == PATIENT]


Answer = TypeVar("Answer")
_DIGESTS_KEPT = 1024
_LARGEST_KEPT = 200


@dataclass(frozen=True, slots=True)
class Access:
    """Who reads, by which interaction, and which resource types were asked for (none named: all)."""

    caller: Caller
    interaction: str
    resource_types: tuple[str, ...]
    correlation_id: str


class RecordAccess:
    """Reads for callers. `networks` maps a practice's ODS code to its network."""

    def __init__(self, database: Database, audit: AuditTrail, subjects: Subjects, networks: Mapping[str, str]) -> None:
        self._database = database
        self._audit = audit
        self._subjects = subjects
        self._networks = networks
        self._digests: Cache[tuple[tuple[str, bytes], ...], str] = Cache(_DIGESTS_KEPT)

    async def view(
        self, asked: PersonRef, access: Access, speakers: Collection[str] = (), at: datetime | None = None
    ) -> View:
        """What the caller sees of the person; with visibility `none` it is empty.

        `speakers` are organisations that spoke of the person, also where nothing of it is part of the record any more.
        `at`: of the record as it was at this time, what the caller may see today. Who sees its own statements alone
        sees nothing by a name that another source gave the person: that it is a name of theirs is that source's word.
        """
        with self._audit.expecting():
            asked, by_another = await self._whom(asked, access.caller)
            now = await self._subjects.load(asked)
            registered = await self._subjects.practice(now)
            found = now if at is None else await self._subjects.load(asked, at)
            practice = registered if at is None else await self._subjects.practice(found)
        sources = frozenset([*speakers, *[entry.organisation for each in (now, found) for entry in each.entries]])
        decision = may(access.caller, _subject(now, registered, sources), self._networks)
        own = decision.visibility is Visibility.OWN and access.caller.organisation not in speakers
        if own and (by_another or await self._is_anothers(asked, [now, found], access.caller)):
            decision = Decision(Visibility.NONE, "named-by-another-source")
        seen = visible(found.entries, decision.visibility, access.caller.organisation)
        patients = self._subjects.patients(found, seen, practice if decision.visibility is Visibility.ALL else None)
        return View(found, decision, seen, patients)

    async def _whom(self, asked: PersonRef, caller: Caller) -> tuple[PersonRef, bool]:
        """Whom a local identifier means, and whether only others call them so; else the person asked for.

        Raises `Malformed` where it means several.
        """
        if asked.local is None:
            return asked, False
        bearers = await person_store.bearers(self._database, *asked.local)
        keys = candidates(bearers, caller.organisation)
        if not keys:
            return asked, False
        found, own = PersonRef(keys[0]), any(each.organisation == caller.organisation for each in bearers)
        if len(keys) == 1 or set(keys) <= set((await self._subjects.load(found)).person_keys):
            return found, not own
        if own:
            raise Malformed("You say of several people that this is their identifier: name one by id.", code="value")
        return asked, False

    async def _is_anothers(self, asked: PersonRef, persons: Sequence[PersonRecord], caller: Caller) -> bool:
        """Whether it is an identity that another organisation gave, and under which the caller says nothing."""
        key, organisation = asked.person_key, caller.organisation
        if any(key in person.numbers for person in persons):
            return False
        said = (entry for person in persons for entry in person.entries)
        if any((entry.person_key, entry.organisation) == (key, organisation) for entry in said):
            return False
        return await person_store.giver(self._database, key) not in (None, organisation)

    def digest(self, view: View) -> str:
        """The record digest over what the caller sees."""
        said = tuple([(entry.shared_id, entry.content_digest) for entry in view.entries])
        if len(said) > _LARGEST_KEPT:
            # Remembering it would take more memory than it saves time.
            return record_digest(said)
        return self._digests.get(said, lambda: record_digest(said))

    async def fetched(self, page: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
        """The same page with all of its contents."""
        return await read_store.whole(self._database, page)

    async def show(
        self, view: View, access: Access, produce: Callable[[], Answer], *, emptiness: bool = False
    ) -> Answer:
        """The answer, once Kafka has the access events. Raises `NotFound` where the caller may see nothing.

        With `emptiness` the answer says by itself that there is nothing, in the same way for whom nobody knows.

        One event for each identity whose record is shown, so that the trace stays with it when a join is undone.
        Raises `Unavailable`.
        """
        written = asyncio.ensure_future(self._trace(view, access))
        try:
            # The event is on its way while the answer is put together.
            await asyncio.sleep(0)
            if view.decision.visibility is Visibility.NONE and not emptiness:
                raise absent()
            return produce()
        finally:
            # A refusal does not leave before its trace either.
            await written

    async def _trace(self, view: View, access: Access) -> None:
        for person_key in view.person.person_keys:
            await self._audit.record(self._event(person_key, view.decision, access))

    def _event(self, person_key: str, decision: Decision, access: Access) -> AccessRecorded:
        caller = access.caller
        return AccessRecorded(
            access_id=uuid7(),
            person_key=person_key,
            occurred_at=datetime.now(UTC),
            organisation=caller.organisation,
            subject=caller.subject,
            role=caller.role,
            purpose=caller.purpose,
            interaction=access.interaction,
            resource_types=access.resource_types,
            visibility=decision.visibility.value,
            reason=decision.reason,
            correlation_id=access.correlation_id,
        )


def _subject(now: PersonRecord, practice: str | None, sources: frozenset[str]) -> Subject:
    restricted = bool(now.referrals) and any(
        is_restricted(entry.content or b"{}") for entry in now.entries if entry.resource_type == PATIENT
    )
    return Subject(practice, sources, now.referrals, restricted)


def absent() -> NotFound:
    """The same words whether there is no such thing or the caller has no reason to see it."""
    return NotFound("There is nothing here that you may read.")
