"""Loads one person: all linked identities, and the entries, numbers and open referrals under each of them.

`PersonLoader` keeps loaded persons in a cache. `Demographics` finds the registered practice and composes the shared
Patients.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from cachetools import LRUCache

from onestory.record.person import store as person_store
from onestory.record.person.composition import NhsNumbers, compose
from onestory.record.person.identifiers import PersonRef
from onestory.record.person.statements import (
    PatientStatement,
    Trust,
    practice_references,
    practitioners_by_precedence,
    registered_practice,
)
from onestory.record.projector import referral_store
from onestory.record.read import as_of_store, history_store
from onestory.record.read import store as read_store
from onestory.record.read.history_store import StoredResource
from onestory.record.read.store import CurrentEntry
from onestory.shared import identity_links
from onestory.shared.fhir.references import (
    general_practitioners,
    ods_code,
    organisation_shared_id,
    practice_ods_code,
)
from onestory.shared.identity_links import Succession
from onestory.shared.policy import PersonReferral
from onestory.shared.postgres.database import Database, Queries
from onestory.shared.runtime import get_or_make, store_if_it_fits

_CACHE_BYTES = 32_000_000
_CACHED_CONTENT_BYTES = 100_000
"""A person with more content than this is loaded without contents. Each page then fetches its own."""
_ENTRY_BYTES = 800


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person's record.

    `person_keys` are the identities that are this person, with the requested one. `versions` has the stored version of
    every identity that this depends on, also of identities whose links join nobody. `numbers` gives the NHS number of
    each key that has one. `entries` are visible current entries, by type and id. `referrals` are those of now; a
    record as of a past time has none.
    """

    person_keys: Collection[str]
    versions: Mapping[str, int]
    numbers: Mapping[str, str]
    successions: Collection[Succession]
    entries: Sequence[CurrentEntry]
    referrals: tuple[PersonReferral, ...] = ()

    def numbers_of(self, person_key: str) -> NhsNumbers:
        """The NHS number of a key, and its relation to the person's other numbers."""
        before = [
            succession.older
            for succession in self.successions
            if succession.newer == person_key and succession.both_nhs_numbers
        ]
        after = [
            succession.newer
            for succession in self.successions
            if succession.older == person_key and succession.both_nhs_numbers
        ]
        rest = set(self.numbers) - {*before, *after, person_key}
        return NhsNumbers(
            own=self.numbers[person_key],
            replaces=self._sorted_numbers(before),
            replaced_by=self._sorted_numbers(after),
            others=self._sorted_numbers(rest),
        )

    def _sorted_numbers(self, person_keys: Collection[str]) -> tuple[str, ...]:
        return tuple(sorted(self.numbers[key] for key in person_keys if key in self.numbers))


class PersonLoader:
    """Loads persons. Keeps up to 32 MB of them in a cache until their stored versions change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cache: LRUCache[str, PersonRecord] = LRUCache(_CACHE_BYTES, _size_bytes)

    async def load(self, ref: PersonRef, at: datetime | None = None) -> PersonRecord:
        """The person, as the record is now, or as it was at a time. Raises `Unavailable`."""
        person = await self._load_current(ref.person_key) if at is None else await self._load_as_of(ref.person_key, at)
        if ref.number is None or ref.person_key in person.numbers:
            return person
        # No source has sent anything under this number itself.
        return replace(person, numbers={**person.numbers, ref.person_key: ref.number})

    async def _load_current(self, person_key: str) -> PersonRecord:
        person = self._cache.get(person_key)
        if person is None or await person_store.person_versions(self._database, person.versions) != person.versions:
            async with self._database.snapshot() as queries:
                person = store_if_it_fits(self._cache, person_key, await load_person(queries, person_key))
        return person

    async def _load_as_of(self, person_key: str, at: datetime) -> PersonRecord:
        async with self._database.snapshot() as queries:
            return await load_person_as_of(queries, person_key, at)


async def load_person(queries: Queries, person_key: str) -> PersonRecord:
    """The person behind a key. `queries` must read from one snapshot."""
    links = await read_store.links_in_force(queries, person_key)
    linked = {person_key}.union(*[(link.person_key, link.other_key) for link in links])
    successions = identity_links.successions(links)
    person_keys = identity_links.linked_keys(successions, person_key)
    entries = await read_store.current_entries(queries, person_keys, _CACHED_CONTENT_BYTES)
    if len(person_keys) > 1:
        withdrawn = await read_store.withdrawn_ids(queries, person_keys)
        entries = [entry for entry in entries if entry.shared_id not in withdrawn]
    versions = await person_store.person_versions(queries, linked)
    referrals = await referral_store.referrals_of_person(queries, person_keys)
    return PersonRecord(
        person_keys,
        versions,
        await read_store.nhs_numbers(queries, person_keys),
        successions,
        entries,
        tuple(referrals),
    )


async def load_person_as_of(queries: Queries, person_key: str, at: datetime) -> PersonRecord:
    """The person behind a key, as the record was at a time. `queries` must read from one snapshot.

    An identity counts when it was the same person then and still is. A link that was undone since had brought in
    another person's entries. For the same reason an entry is left out that its source has moved to another person
    since.
    """
    same_now = identity_links.linked_keys(
        identity_links.successions(await read_store.links_in_force(queries, person_key)), person_key
    )
    successions = identity_links.successions(await as_of_store.links_in_force(queries, person_key, at))
    person_keys = identity_links.linked_keys(successions, person_key) & same_now
    entries = await as_of_store.current_entries(queries, person_keys, at, same_now, _CACHED_CONTENT_BYTES)
    versions = await person_store.person_versions(queries, same_now)
    return PersonRecord(
        person_keys, versions, await as_of_store.nhs_numbers(queries, person_keys, at), successions, entries
    )


def _size_bytes(person: PersonRecord) -> int:
    return sum(_ENTRY_BYTES + len(entry.content or b"") for entry in person.entries) + _ENTRY_BYTES


# The registered practice and the shared Patients.

StatementVersions = tuple[tuple[str, UUID | str, int, datetime | None], ...]
PracticeLookup = tuple[str | None, frozenset[str]]
_PatientKey = tuple[NhsNumbers, str | None, bool, StatementVersions]
_CACHE_ENTRIES = 4096

# A Patient with a photo would cost more memory than it saves time.
_MAX_CACHED_PATIENT_BYTES = 20_000
_MICROSECONDS = 1_000_000


class Demographics:
    """Finds the registered practice and composes shared Patients, and caches both for the same statements.

    `authorities` are ODS codes of demographic authorities. `sequenced` are sources, as `ODS/system`, whose rank is a
    sequence number and not a time.
    """

    def __init__(self, authorities: Collection[str], sequenced: Collection[str]) -> None:
        self._authorities = frozenset(authorities)
        self._sequenced = sequenced
        self._practices: LRUCache[StatementVersions, PracticeLookup] = LRUCache(_CACHE_ENTRIES)
        self._patients: LRUCache[_PatientKey, CurrentEntry] = LRUCache(_CACHE_ENTRIES)

    def practice(self, entries: Sequence[CurrentEntry]) -> PracticeLookup:
        """The registered practice (ODS code) by these Patient statements.

        With it come the shared ids of Organizations whose ODS codes are needed to be certain.
        """
        return get_or_make(self._practices, _versions(entries), lambda: self._practice(entries))

    def practice_with_codes(self, entries: Sequence[CurrentEntry], practices: Mapping[str, str]) -> str | None:
        """The registered practice, given the ODS codes of those Organizations by shared id."""
        named = practitioners_by_precedence(self._statements(entries), self._authorities)
        return registered_practice(named, self._authorities, practices)

    def trust(self, practice: str | None) -> Trust:
        """The sources whose word counts about a person with this registered practice."""
        return Trust(self._authorities, practice)

    def patient(
        self,
        person_key: str,
        numbers: NhsNumbers,
        entries: Sequence[CurrentEntry],
        practice: str | None,
        withhold_contact: bool,
    ) -> CurrentEntry:
        """The shared Patient for `numbers.own`, composed of these Patient statements."""
        if sum(len(entry.content or b"") for entry in entries) > _MAX_CACHED_PATIENT_BYTES:
            return self._patient(person_key, numbers, entries, practice, withhold_contact)
        return get_or_make(
            self._patients,
            (numbers, practice, withhold_contact, _versions(entries)),
            lambda: self._patient(person_key, numbers, entries, practice, withhold_contact),
        )

    def _patient(
        self,
        person_key: str,
        numbers: NhsNumbers,
        entries: Sequence[CurrentEntry],
        practice: str | None,
        withhold_contact: bool,
    ) -> CurrentEntry:
        trust = self.trust(practice)
        patient = compose(numbers, self._statements(entries), trust, withhold_contact=withhold_contact)
        return CurrentEntry(
            person_key=person_key,
            resource_type="Patient",
            shared_id=numbers.own,
            event_id=patient.version_id,
            rank=0,
            published_at=patient.last_updated,
            recorded_at=patient.last_updated,
            broker_time=patient.last_updated,
            organisation="",
            system="",
            content_digest=b"",
            content=patient.content,
            composed=True,
        )

    def _practice(self, entries: Sequence[CurrentEntry]) -> PracticeLookup:
        named = practitioners_by_precedence(self._statements(entries), self._authorities)
        return registered_practice(named, self._authorities, {}), practice_references(named)

    def _statements(self, entries: Sequence[CurrentEntry]) -> list[PatientStatement]:
        return [self._statement(entry) for entry in entries]

    def _statement(self, entry: CurrentEntry) -> PatientStatement:
        # Sequence numbers of two sources cannot be compared, and neither can a number and a time.
        is_numbered = f"{entry.organisation}/{entry.system}" in self._sequenced
        assert entry.published_at is not None
        stated_at_us = int(entry.published_at.timestamp() * _MICROSECONDS) if is_numbered else entry.rank
        content = entry.content or b"{}"
        return PatientStatement(
            entry.shared_id, entry.event_id, entry.organisation, stated_at_us, entry.broker_time, content
        )


def _versions(entries: Sequence[CurrentEntry]) -> StatementVersions:
    # A repetition that arrives late may change the rank of a statement, and so its precedence.
    return tuple((entry.shared_id, entry.event_id, entry.rank, entry.published_at) for entry in entries)


async def practices_by_authorities(
    database: Database, person: PersonRecord, authorities: Collection[str]
) -> frozenset[str]:
    """The ODS codes of all practices that a demographic authority ever named as the person's. Raises `Unavailable`."""
    patients = await person_store.stated_patients(database, person.person_keys, authorities)
    named = [reference for content in patients for reference in general_practitioners(content)]
    shared_ids = {shared_id for reference in named if (shared_id := organisation_shared_id(reference))}
    codes = await organisation_codes(database, person.entries, shared_ids)
    return frozenset(code for reference in named if (code := practice_ods_code(reference, codes)))


async def organisation_codes(
    database: Database, entries: Sequence[CurrentEntry], shared_ids: Collection[str]
) -> Mapping[str, str]:
    """The ODS codes of Organizations, by shared id; those without a code are left out.

    An Organization may be one of the person's `entries`, or be in the directory.
    """
    if not shared_ids:
        return {}
    with_person = [entry for entry in entries if entry.shared_id in shared_ids]
    contents = dict(await read_store.contents(database, with_person))
    for shared_id in set(shared_ids) - set(contents):
        standing = await history_store.current_statement(database, StoredResource("Organization", shared_id, None))
        if standing and standing.version.content:
            contents[shared_id] = standing.version.content
    codes = {shared_id: ods_code(content) for shared_id, content in contents.items()}
    return {shared_id: code for shared_id, code in codes.items() if code}
