"""Search in the directory: `GET Organization?identifier=...`, for the types that may be published about no person.

The directory is about no person, so each caller may read it, and a search leaves no access event. FHIR R4,
http://hl7.org/fhir/R4/http.html#search.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read import store as read_store
from onestory.record.read.access import RecordAccess
from onestory.record.read.store import CurrentEntry
from onestory.record.search import directory_store
from onestory.record.search.execute import IncludedResource, decoded_resource, execute_search
from onestory.record.search.filters import ReferenceTarget, parse_token, split_escaped
from onestory.record.search.include import included_targets
from onestory.record.search.parameters import Search
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import directory_types
from onestory.shared.identity import is_directory_id
from onestory.shared.postgres.database import Database

_IDENTIFIER = "identifier"
# A search without an identifier compares every resource of the type. Two such searches run at a time.
_MAX_CANDIDATES = 10_000
_MAX_SEARCHES = 2
_MAX_INCLUDED = 1000


class DirectorySearchType:
    """The part of search-type that finds resources of the directory. `fhir` is the FHIR base URL."""

    def __init__(self, database: Database, record_access: RecordAccess, writer: SearchsetWriter, fhir: str) -> None:
        self._database = database
        self._record_access = record_access
        self._writer = writer
        self._fhir = fhir
        self._searches = asyncio.Semaphore(_MAX_SEARCHES)

    async def answer(self, request: Request, resource_type: str, search: Search, list_request: ListRequest) -> Response:
        """The page of the matches. Raises `Malformed` if too many resources would have to be compared."""
        async with self._searches:
            candidates = await self._candidates(resource_type, search)
            page = await execute_search(self._record_access, self._database, candidates, search)
            included = await self._included(page.entries, search)
        return self._writer.searchset(request, page, list_request, included, ["directory"], {})

    async def _candidates(self, resource_type: str, search: Search) -> Sequence[CurrentEntry]:
        found = await self._resources(resource_type, search.query.ids, _identifier_values(search))
        in_time = search.query.time_range
        return [entry for entry in found if in_time.holds(entry.broker_time)]

    async def _resources(
        self, resource_type: str, ids: Sequence[str] | None = None, identifiers: Sequence[str] | None = None
    ) -> list[CurrentEntry]:
        found = await directory_store.directory_resources(
            self._database, resource_type, ids, identifiers, _MAX_CANDIDATES + 1
        )
        if len(found) > _MAX_CANDIDATES:
            raise Malformed(
                f"The directory has more than {_MAX_CANDIDATES} resources of the type {resource_type}. Send "
                "identifier=<system>|<value> or _id too.",
                code="too-costly",
            )
        return found

    async def _included(self, entries: Sequence[CurrentEntry], search: Search) -> list[IncludedResource]:
        """The resources of the directory that the entries refer to, and those that refer to an entry."""
        if not (entries and (search.includes or search.revincludes)):
            return []
        matches = {ReferenceTarget(entry.resource_type, entry.shared_id) for entry in entries}
        targets = {
            target
            for entry in entries
            for target in included_targets(decoded_resource(entry), search.includes, self._fhir)
        }
        wanted = sorted(target for target in targets - matches if is_directory_id(target.id))
        referenced = await read_store.directory_entries(self._database, wanted)
        included = [*[IncludedResource(*entry) for entry in referenced], *await self._referring(matches, search)]
        if len(included) > _MAX_INCLUDED:
            raise Malformed(
                f"The page has more than {_MAX_INCLUDED} included resources. Send a smaller _count.", code="too-costly"
            )
        return list({each[:2]: each for each in included if ReferenceTarget(*each[:2]) not in matches}.values())

    async def _referring(self, matches: set[ReferenceTarget], search: Search) -> list[IncludedResource]:
        types = sorted({include.resource_type for include in search.revincludes} & directory_types())
        found = [entry for resource_type in types for entry in await self._resources(resource_type)]
        return [
            IncludedResource(entry.resource_type, entry.shared_id, entry.event_id, entry.content or b"")
            for entry in found
            if not matches.isdisjoint(included_targets(decoded_resource(entry), search.revincludes, self._fhir))
        ]


def searches_directory(resource_type: str, ids: Iterable[str] | None, *, names_person: bool) -> bool:
    """Whether a search is one in the directory: its type is published there, and it names no person.

    Raises `Malformed` for ids of the directory and of a record together.
    """
    if resource_type not in directory_types():
        return False
    if names_person and any(is_directory_id(each) for each in ids or ()):
        raise Malformed(
            "_id: some ids are in the directory, and some in a person's record. Send one search for each.", code="value"
        )
    return not names_person


def _identifier_values(search: Search) -> Sequence[str] | None:
    """The values of the first parameter `identifier`; None if a value is open, or without the parameter."""
    texts = [value for name, value in search.used if name == _IDENTIFIER]
    tokens = [parse_token(part.strip(), _IDENTIFIER) for part in split_escaped(texts[0], ",")] if texts else []
    return [token.code for token in tokens] if tokens and all(token.code for token in tokens) else None
