"""Executes a search: filters and sorts the entries that the caller sees, and finds the included resources of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from onestory.record.provenance import store as provenance_store
from onestory.record.provenance.domain import provenance_id, provenance_resource
from onestory.record.provenance.store import StatementRef
from onestory.record.read import store as read_store
from onestory.record.read.access import RecordAccess, RecordView, page_of
from onestory.record.read.store import CurrentEntry
from onestory.record.search.filters import ReferenceTarget
from onestory.record.search.include import Include, included_targets
from onestory.record.search.parameters import Search
from onestory.record.search.sorting import EntryCursor, SortCursor, SortedEntry, SortKeys, SortOrder
from onestory.shared.identity import is_directory_id
from onestory.shared.postgres.database import Database
from onestory.shared.runtime import run_in_thread_if

PROVENANCE = "Provenance"
# Larger work runs in a thread, so that other requests do not wait.
_MAX_ENTRIES_IN_LOOP = 300
_MAX_BYTES_IN_LOOP = 500_000
_MAX_COMPARISONS_IN_LOOP = 3_000
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def decoded_resource(entry: CurrentEntry) -> Mapping[str, Any]:
    """The resource of an entry.

    A content that is no JSON object gives a resource with type and id only. Such an entry is still shown as it is, and
    it breaks no search.
    """
    try:
        resource = orjson.loads(entry.content or b"{}")
    except orjson.JSONDecodeError:
        resource = {}
    elements = resource if isinstance(resource, dict) else {}
    return {**elements, "resourceType": entry.resource_type, "id": entry.shared_id}


def is_large_work(entries: Sequence[CurrentEntry], comparisons: int = 1) -> bool:
    """Whether decoding these entries, each with so many comparisons, would keep other requests waiting."""
    count = len(entries)
    return (
        count > _MAX_ENTRIES_IN_LOOP
        or count * comparisons > _MAX_COMPARISONS_IN_LOOP
        or sum(len(entry.content or b"") for entry in entries) > _MAX_BYTES_IN_LOOP
    )


_MatchWithKeys = tuple[CurrentEntry, SortKeys]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """All matches, the `entries` of them that are on this page, with contents, and the cursor of the next page."""

    matches: Sequence[CurrentEntry]
    entries: Sequence[CurrentEntry]
    next_cursor: EntryCursor | SortCursor | None


async def execute_search(
    record_access: RecordAccess, database: Database, candidates: Sequence[CurrentEntry], search: Search
) -> SearchPage:
    """The page of the search among candidates, which are in order of type and id."""
    if not search.needs_contents:
        entries, next_cursor = page_of(candidates, search.query)
        return SearchPage(candidates, await record_access.with_contents(entries), next_cursor)
    with_contents = await record_access.with_contents(candidates)
    large = is_large_work(with_contents, sum(len(each.tests) for each in search.filters))
    found = await run_in_thread_if(large, partial(_matching, with_contents, search))
    if search.order is not None:
        return await _sorted_page(database, candidates, found, search, search.order)
    matches = [entry for entry, _ in found]
    return SearchPage(matches, *page_of(matches, search.query))


async def _sorted_page(
    database: Database,
    candidates: Sequence[CurrentEntry],
    matches: Sequence[_MatchWithKeys],
    search: Search,
    order: SortOrder,
) -> SearchPage:
    """A page in the order of the first page.

    An entry that changed since the first page is shown as it is now, at its earlier place. So no entry jumps over the
    page that the caller is at.
    """
    after = search.after
    as_of = after.as_of if after else max(map(_broker_time, candidates), default=_BEGINNING)
    changed = [entry for entry, _ in matches if not entry.composed and _broker_time(entry) > as_of]
    earlier = await read_store.contents_as_of(database, changed, as_of)
    by_address = {_type_and_id(entry): entry for entry, _ in matches}
    large = len(matches) > _MAX_ENTRIES_IN_LOOP or sum(map(len, earlier.values())) > _MAX_BYTES_IN_LOOP
    all_sorted = await run_in_thread_if(large, partial(_sort_entries, matches, earlier, order))
    remaining = all_sorted if after is None else [entry for entry in all_sorted if order.is_after(entry, after)]
    on_page = remaining[: search.query.count]
    next_cursor = SortCursor(*on_page[-1], as_of) if on_page and len(remaining) > len(on_page) else None
    return SearchPage(
        [by_address[entry.resource_type, entry.id] for entry in all_sorted],
        [by_address[entry.resource_type, entry.id] for entry in on_page],
        next_cursor,
    )


def _matching(entries: Sequence[CurrentEntry], search: Search) -> list[_MatchWithKeys]:
    """The matches with their sort keys. One resource is decoded at a time, because all may take ten times the bytes."""
    keys = search.order.keys if search.order else _no_keys
    return [(entry, keys(resource)) for entry in entries if search.matches(resource := decoded_resource(entry))]


def _no_keys(_resource: Mapping[str, Any]) -> SortKeys:
    return ()


def _sort_entries(
    matches: Sequence[_MatchWithKeys], earlier: Mapping[str, bytes], order: SortOrder
) -> list[SortedEntry]:
    entries = [
        SortedEntry(_keys_as_of(entry, keys, earlier, order), entry.resource_type, entry.shared_id)
        for entry, keys in matches
    ]
    order.sort(entries)
    return entries


def _keys_as_of(entry: CurrentEntry, keys: SortKeys, earlier: Mapping[str, bytes], order: SortOrder) -> SortKeys:
    content = earlier.get(entry.shared_id)
    return order.keys(decoded_resource(entry._replace(content=content))) if content else keys


def _broker_time(entry: CurrentEntry) -> datetime:
    return entry.broker_time or _BEGINNING


class IncludedResource(NamedTuple):
    """A resource that an answer holds in addition to the matches."""

    resource_type: str
    id: str
    event_id: UUID | str
    content: bytes


async def targets_of(entries: Sequence[CurrentEntry], includes: Sequence[Include], fhir: str) -> set[ReferenceTarget]:
    """The targets of the entries' references that these includes select."""

    def find() -> set[ReferenceTarget]:
        return {target for entry in entries for target in included_targets(decoded_resource(entry), includes, fhir)}

    return await run_in_thread_if(is_large_work(entries, len(includes)), find) if includes else set()


async def entries_referring(
    entries: Sequence[CurrentEntry], targets: Set[ReferenceTarget], includes: Sequence[Include], fhir: str
) -> list[CurrentEntry]:
    """The entries that refer to one of the targets by a reference that these includes select."""

    def find() -> list[CurrentEntry]:
        return [
            entry
            for entry in entries
            if not targets.isdisjoint(included_targets(decoded_resource(entry), includes, fhir))
        ]

    return await run_in_thread_if(is_large_work(entries, len(includes)), find)


class IncludeResolver:
    """Finds the included resources of a page. `fhir` is the FHIR base URL."""

    def __init__(self, record_access: RecordAccess, database: Database, fhir: str) -> None:
        self._record_access = record_access
        self._database = database
        self._fhir = fhir

    async def resolve(
        self, view: RecordView, entries: Sequence[CurrentEntry], search: Search
    ) -> list[IncludedResource]:
        """The included resources that the caller sees, each once. `entries` are those of the page."""
        if not (entries and (search.includes or search.revincludes)):
            return []
        matches = {ReferenceTarget(entry.resource_type, entry.shared_id) for entry in entries}
        referring = await self._referring(view, matches, search)
        referenced = await self._referenced(view, entries, matches, search)
        resources = [*referenced, *referring, *await self._provenance(entries, search)]
        return list({each[:2]: each for each in resources if ReferenceTarget(*each[:2]) not in matches}.values())

    async def _referenced(
        self, view: RecordView, entries: Sequence[CurrentEntry], matches: set[ReferenceTarget], search: Search
    ) -> list[IncludedResource]:
        """Resources that the entries refer to (`_include`), from the record and from the directory."""
        wanted = await targets_of(entries, search.includes, self._fhir) - matches
        in_record = [
            entry for entry in (*view.patients, *view.entries) if ReferenceTarget(*_type_and_id(entry)) in wanted
        ]
        in_directory = sorted(target for target in wanted if is_directory_id(target.id))
        directory = await read_store.directory_entries(self._database, in_directory)
        return [*await self._included(in_record), *[IncludedResource(*entry) for entry in directory]]

    async def _referring(
        self, view: RecordView, matches: set[ReferenceTarget], search: Search
    ) -> list[IncludedResource]:
        """Resources of the record that refer to a match (`_revinclude`)."""
        types = {include.resource_type for include in search.revincludes}
        candidates = await self._record_access.with_contents(
            [entry for entry in view.entries if entry.resource_type in types]
        )
        return await self._included(await entries_referring(candidates, matches, search.revincludes, self._fhir))

    async def _provenance(self, entries: Sequence[CurrentEntry], search: Search) -> list[IncludedResource]:
        """The computed Provenance of the entries' statements."""
        if not any(include.is_provenance_of_target for include in search.revincludes):
            return []
        statements = [_statement_ref(entry) for entry in entries if not entry.composed]
        origins = await provenance_store.origins(self._database, statements)
        return [
            IncludedResource(
                PROVENANCE,
                provenance_id(origin.shared_id, origin.event_id),
                origin.event_id,
                provenance_resource(origin),
            )
            for origin in sorted(origins, key=lambda origin: origin.shared_id)
        ]

    async def _included(self, entries: Sequence[CurrentEntry]) -> list[IncludedResource]:
        return [_included_resource(entry) for entry in await self._record_access.with_contents(entries)]


def _included_resource(entry: CurrentEntry) -> IncludedResource:
    assert entry.content is not None
    return IncludedResource(entry.resource_type, entry.shared_id, entry.version_id, entry.content)


def _type_and_id(entry: CurrentEntry) -> tuple[str, str]:
    return entry.resource_type, entry.shared_id


def _statement_ref(entry: CurrentEntry) -> StatementRef:
    assert isinstance(entry.event_id, UUID)
    return StatementRef(entry.person_key, entry.shared_id, entry.event_id)
