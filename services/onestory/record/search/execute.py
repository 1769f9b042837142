"""What a search finds among the entries that a caller sees, and which of it is on this page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.provenance import store as provenance_store
from onestory.record.provenance.domain import provenance_id, provenance_of
from onestory.record.provenance.store import Wanted
from onestory.record.read import request as read_request
from onestory.record.read import store as read_store
from onestory.record.read.access import Access, RecordAccess, View, page, tag
from onestory.record.read.request import Context
from onestory.record.read.store import CurrentEntry
from onestory.record.search.filters import ReferenceTarget
from onestory.record.search.include import WHOLE, Shape, shaped, targets
from onestory.record.search.parameters import Parameters, RecordQuery, Search, unknown
from onestory.record.search.sorting import EntryPlace, Order, Placed, SortedPlace
from onestory.shared.errors import Issue
from onestory.shared.fhir import bundle
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.outcome import outcome
from onestory.shared.identity import is_directory_id
from onestory.shared.postgres.database import Database

# Contents of entries, read as JSON where a question is about what is in them.


def opened(entry: CurrentEntry) -> Mapping[str, Any]:
    """What the resource says; nothing, of one that cannot be read: it is shown as it is, and breaks no search."""
    try:
        resource = orjson.loads(entry.content or b"{}")
    except orjson.JSONDecodeError:
        resource = {}
    says = resource if isinstance(resource, dict) else {}
    return {**says, "resourceType": entry.resource_type, "id": entry.shared_id}


Read = tuple[CurrentEntry, Mapping[str, Any]]
Result = TypeVar("Result")
_MANY = 300
_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """All that matches, what of it is on this page with its contents, and where the next page begins."""

    matching: Sequence[CurrentEntry]
    held: Sequence[CurrentEntry]
    ahead: EntryPlace | SortedPlace | None


async def find(
    reader: RecordAccess, database: Database, candidates: Sequence[CurrentEntry], search: Search
) -> SearchPage:
    """What matches among candidates, which are in order by type and id."""
    if not search.reads_contents:
        held, ahead = page(candidates, search.question)
        return SearchPage(candidates, await reader.fetched(held), ahead)
    met = await _beside_if_many(candidates, partial(_met, await reader.fetched(candidates), search))
    if search.order is not None:
        return await _sorted(database, candidates, met, search, search.order)
    matching = [entry for entry, _ in met]
    return SearchPage(matching, *page(matching, search.question))


async def _sorted(
    database: Database, candidates: Sequence[CurrentEntry], met: Sequence[Read], search: Search, order: Order
) -> SearchPage:
    """Places are those of the first page: what was said since is shown as it is now, where it stood then.

    So nothing jumps over the page that the caller is at, back or forth.
    """
    after = search.after
    as_of = after.as_of if after else max(map(_said_at, candidates), default=_BEGINNING)
    changed = [entry for entry, _ in met if not entry.composed and _said_at(entry) > as_of]
    earlier = await read_store.contents_at(database, changed, as_of)
    known = {(entry.resource_type, entry.shared_id): entry for entry, _ in met}
    placed = await _beside_if_many(met, partial(_placed, met, earlier, order))
    left = placed if after is None else [each for each in placed if order.is_after(each, after)]
    held = left[: search.question.count]
    ahead = SortedPlace(*held[-1], as_of) if held and len(left) > len(held) else None
    return SearchPage([known[each[1:]] for each in placed], [known[each[1:]] for each in held], ahead)


def _met(entries: Sequence[CurrentEntry], search: Search) -> list[Read]:
    return [(entry, resource) for entry in entries if search.is_met(resource := opened(entry))]


def _placed(met: Sequence[Read], earlier: Mapping[str, bytes], order: Order) -> list[Placed]:
    placed = [
        Placed(order.keys(_as_it_was(entry, resource, earlier)), entry.resource_type, entry.shared_id)
        for entry, resource in met
    ]
    order.sort(placed)
    return placed


async def _beside_if_many(entries: Sequence[object], work: Callable[[], Result]) -> Result:
    # Above this it would be felt by the others who wait for the event loop.
    return await asyncio.to_thread(work) if len(entries) > _MANY else work()


def _as_it_was(entry: CurrentEntry, resource: Mapping[str, Any], earlier: Mapping[str, bytes]) -> Mapping[str, Any]:
    was = earlier.get(entry.shared_id)
    return opened(entry._replace(content=was)) if was else resource


def _said_at(entry: CurrentEntry) -> datetime:
    return entry.broker_time or _BEGINNING


# What comes along with the matches of a page: what they refer to, and what refers to them.

PROVENANCE = "Provenance"


class IncludedResources(NamedTuple):
    """A resource that is in an answer without being a match."""

    resource_type: str
    id: str
    event_id: UUID | str
    content: bytes


class Companions:
    """Finds what comes along. `fhir` is the FHIR base URL."""

    def __init__(self, reader: RecordAccess, database: Database, fhir: str) -> None:
        self._reader = reader
        self._database = database
        self._fhir = fhir

    async def of(self, view: View, held: Sequence[CurrentEntry], search: Search) -> list[IncludedResources]:
        """What the search asks to come along with what is on this page, each once, as far as the caller sees it."""
        if not (held and (search.includes or search.included_by)):
            return []
        matches = {ReferenceTarget(entry.resource_type, entry.shared_id) for entry in held}
        referring = await self._referring(view, matches, search)
        said = [*await self._referred(view, held, matches, search), *referring, *await self._provenance(held, search)]
        return list({each[:2]: each for each in said if ReferenceTarget(*each[:2]) not in matches}.values())

    async def _referred(
        self, view: View, held: Sequence[CurrentEntry], matches: set[ReferenceTarget], search: Search
    ) -> list[IncludedResources]:
        wanted = {found for entry in held for found in targets(opened(entry), search.includes, self._fhir)} - matches
        seen = [entry for entry in (*view.patients, *view.entries) if ReferenceTarget(*_address(entry)) in wanted]
        in_directory = sorted(each for each in wanted if is_directory_id(each.id))
        directory = await read_store.standing(self._database, in_directory)
        return [*await self._beside(seen), *[IncludedResources(*entry) for entry in directory]]

    async def _referring(self, view: View, matches: set[ReferenceTarget], search: Search) -> list[IncludedResources]:
        kinds = {each.resource_type for each in search.included_by}
        candidates = [entry for entry in view.entries if entry.resource_type in kinds]
        fetched = await self._reader.fetched(candidates)
        referring = [e for e in fetched if not matches.isdisjoint(targets(opened(e), search.included_by, self._fhir))]
        return await self._beside(referring)

    async def _provenance(self, held: Sequence[CurrentEntry], search: Search) -> list[IncludedResources]:
        """The Provenance that follows from the statements themselves."""
        if not any(each.is_provenance_of_target for each in search.included_by):
            return []
        wanted = [Wanted(*_statement(entry)) for entry in held if not entry.composed]
        told = sorted(await provenance_store.told(self._database, wanted), key=lambda each: each.shared_id)
        return [
            IncludedResources(
                PROVENANCE, provenance_id(each.shared_id, each.event_id), each.event_id, provenance_of(each)
            )
            for each in told
        ]

    async def _beside(self, entries: Sequence[CurrentEntry]) -> list[IncludedResources]:
        return list(_shown(await self._reader.fetched(entries)))


def _shown(entries: Sequence[CurrentEntry]) -> Iterator[IncludedResources]:
    for entry in entries:
        assert entry.content is not None
        yield IncludedResources(entry.resource_type, entry.shared_id, entry.event_id, entry.content)


def _address(entry: CurrentEntry) -> tuple[str, str]:
    return entry.resource_type, entry.shared_id


def _statement(entry: CurrentEntry) -> tuple[str, str, UUID]:
    assert isinstance(entry.event_id, UUID)
    return entry.person_key, entry.shared_id, entry.event_id


# Lists of a person's resources: what search and $everything have in common.


@dataclass(frozen=True, slots=True)
class Listing:
    """A request for a list: its address without parameters, the parameters, and the question that they ask.

    `emptiness`: where the caller may see nothing the list is empty, instead of not there. `after` is where the page
    begins, in a list that is sorted as the caller asked. `remarks` go with the answer.
    """

    address: str
    parameters: Parameters
    question: RecordQuery
    emptiness: bool = False
    shape: Shape = WHOLE
    after: SortedPlace | None = None
    remarks: Sequence[Issue] = ()

    def url(self, after: EntryPlace | SortedPlace | None = None) -> str:
        """The URL of this page, or of the page after a place. It names the parameters that were used."""
        return read_request.page_url(self.address, self.parameters, self.question, after or self.after)


class Lists:
    """Writes pages."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(
        self, request: Request, view: View, access: Access, matching: Sequence[CurrentEntry], listing: Listing
    ) -> Response:
        """One page of what matches, as a searchset, once the access is audited."""
        held, ahead = page(matching, listing.question)
        found = SearchPage(matching, await self._context.reader.fetched(held), ahead)
        return await self.show(request, view, access, found, listing)

    async def show(
        self,
        request: Request,
        view: View,
        access: Access,
        found: SearchPage,
        listing: Listing,
        beside: Sequence[IncludedResources] = (),
    ) -> Response:
        """This page, and what comes along with it, once the access is audited."""

        def produce() -> Response:
            headers = {read_request.RECORD_DIGEST: self._context.reader.digest(view)}
            return self.answer(request, found, listing, beside, [view.decision.visibility], headers)

        return await self._context.reader.show(view, access, produce, emptiness=listing.emptiness)

    def answer(
        self,
        request: Request,
        found: SearchPage,
        listing: Listing,
        beside: Sequence[IncludedResources],
        visibilities: Sequence[str],
        headers: Mapping[str, str],
    ) -> Response:
        """The page as a searchset with its version, or 304. `visibilities`: how much of each person the caller sees."""

        def write() -> bytes:
            next_url = listing.url(found.ahead) if found.ahead else None
            entries = [*_remarks(listing), *self._matches(found, listing), *self._along(beside, listing)]
            return bundle.searchset(len(found.matching), listing.url(), next_url, entries)

        along = [f"{each.id}/{each.event_id}" for each in beside]
        version = tag(found.matching, "\n".join([listing.url(), *along]), ",".join(visibilities))
        return read_request.unless_known(request, write, {"ETag": etag(version), **headers})

    def _matches(self, found: SearchPage, listing: Listing) -> list[bytes]:
        return [
            bundle.match(self._url(shown.resource_type, shown.shared_id), shaped(shown.content or b"", listing.shape))
            for shown in found.held
        ]

    def _along(self, beside: Sequence[IncludedResources], listing: Listing) -> list[bytes]:
        shape = listing.shape.of_what_comes_along
        return [bundle.beside(self._url(each.resource_type, each.id), shaped(each.content, shape)) for each in beside]

    def _url(self, resource_type: str, resource_id: str) -> str:
        return f"{self._context.fhir}/{resource_type}/{resource_id}"


def _remarks(listing: Listing) -> list[bytes]:
    issues = [*[unknown(name, "warning") for name in listing.question.ignored], *listing.remarks]
    return [bundle.remark(outcome(issues))] if issues else []
