"""Access to a person's record by a caller: load the person, decide the visibility, audit, and only then answer.

`RecordAccess.view` loads the person (`person_reader.py`), asks policy (`shared/policy.py`), and returns the visible
entries. `RecordAccess.answer_audited` lets an answer leave only after Kafka has the access events. Every route that
shows something of a person passes here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from cachetools import LRUCache

from onestory.record.person import store as person_store
from onestory.record.person.identifiers import IdentifierMatch, PersonRef, matching_person_keys
from onestory.record.person.labels import (
    PERSON_TYPES,
    redacted_version,
    without_contact_details,
)
from onestory.record.person.load import PersonRecord
from onestory.record.projector.rows import record_digest
from onestory.record.read import store as read_store
from onestory.record.read.identifier_owner import matches_that_count
from onestory.record.read.networks import NetworkReader
from onestory.record.read.person_reader import PersonReader
from onestory.record.read.sent_content import as_referred, with_parts
from onestory.record.read.store import CurrentEntry, resource_hash_of
from onestory.record.search.parameters import RecordQuery
from onestory.record.search.sorting import START, EntryCursor
from onestory.shared.audit import AuditTrail, access_event
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.fhir.bundle import ResourceVersion
from onestory.shared.policy import (
    Caller,
    Decision,
    Visibility,
    decide,
)
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import get_or_make

PATIENT = "Patient"
_CACHED_DIGESTS = 1024
# The digest of a larger record would cost more memory than it saves time.
_MAX_CACHED_ENTRIES = 200

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Access:
    """One access to a record: the caller, the interaction, and the requested resource types (none means all)."""

    caller: Caller
    interaction: str
    resource_types: tuple[str, ...]
    correlation_id: str


@dataclass(frozen=True, slots=True)
class RecordView:
    """The part of a person's record that a caller sees.

    `entries` are as sources stated them, by type and id. `patients` are the shared Patients, composed from the visible
    Patient statements. `withholds_contact`: the Patients of others have no address and no phone, because a source
    labels the person confidential whose word does not restrict the record. `withheld`: something is not shown.
    `restricted` are the hashes of resources with a label, for a caller who does not see those of others. `at` is the
    moment of the record; None for the record as it is now.
    """

    person: PersonRecord
    decision: Decision
    entries: Sequence[CurrentEntry]
    patients: Sequence[CurrentEntry]
    withholds_contact: bool = False
    withheld: bool = False
    restricted: frozenset[str] = frozenset()
    at: datetime | None = None

    def matching(self, query: RecordQuery) -> list[CurrentEntry]:
        """The matches of a query in order: the shared Patients, then entries by type and id."""
        everything = [*self.patients, *self.entries]
        return everything if query.matches_all else [entry for entry in everything if _matches(entry, query)]

    @property
    def version(self) -> str:
        """The caller's visibility, and whether something is withheld: the part of an ETag that no entry shows."""
        return f"{self.decision.visibility} {self.withheld} {self.withholds_contact}"

    def hides(self, shared_id: str) -> bool:
        """Whether a label hides this resource of another organisation, in all its versions."""
        return resource_hash_of(shared_id) in self.restricted

    def served(self, resource_type: str, own: bool, version: ResourceVersion) -> ResourceVersion:
        """A version as this caller sees it. `own`: the caller's organisation states it."""
        if not self.withholds_contact or own or resource_type not in PERSON_TYPES or not version.content:
            return version
        content = without_contact_details(version.content)
        if content == version.content:
            return version
        return version._replace(content=content, event_id=redacted_version(version.event_id))


class RecordAccess:
    """Reads records for callers."""

    def __init__(self, database: Database, audit: AuditTrail, persons: PersonReader, networks: NetworkReader) -> None:
        self._database = database
        self._audit = audit
        self._persons = persons
        self._networks = networks
        self._digests: LRUCache[tuple[tuple[str, bytes], ...], str] = LRUCache(_CACHED_DIGESTS)

    async def view(
        self,
        ref: PersonRef,
        access: Access,
        past_organisations: Collection[str] = (),
        at: datetime | None = None,
    ) -> RecordView:
        """The caller's view of the person; it is empty with visibility `none`. Raises `Malformed`, `Unavailable`.

        With `at` the view is of the record as of that moment, under the caller's visibility of today.
        `past_organisations` count as sources although the record has no current statement of theirs.

        A caller limited to its own statements cannot find a person by another source's identifier. Only that source
        states that the identifier is the person's.
        """
        with self._audit.expecting():
            ref, only_others = await self._resolve(ref, access.caller)
            now = await self._persons.load(ref)
            registered_now = await self._persons.registered_practice(now)
            person = now if at is None else await self._persons.load(ref, at)
            practice = registered_now if at is None else await self._persons.registered_practice(person)
        organisations = [entry.organisation for each in (now, person) for entry in each.entries]
        sources = frozenset([*past_organisations, *organisations])
        subject = await self._persons.policy_subject(now, registered_now, sources)
        networks, moment = await self._networks.current(), datetime.now(UTC)
        decision = decide(access.caller, subject, networks, moment)
        if decision.visibility is not Visibility.ALL and subject.referrals:
            subject = await as_referred(self._persons, ref, access.caller, subject, networks)
            decision = await with_parts(
                self._database, decide(access.caller, subject, networks, moment), person.entries
            )
        content, organisation = decision.content, access.caller.organisation
        own_only = decision.visibility is Visibility.OWN and not content.knows_person
        own_only = own_only and organisation not in past_organisations
        if own_only and (only_others or await self._is_identity_of_others(ref, [now, person], access.caller)):
            decision = Decision(Visibility.NONE, "named-by-another-source")
        # A caller with its own statements only must not learn of another source's label.
        sees_others = decision.visibility is Visibility.ALL
        restricted: frozenset[str] = frozenset()
        if sees_others and not decision.sees_restricted:
            keys = {*now.person_keys, *person.person_keys}
            restricted = await read_store.restricted_resources(self._database, keys)
        entries = visible_entries(person.entries, decision, organisation, restricted)
        withhold = sees_others and self._persons.withholds_contact(registered_now, now, person)
        practice, composed, without_contact = practice if sees_others else None, entries, withhold
        if content.knows_person:
            practice = None if subject.is_restricted else registered_now
            composed = self._persons.identity_entries(person, entries, subject)
            without_contact = subject.is_restricted or self._persons.withholds_contact(registered_now, now, person)
        patients = self._persons.shared_patients(person, composed, practice, without_contact)
        withheld = withhold or (sees_others and len(entries) < len(person.entries))
        if withhold:
            entries = await self._persons.without_contact(entries, organisation)
        return RecordView(person, decision, entries, patients, withhold, withheld, restricted, at)

    async def may_read(self, caller: Caller, person_key: str) -> bool:
        """Whether policy lets the caller see something of the person. Nothing is shown. Raises `Unavailable`."""
        view = await self.view(PersonRef(person_key), Access(caller, "publish", (), ""))
        return view.decision.visibility is not Visibility.NONE

    async def _resolve(self, ref: PersonRef, caller: Caller) -> tuple[PersonRef, bool]:
        """The person whom a local identifier names, and whether only other organisations state that identifier.

        Returns `ref` itself if it has no local identifier, or if the identifier names no person. If it names several,
        raises `Malformed` when the caller's organisation is among those that state it, and returns `ref` otherwise.
        """
        if ref.local is None:
            return ref, False
        stated = await person_store.identifier_matches(self._database, *ref.local)
        matches = await matches_that_count(
            self._database,
            ref.local[0],
            stated,
            caller.organisation,
            self._counts_about,
            authorities=self._persons.trust(None).authorities,
            networks=(await self._networks.current()).organisations,
        )
        keys = matching_person_keys(matches, caller.organisation)
        if not keys:
            return ref, False
        resolved, own = PersonRef(keys[0]), any(match.organisation == caller.organisation for match in matches)
        if len(keys) == 1 or set(keys) <= set((await self._persons.load(resolved)).person_keys):
            return resolved, not own
        if own:
            raise Malformed(
                "Your organisation states this identifier for several persons. Send a Patient id.", code="value"
            )
        return ref, False

    async def _counts_about(self, match: IdentifierMatch) -> bool:
        """Whether the organisation is a demographic authority, or the registered practice of the person."""
        person = await self._persons.load(PersonRef(match.person_key))
        return self._persons.trust(await self._persons.registered_practice(person)).counts(match.organisation)

    async def _is_identity_of_others(self, ref: PersonRef, persons: Sequence[PersonRecord], caller: Caller) -> bool:
        """Whether another organisation gave this identity and the caller's has no statements under it."""
        key, organisation = ref.person_key, caller.organisation
        if any(key in person.numbers for person in persons):
            return False
        entries = (entry for person in persons for entry in person.entries)
        if any((entry.person_key, entry.organisation) == (key, organisation) for entry in entries):
            return False
        return await person_store.provisional_organisation(self._database, key) not in (None, organisation)

    async def with_contents(self, entries: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
        """The same entries, all with contents. Raises `Unavailable`."""
        return await read_store.with_contents(self._database, entries)

    def digest(self, view: RecordView) -> str:
        """The record digest of the visible entries."""
        digests = tuple([(entry.shared_id, entry.content_digest) for entry in view.entries])
        if len(digests) > _MAX_CACHED_ENTRIES:
            return record_digest(digests)
        return get_or_make(self._digests, digests, lambda: record_digest(digests))

    async def answer_audited(
        self, view: RecordView, access: Access, produce: Callable[[], Answer], *, empty_if_hidden: bool = False
    ) -> Answer:
        """The answer that `produce` makes, after Kafka has the access events. Refusals wait for them too.

        Raises `NotFound` if the caller may see nothing. With `empty_if_hidden` the answer itself shows that there is
        nothing, as it does for an unknown person. Raises `Unavailable` if an event cannot be written.

        There is one event for each identity of the person. So events stay with the right record when an identity link
        is undone.
        """
        audit = asyncio.ensure_future(self._record_events(view, access))
        try:
            # Sends the events before the answer is made.
            await asyncio.sleep(0)
            if view.decision.visibility is Visibility.NONE and not empty_if_hidden:
                raise not_found()
            return produce()
        finally:
            await audit

    async def _record_events(self, view: RecordView, access: Access) -> None:
        caller, decision = access.caller, view.decision
        await self._audit.record(
            *[
                access_event(
                    person_key, caller, decision, access.interaction, access.resource_types, access.correlation_id
                )
                for person_key in view.person.person_keys
            ]
        )


async def unfiltered_view(persons: PersonReader, ref: PersonRef) -> RecordView:
    """A person's whole record for use inside the deployment, where no caller reads it. Raises `Unavailable`."""
    person = await persons.load(ref)
    practice = await persons.registered_practice(person)
    withhold = persons.withholds_contact(practice, person)
    patients = persons.shared_patients(person, person.entries, practice, withhold)
    entries = await persons.without_contact(person.entries) if withhold else person.entries
    return RecordView(person, Decision(Visibility.ALL, "deployment"), entries, patients, withhold, withhold)


def visible_entries(
    entries: Sequence[CurrentEntry], decision: Decision, organisation: str, restricted: Collection[str] = ()
) -> Sequence[CurrentEntry]:
    """The entries that a caller of this organisation sees. `restricted`: hashes of resources with a label R or V."""
    match decision.visibility:
        case Visibility.ALL if decision.sees_restricted:
            return entries
        case Visibility.ALL:
            return [
                entry
                for entry in entries
                if entry.organisation == organisation or not (entry.restricted or entry.resource_hash in restricted)
            ]
        case Visibility.OWN:
            content = decision.content
            return [
                entry
                for entry in entries
                if entry.organisation == organisation or content.has(entry.shared_id, entry.organisation)
            ]
        case _:
            return ()


def page_of(matches: Sequence[CurrentEntry], query: RecordQuery) -> tuple[Sequence[CurrentEntry], EntryCursor | None]:
    """The matches that are on the requested page, and the cursor of the next page."""
    first_page = query.after == START
    remaining = matches if first_page else [entry for entry in matches if entry.cursor > query.after]
    on_page = remaining[: query.count]
    return on_page, on_page[-1].cursor if on_page and len(remaining) > len(on_page) else None


def answer_version(matches: Sequence[CurrentEntry], url: str, visibility: str) -> str:
    """The version of the answer at a URL. It changes with its matches and with `RecordView.version`."""
    versions = [f"{entry.shared_id}/{entry.version_id}" for entry in matches]
    return hashlib.sha256("\n".join([url, visibility, *versions]).encode()).hexdigest()[:32]


def not_found() -> NotFound:
    """The same error whether a thing is missing or the caller may not see it."""
    return NotFound("There is nothing here that you may read.")


def _matches(entry: CurrentEntry, query: RecordQuery) -> bool:
    if query.types is not None and entry.resource_type not in query.types:
        return False
    if query.ids is not None and entry.shared_id not in query.ids:
        return False
    return query.time_range.holds(entry.broker_time)
