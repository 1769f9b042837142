"""Search in the directory: `GET Organization?identifier=...`, for the types that may be published about no person.

The directory is about no person, so each caller may read it, and a search leaves no access event. FHIR R4,
http://hl7.org/fhir/R4/http.html#search.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence, Set
from contextlib import asynccontextmanager, nullcontext

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read import store as read_store
from onestory.record.read.access import RecordAccess, page_of
from onestory.record.read.store import CurrentEntry
from onestory.record.search import directory_store
from onestory.record.search.directory_store import DirectoryResources
from onestory.record.search.execute import (
    IncludedResource,
    SearchPage,
    entries_referring,
    execute_search,
    targets_of,
)
from onestory.record.search.filters import ReferenceTarget, parse_token, split_escaped
from onestory.record.search.parameters import Search
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.shared.errors import Malformed, Unavailable
from onestory.shared.fhir.definitions import directory_types
from onestory.shared.identity import is_directory_id
from onestory.shared.postgres.database import Database

_IDENTIFIER = "identifier"
# The index of identifiers has no longer values (migration 0016).
_MAX_INDEXED_BYTES = 512
# A search without an identifier compares every resource of the type. Two such searches run at a time.
_MAX_CANDIDATES = 10_000
_MAX_BYTES = 50_000_000
_MAX_SEARCHES = 2
_MAX_WAIT_S = 2.0
_MAX_INCLUDED = 1000
_MAX_REFERRING_TYPES = 3
_SMALLER = "Send a smaller _count."
_NARROWER = "Send identifier=<system>|<value> or _id too."


class DirectorySearchType:
    """The part of search-type that finds resources of the directory. `fhir` is the FHIR base URL."""

    def __init__(self, database: Database, record_access: RecordAccess, writer: SearchsetWriter, fhir: str) -> None:
        self._database = database
        self._record_access = record_access
        self._writer = writer
        self._fhir = fhir
        self._slots = asyncio.Semaphore(_MAX_SEARCHES)

    async def answer(self, request: Request, resource_type: str, search: Search, list_request: ListRequest) -> Response:
        """The page of the matches.

        Raises `Malformed` if too many resources would have to be compared, and `Unavailable` if other searches take
        all slots.
        """
        identifiers, types = _identifier_values(search), _referring_types(search)
        finds_by_index = search.query.ids is not None or identifiers is not None
        async with nullcontext() if finds_by_index and not types else self._slot():
            page = await self._page(resource_type, identifiers, search)
            included = await self._included(page.entries, types, search)
        return self._writer.searchset(request, page, list_request, included, ["directory"], {})

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_MAX_WAIT_S):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable(
                "Other searches of the whole directory are running. Try again, or send identifier=<system>|<value> or "
                "_id without _revinclude."
            ) from error
        try:
            yield
        finally:
            self._slots.release()

    async def _page(self, resource_type: str, identifiers: Sequence[str] | None, search: Search) -> SearchPage:
        """The page of the matches. Without a filter and an order, only the contents of the page are read."""
        max_bytes = _MAX_BYTES if search.needs_contents else 0
        found = await self._resources(resource_type, search.query.ids, identifiers, max_bytes)
        if search.needs_contents:
            _refuse_large(resource_type, found.total_bytes)
        in_time = search.query.time_range
        candidates = [entry for entry in found.entries if in_time.holds(entry.broker_time)]
        if search.needs_contents:
            return await execute_search(self._record_access, self._database, candidates, search)
        entries, next_cursor = page_of(candidates, search.query)
        page = await directory_store.with_directory_contents(self._database, entries, _MAX_BYTES)
        if page.total_bytes > _MAX_BYTES:
            raise Malformed(f"The page has more than {_MAX_BYTES // 1_000_000} MB. {_SMALLER}", code="too-costly")
        return SearchPage(candidates, page.entries, next_cursor)

    async def _resources(
        self, resource_type: str, ids: Sequence[str] | None, identifiers: Sequence[str] | None, max_bytes: int
    ) -> DirectoryResources:
        found = await directory_store.directory_resources(
            self._database, resource_type, ids, identifiers, _MAX_CANDIDATES + 1, max_bytes
        )
        if len(found.entries) > _MAX_CANDIDATES:
            raise Malformed(
                f"The directory has more than {_MAX_CANDIDATES} resources of the type {resource_type}. {_NARROWER}",
                code="too-costly",
            )
        return found

    async def _included(
        self, entries: Sequence[CurrentEntry], referring_types: Sequence[str], search: Search
    ) -> list[IncludedResource]:
        """The resources of the directory that the entries refer to, and those that refer to an entry."""
        if not (entries and (search.includes or search.revincludes)):
            return []
        matches = {ReferenceTarget(entry.resource_type, entry.shared_id) for entry in entries}
        targets = await targets_of(entries, search.includes, self._fhir)
        wanted = sorted(target for target in targets - matches if is_directory_id(target.id))
        if len(wanted) > _MAX_INCLUDED:
            raise _too_many_included()
        referenced = await read_store.directory_entries(self._database, wanted)
        referring = await self._referring(matches, referring_types, search)
        included = [*[IncludedResource(*entry) for entry in referenced], *referring]
        if len(included) > _MAX_INCLUDED:
            raise _too_many_included()
        return list({each[:2]: each for each in included if ReferenceTarget(*each[:2]) not in matches}.values())

    async def _referring(
        self, matches: Set[ReferenceTarget], types: Sequence[str], search: Search
    ) -> list[IncludedResource]:
        found: list[CurrentEntry] = []
        remaining_bytes = _MAX_BYTES
        for resource_type in types:
            resources = await self._resources(resource_type, None, None, remaining_bytes)
            remaining_bytes -= resources.total_bytes
            if remaining_bytes < 0:
                raise Malformed(
                    f"_revinclude: the resources of {resource_type} have too many bytes to be compared. Search for "
                    f"{resource_type} by the reference instead.",
                    code="too-costly",
                )
            found += await entries_referring(resources.entries, matches, search.revincludes, self._fhir)
        return [
            IncludedResource(entry.resource_type, entry.shared_id, entry.event_id, entry.content or b"")
            for entry in found
        ]


def _refuse_large(resource_type: str, total_bytes: int) -> None:
    if total_bytes > _MAX_BYTES:
        raise Malformed(
            f"The resources of the type {resource_type} that would be compared have more than "
            f"{_MAX_BYTES // 1_000_000} MB. {_NARROWER}",
            code="too-costly",
        )


def _too_many_included() -> Malformed:
    return Malformed(f"The page has more than {_MAX_INCLUDED} included resources. {_SMALLER}", code="too-costly")


def _referring_types(search: Search) -> list[str]:
    """The types of the directory that `_revinclude` names. Raises `Malformed` for too many."""
    types = sorted({include.resource_type for include in search.revincludes} & directory_types())
    if len(types) > _MAX_REFERRING_TYPES:
        raise Malformed(
            f"_revinclude: it names {len(types)} types of the directory. Send at most {_MAX_REFERRING_TYPES} types in "
            "one search.",
            code="too-costly",
        )
    return types


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
    """The values of the first parameter `identifier`; None if the index cannot find one, or without the parameter."""
    texts = [value for name, value in search.used if name == _IDENTIFIER]
    tokens = [parse_token(part.strip(), _IDENTIFIER) for part in split_escaped(texts[0], ",")] if texts else []
    values = [token.code for token in tokens]
    return values if values and all(map(_is_indexed, values)) else None


def _is_indexed(value: str) -> bool:
    return 0 < len(value.encode(errors="surrogatepass")) <= _MAX_INDEXED_BYTES
