"""One person as the record has them: all identities that are the same person, and what is said under each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from onestory.record.domain.patient import Numbers
from onestory.record.domain.search.person import Asked
from onestory.record.reading.kept import Kept
from onestory.record.store import as_of, entries, referrals, states
from onestory.record.store.entries import CurrentEntry
from onestory.shared import alias
from onestory.shared.alias import Succession
from onestory.shared.database import Database, Queries
from onestory.shared.policy import Referral

_KEPT_BYTES = 32_000_000
_KEPT_CONTENT_BYTES = 100_000
"""A person with more than this comes without contents; each page then fetches its own."""
_ENTRY_BYTES = 800


@dataclass(frozen=True, slots=True)
class Person:
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
    referrals: tuple[Referral, ...] = ()

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


class Persons:
    """Loads persons, and keeps those that were asked for last while nothing changes of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: Kept[str, Person] = Kept(_KEPT_BYTES, _weigh)

    async def load(self, asked: Asked, at: datetime | None = None) -> Person:
        """The person asked for, as the record is now or was at a time. Raises `Unavailable`."""
        found = await self._now(asked.person_key) if at is None else await self._then(asked.person_key, at)
        if asked.number is None or asked.person_key in found.numbers:
            return found
        # Nobody has spoken of this number but by another one.
        return replace(found, numbers={**found.numbers, asked.person_key: asked.number})

    async def _now(self, person_key: str) -> Person:
        kept = self._kept.find(person_key)
        if kept is None or await states.versions(self._database, kept.versions) != kept.versions:
            async with self._database.snapshot() as queries:
                kept = self._kept.keep(person_key, await load(queries, person_key))
        return kept

    async def _then(self, person_key: str, at: datetime) -> Person:
        async with self._database.snapshot() as queries:
            return await load_as_of(queries, person_key, at)


async def load(queries: Queries, person_key: str) -> Person:
    """The person behind a key. `queries` must all see the same moment."""
    links = await entries.links(queries, person_key)
    reached = {person_key}.union(*[(link.person_key, link.other_key) for link in links])
    successions = alias.successions(links)
    joined = alias.joined(successions, person_key)
    found = [entry for key in joined for entry in await entries.current(queries, key, _KEPT_CONTENT_BYTES)]
    if len(joined) > 1:
        withdrawn = await entries.withdrawn(queries, joined)
        found = [entry for entry in found if entry.shared_id not in withdrawn]
    found.sort(key=lambda entry: (entry.resource_type, entry.shared_id))
    versions = await states.versions(queries, reached)
    made = await referrals.standing_open(queries, joined)
    return Person(joined, versions, await entries.numbers(queries, joined), successions, found, tuple(made))


async def load_as_of(queries: Queries, person_key: str, at: datetime) -> Person:
    """The person behind a key as the record was at a time. `queries` must all see the same moment.

    Identities count that were the same person then and still are: what a join that has since been undone brought with
    it was of somebody else. An entry that its source has since said of somebody else is left out for the same reason.
    """
    same_now = alias.joined(alias.successions(await entries.links(queries, person_key)), person_key)
    successions = alias.successions(await as_of.links(queries, person_key, at))
    joined = alias.joined(successions, person_key) & same_now
    found = await as_of.current(queries, joined, at, same_now, _KEPT_CONTENT_BYTES)
    versions = await states.versions(queries, same_now)
    return Person(joined, versions, await as_of.numbers(queries, joined, at), successions, found)


def _weigh(person: Person) -> int:
    return sum(_ENTRY_BYTES + len(entry.content or b"") for entry in person.entries) + _ENTRY_BYTES
