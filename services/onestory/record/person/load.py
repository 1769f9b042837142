"""One person as the record has them: all identities that are the same person, and what is said under each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from onestory.record.person import store as person_store
from onestory.record.person.composition import Numbers, compose
from onestory.record.person.identifiers import PersonRef
from onestory.record.person.registration import named_practitioners, organisations_named, registered_practice
from onestory.record.person.statements import PatientStatement, by_standing
from onestory.record.projector import referral_store
from onestory.record.read import as_of_store, history_store
from onestory.record.read import store as read_store
from onestory.record.read.history_store import StoredResource
from onestory.record.read.store import CurrentEntry
from onestory.shared import person_links
from onestory.shared.fhir.references import ods_code
from onestory.shared.person_links import Succession
from onestory.shared.policy import OpenReferral
from onestory.shared.postgres.database import Database, Queries
from onestory.shared.runtime import Cache

_KEPT_BYTES = 32_000_000
_KEPT_CONTENT_BYTES = 100_000
"""A person with more than this comes without contents; each page then fetches its own."""
_ENTRY_BYTES = 800


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """`person_keys` are the identities that are this person, the one asked for among them; `numbers` the NHS numbers
    behind those that have one; `entries` what is part of the record under any of them, by type and id. `versions` has
    the states that all of this follows from, also of those to whom links lead that join nobody. `referrals` are those
    that are open now; of the past none are loaded.
    """

    person_keys: Collection[str]
    versions: Mapping[str, int]
    numbers: Mapping[str, str]
    successions: Collection[Succession]
    entries: Sequence[CurrentEntry]
    referrals: tuple[OpenReferral, ...] = ()

    def numbers_of(self, person_key: str) -> Numbers:
        """The NHS number behind a key, and how it stands to the person's others."""
        before = [each.older for each in self.successions if each.newer == person_key and each.numbered]
        after = [each.newer for each in self.successions if each.older == person_key and each.numbered]
        rest = set(self.numbers) - {*before, *after, person_key}
        return Numbers(
            own=self.numbers[person_key],
            replaces=self._known(before),
            replaced_by=self._known(after),
            others=self._known(rest),
        )

    def _known(self, person_keys: Collection[str]) -> tuple[str, ...]:
        return tuple(sorted(self.numbers[key] for key in person_keys if key in self.numbers))


class PersonLoader:
    """Loads persons, and keeps those that were asked for last while nothing changes of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: Cache[str, PersonRecord] = Cache(_KEPT_BYTES, _weigh)

    async def load(self, asked: PersonRef, at: datetime | None = None) -> PersonRecord:
        """The person asked for, as the record is now or was at a time. Raises `Unavailable`."""
        found = await self._now(asked.person_key) if at is None else await self._then(asked.person_key, at)
        if asked.number is None or asked.person_key in found.numbers:
            return found
        # Nobody has spoken of this number but by another one.
        return replace(found, numbers={**found.numbers, asked.person_key: asked.number})

    async def _now(self, person_key: str) -> PersonRecord:
        kept = self._kept.find(person_key)
        if kept is None or await person_store.state_versions(self._database, kept.versions) != kept.versions:
            async with self._database.snapshot() as queries:
                kept = self._kept.keep(person_key, await load(queries, person_key))
        return kept

    async def _then(self, person_key: str, at: datetime) -> PersonRecord:
        async with self._database.snapshot() as queries:
            return await load_as_of(queries, person_key, at)


async def load(queries: Queries, person_key: str) -> PersonRecord:
    """The person behind a key. `queries` must all see the same moment."""
    links = await read_store.links(queries, person_key)
    reached = {person_key}.union(*[(link.person_key, link.other_key) for link in links])
    successions = person_links.successions(links)
    joined = person_links.joined(successions, person_key)
    found = [entry for key in joined for entry in await read_store.current(queries, key, _KEPT_CONTENT_BYTES)]
    if len(joined) > 1:
        withdrawn = await read_store.withdrawn(queries, joined)
        found = [entry for entry in found if entry.shared_id not in withdrawn]
    found.sort(key=lambda entry: (entry.resource_type, entry.shared_id))
    versions = await person_store.state_versions(queries, reached)
    made = await referral_store.standing_open(queries, joined)
    return PersonRecord(joined, versions, await read_store.numbers(queries, joined), successions, found, tuple(made))


async def load_as_of(queries: Queries, person_key: str, at: datetime) -> PersonRecord:
    """The person behind a key as the record was at a time. `queries` must all see the same moment.

    Identities count that were the same person then and still are: what a join that has since been undone brought with
    it was of somebody else. An entry that its source has since said of somebody else is left out for the same reason.
    """
    same_now = person_links.joined(person_links.successions(await read_store.links(queries, person_key)), person_key)
    successions = person_links.successions(await as_of_store.links(queries, person_key, at))
    joined = person_links.joined(successions, person_key) & same_now
    found = await as_of_store.current(queries, joined, at, same_now, _KEPT_CONTENT_BYTES)
    versions = await person_store.state_versions(queries, same_now)
    return PersonRecord(joined, versions, await as_of_store.numbers(queries, joined, at), successions, found)


def _weigh(person: PersonRecord) -> int:
    return sum(_ENTRY_BYTES + len(entry.content or b"") for entry in person.entries) + _ENTRY_BYTES


# Who a person is, as the sources say it: the registered practice, and the shared Patients.

Versions = tuple[tuple[str, UUID | str, int, datetime | None], ...]
Practice = tuple[str | None, frozenset[str]]
_KEPT = 4096
# With a photo it would take more memory than it saves time.
_LARGEST_KEPT_BYTES = 20_000
_MICROSECONDS = 1_000_000


class Demographics:
    """Composes, and remembers what it composed by the statements that it is made of.

    `authorities` are ODS codes; `sequenced` are sources, `ODS/system`, whose rank is a number and not a time.
    """

    def __init__(self, authorities: Collection[str], sequenced: Collection[str]) -> None:
        self._authorities = authorities
        self._sequenced = sequenced
        self._practices: Cache[Versions, Practice] = Cache(_KEPT)
        self._patients: Cache[tuple[Numbers, str | None, Versions], CurrentEntry] = Cache(_KEPT)

    def practice(self, entries: Sequence[CurrentEntry]) -> Practice:
        """The registered practice by these Patient statements, and the Organizations to be looked up to be sure."""
        return self._practices.get(_versions(entries), lambda: self._practice(entries))

    def practice_knowing(self, entries: Sequence[CurrentEntry], practices: Mapping[str, str]) -> str | None:
        """The registered practice, when the ODS codes of those Organizations are known."""
        named = named_practitioners(self._statements(entries), self._authorities)
        return registered_practice(named, self._authorities, practices)

    def patient(
        self, person_key: str, numbers: Numbers, entries: Sequence[CurrentEntry], practice: str | None
    ) -> CurrentEntry:
        """The shared Patient for `numbers.own` by these Patient statements."""
        if sum(len(entry.content or b"") for entry in entries) > _LARGEST_KEPT_BYTES:
            return self._patient(person_key, numbers, entries, practice)
        return self._patients.get(
            (numbers, practice, _versions(entries)), lambda: self._patient(person_key, numbers, entries, practice)
        )

    def _patient(
        self, person_key: str, numbers: Numbers, entries: Sequence[CurrentEntry], practice: str | None
    ) -> CurrentEntry:
        heard = by_standing(self._statements(entries), self._authorities, practice)
        patient = compose(numbers, heard)
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

    def _practice(self, entries: Sequence[CurrentEntry]) -> Practice:
        named = named_practitioners(self._statements(entries), self._authorities)
        return registered_practice(named, self._authorities, {}), organisations_named(named)

    def _statements(self, entries: Sequence[CurrentEntry]) -> list[PatientStatement]:
        return [self._statement(entry) for entry in entries]

    def _statement(self, entry: CurrentEntry) -> PatientStatement:
        # Sequences of different sources do not compare with each other, nor with times.
        by_number = f"{entry.organisation}/{entry.system}" in self._sequenced
        assert entry.published_at is not None
        said_at = int(entry.published_at.timestamp() * _MICROSECONDS) if by_number else entry.rank
        content = entry.content or b"{}"
        return PatientStatement(
            entry.shared_id, entry.event_id, entry.organisation, said_at, entry.broker_time, content
        )


def _versions(entries: Sequence[CurrentEntry]) -> Versions:
    # A repetition that arrives late may change the rank of a statement, and with it who is heard first.
    return tuple((entry.shared_id, entry.event_id, entry.rank, entry.published_at) for entry in entries)


# Organizations that are named by reference, and their ODS codes.


async def organisation_codes(
    database: Database, said: Sequence[CurrentEntry], named: Collection[str]
) -> Mapping[str, str]:
    """The ODS codes behind these shared ids, of Organizations that came along with what was said of the person, or that
    are in the directory.
    """
    if not named:
        return {}
    with_person = [entry for entry in said if entry.shared_id in named]
    contents = dict(await read_store.contents(database, with_person))
    for shared_id in set(named) - set(contents):
        standing = await history_store.standing(database, StoredResource("Organization", shared_id, None))
        if standing and standing.version.content:
            contents[shared_id] = standing.version.content
    found = {shared_id: ods_code(content) for shared_id, content in contents.items()}
    return {shared_id: code for shared_id, code in found.items() if code}
