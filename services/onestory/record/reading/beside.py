"""What comes along with the matches of a page: what they refer to, and what refers to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from onestory.record.domain.provenance import provenance_id, provenance_of
from onestory.record.domain.search.asked import Search
from onestory.record.domain.search.include import targets
from onestory.record.domain.search.reference import Target
from onestory.record.reading.opened import opened
from onestory.record.reading.reader import Reader
from onestory.record.reading.view import View
from onestory.record.store import directory_entries, provenances
from onestory.record.store.entries import CurrentEntry
from onestory.record.store.provenances import Wanted
from onestory.shared.database import Database
from onestory.shared.identity import is_directory_id

PROVENANCE = "Provenance"


class Beside(NamedTuple):
    """A resource that is in an answer without being a match."""

    resource_type: str
    id: str
    event_id: UUID | str
    content: bytes


class Companions:
    """Finds what comes along. `fhir` is the FHIR base URL."""

    def __init__(self, reader: Reader, database: Database, fhir: str) -> None:
        self._reader = reader
        self._database = database
        self._fhir = fhir

    async def of(self, view: View, held: Sequence[CurrentEntry], search: Search) -> list[Beside]:
        """What the search asks to come along with what is on this page, each once, as far as the caller sees it."""
        if not (held and (search.includes or search.included_by)):
            return []
        matches = {Target(entry.resource_type, entry.shared_id) for entry in held}
        referring = await self._referring(view, matches, search)
        said = [*await self._referred(view, held, matches, search), *referring, *await self._provenance(held, search)]
        return list({each[:2]: each for each in said if Target(*each[:2]) not in matches}.values())

    async def _referred(
        self, view: View, held: Sequence[CurrentEntry], matches: set[Target], search: Search
    ) -> list[Beside]:
        wanted = {found for entry in held for found in targets(opened(entry), search.includes, self._fhir)} - matches
        seen = [entry for entry in (*view.patients, *view.entries) if Target(*_address(entry)) in wanted]
        in_directory = sorted(each for each in wanted if is_directory_id(each.id))
        directory = await directory_entries.standing(self._database, in_directory)
        return [*await self._beside(seen), *[Beside(*entry) for entry in directory]]

    async def _referring(self, view: View, matches: set[Target], search: Search) -> list[Beside]:
        kinds = {each.resource_type for each in search.included_by}
        candidates = [entry for entry in view.entries if entry.resource_type in kinds]
        fetched = await self._reader.fetched(candidates)
        referring = [e for e in fetched if not matches.isdisjoint(targets(opened(e), search.included_by, self._fhir))]
        return await self._beside(referring)

    async def _provenance(self, held: Sequence[CurrentEntry], search: Search) -> list[Beside]:
        """The Provenance that follows from the statements themselves."""
        if not any(each.is_provenance_of_target for each in search.included_by):
            return []
        wanted = [Wanted(*_statement(entry)) for entry in held if not entry.composed]
        told = sorted(await provenances.told(self._database, wanted), key=lambda each: each.shared_id)
        return [
            Beside(PROVENANCE, provenance_id(each.shared_id, each.event_id), each.event_id, provenance_of(each))
            for each in told
        ]

    async def _beside(self, entries: Sequence[CurrentEntry]) -> list[Beside]:
        return list(_shown(await self._reader.fetched(entries)))


def _shown(entries: Sequence[CurrentEntry]) -> Iterator[Beside]:
    for entry in entries:
        assert entry.content is not None
        yield Beside(entry.resource_type, entry.shared_id, entry.event_id, entry.content)


def _address(entry: CurrentEntry) -> tuple[str, str]:
    return entry.resource_type, entry.shared_id


def _statement(entry: CurrentEntry) -> tuple[str, str, UUID]:
    assert isinstance(entry.event_id, UUID)
    return entry.person_key, entry.shared_id, entry.event_id
