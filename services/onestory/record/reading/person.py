"""One person as the record has them: all identities that are the same person, and what is said under each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from onestory.record.domain import alias
from onestory.record.domain.alias import Succession
from onestory.record.domain.patient import Numbers
from onestory.record.domain.search import Question
from onestory.record.domain.search_person import Asked
from onestory.record.reading import store
from onestory.record.reading.store import CurrentEntry
from onestory.shared.database import Database


@dataclass(frozen=True, slots=True)
class Person:
    """`person_keys` are the identities that are this person, the one asked for among them; `numbers` the NHS numbers
    behind those that have one; `entries` what is part of the record under any of them, by type and id.
    """

    asked: Asked
    person_keys: Collection[str]
    numbers: Mapping[str, str]
    successions: Collection[Succession]
    entries: Sequence[CurrentEntry]

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


async def load(database: Database, asked: Asked, question: Question) -> Person:
    """The person asked for. One round trip, unless there may be something under another identity."""
    own = (asked.person_key,)
    entries = await store.entries(database, asked.person_key, question)
    if entries and not entries[0].linked:
        return Person(asked, own, await _numbers(database, asked, own, question), (), entries)
    successions = alias.successions(await store.links(database, asked.person_key))
    joined = alias.joined(successions, asked.person_key)
    for person_key in joined - {asked.person_key}:
        entries.extend(await store.entries(database, person_key, question))
    if len(joined) > 1:
        withdrawn = await store.withdrawn(database, joined)
        entries = [entry for entry in entries if entry.shared_id not in withdrawn]
    entries.sort(key=lambda entry: (entry.resource_type, entry.shared_id))
    return Person(asked, joined, await _numbers(database, asked, joined, question), successions, entries)


async def _numbers(
    database: Database, asked: Asked, person_keys: Collection[str], question: Question
) -> Mapping[str, str]:
    """The NHS numbers behind these keys, as far as the answer to the question needs them."""
    known = {asked.person_key: asked.number} if asked.number else {}
    if len(known) == len(person_keys) or (question.types is not None and "Patient" not in question.types):
        return known
    return {**await store.numbers(database, person_keys), **known}
