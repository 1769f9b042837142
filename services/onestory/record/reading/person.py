"""One person as the record has them: all identities that are the same person, and what is said under each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from onestory.record.domain import alias
from onestory.record.domain.alias import Succession
from onestory.record.domain.patient import Numbers
from onestory.record.domain.search.person import Asked
from onestory.record.domain.search.question import Question
from onestory.record.store import entries
from onestory.record.store.entries import CurrentEntry
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
    found = await entries.current(database, asked.person_key, question)
    if found and not found[0].linked:
        return Person(asked, own, await _numbers(database, asked, own, question), (), found)
    successions = alias.successions(await entries.links(database, asked.person_key))
    joined = alias.joined(successions, asked.person_key)
    for person_key in joined - {asked.person_key}:
        found.extend(await entries.current(database, person_key, question))
    if len(joined) > 1:
        withdrawn = await entries.withdrawn(database, joined)
        found = [entry for entry in found if entry.shared_id not in withdrawn]
    found.sort(key=lambda entry: (entry.resource_type, entry.shared_id))
    return Person(asked, joined, await _numbers(database, asked, joined, question), successions, found)


async def _numbers(
    database: Database, asked: Asked, person_keys: Collection[str], question: Question
) -> Mapping[str, str]:
    """The NHS numbers behind these keys, as far as the answer to the question needs them."""
    known = {asked.person_key: asked.number} if asked.number else {}
    if len(known) == len(person_keys) or (question.types is not None and "Patient" not in question.types):
        return known
    return {**await entries.numbers(database, person_keys), **known}
