"""Reading a person's record: load, decide, audit. Nothing leaves before the audit event is with Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from uuid_utils.compat import uuid7

from onestory.record.domain.digest import record_digest
from onestory.record.domain.local_identifier import candidates
from onestory.record.domain.patient_confidentiality import is_restricted
from onestory.record.domain.search.person import Asked
from onestory.record.reading.kept import Kept
from onestory.record.reading.person import Person
from onestory.record.reading.subjects import Subjects
from onestory.record.reading.view import PATIENT, View, visible
from onestory.record.store import entries, identifiers
from onestory.record.store.entries import CurrentEntry
from onestory.shared.audit import AuditTrail
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.events import AccessRecorded
from onestory.shared.policy import Decision, Subject, Visibility, may

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


class Reader:
    """Reads for callers. `networks` maps a practice's ODS code to its network."""

    def __init__(self, database: Database, audit: AuditTrail, subjects: Subjects, networks: Mapping[str, str]) -> None:
        self._database = database
        self._audit = audit
        self._subjects = subjects
        self._networks = networks
        self._digests: Kept[tuple[tuple[str, bytes], ...], str] = Kept(_DIGESTS_KEPT)

    async def view(
        self, asked: Asked, access: Access, speakers: Collection[str] = (), at: datetime | None = None
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

    async def _whom(self, asked: Asked, caller: Caller) -> tuple[Asked, bool]:
        """Whom a local identifier means, and whether only others call them so; else the person asked for.

        Raises `Malformed` where it means several.
        """
        if asked.local is None:
            return asked, False
        bearers = await identifiers.bearers(self._database, *asked.local)
        keys = candidates(bearers, caller.organisation)
        if not keys:
            return asked, False
        found, own = Asked(keys[0]), any(each.organisation == caller.organisation for each in bearers)
        if len(keys) == 1 or set(keys) <= set((await self._subjects.load(found)).person_keys):
            return found, not own
        if own:
            raise Malformed("You say of several people that this is their identifier: name one by id.", code="value")
        return asked, False

    async def _is_anothers(self, asked: Asked, persons: Sequence[Person], caller: Caller) -> bool:
        """Whether it is an identity that another organisation gave, and under which the caller says nothing."""
        key, organisation = asked.person_key, caller.organisation
        if any(key in person.numbers for person in persons):
            return False
        said = (entry for person in persons for entry in person.entries)
        if any((entry.person_key, entry.organisation) == (key, organisation) for entry in said):
            return False
        return await identifiers.giver(self._database, key) not in (None, organisation)

    def digest(self, view: View) -> str:
        """The record digest over what the caller sees."""
        said = tuple([(entry.shared_id, entry.content_digest) for entry in view.entries])
        if len(said) > _LARGEST_KEPT:
            # Remembering it would take more memory than it saves time.
            return record_digest(said)
        return self._digests.get(said, lambda: record_digest(said))

    async def fetched(self, page: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
        """The same page with all of its contents."""
        return await entries.whole(self._database, page)

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


def _subject(now: Person, practice: str | None, sources: frozenset[str]) -> Subject:
    restricted = bool(now.referrals) and any(
        is_restricted(entry.content or b"{}") for entry in now.entries if entry.resource_type == PATIENT
    )
    return Subject(practice, sources, now.referrals, restricted)


def absent() -> NotFound:
    """The same words whether there is no such thing or the caller has no reason to see it."""
    return NotFound("There is nothing here that you may read.")
