"""Lists of a person's resources: what search and $everything have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.context import Context
from onestory.record.domain.search.place import Place, SortedPlace
from onestory.record.domain.search.question import Parameters, Question, unknown
from onestory.record.domain.search.shape import WHOLE, Shape, shaped
from onestory.record.reading.beside import Beside
from onestory.record.reading.finding import Found
from onestory.record.reading.reader import Access
from onestory.record.reading.view import View, page, tag
from onestory.record.store.entries import CurrentEntry
from onestory.shared.errors import Issue
from onestory.shared.fhir import bundle
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.outcome import outcome


@dataclass(frozen=True, slots=True)
class Listing:
    """A request for a list: its address without parameters, the parameters, and the question that they ask.

    `emptiness`: where the caller may see nothing the list is empty, instead of not there. `after` is where the page
    begins, in a list that is sorted as the caller asked. `remarks` go with the answer.
    """

    address: str
    parameters: Parameters
    question: Question
    emptiness: bool = False
    shape: Shape = WHOLE
    after: SortedPlace | None = None
    remarks: Sequence[Issue] = ()

    def url(self, after: Place | SortedPlace | None = None) -> str:
        """The URL of this page, or of the page after a place. It names the parameters that were used."""
        return answers.page_url(self.address, self.parameters, self.question, after or self.after)


class Lists:
    """Writes pages."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(
        self, request: Request, view: View, access: Access, matching: Sequence[CurrentEntry], listing: Listing
    ) -> Response:
        """One page of what matches, as a searchset, once the access is audited."""
        held, ahead = page(matching, listing.question)
        found = Found(matching, await self._context.reader.fetched(held), ahead)
        return await self.show(request, view, access, found, listing)

    async def show(
        self,
        request: Request,
        view: View,
        access: Access,
        found: Found,
        listing: Listing,
        beside: Sequence[Beside] = (),
    ) -> Response:
        """This page, and what comes along with it, once the access is audited."""

        def produce() -> Response:
            headers = {answers.RECORD_DIGEST: self._context.reader.digest(view)}
            return self.answer(request, found, listing, beside, [view.decision.visibility], headers)

        return await self._context.reader.show(view, access, produce, emptiness=listing.emptiness)

    def answer(
        self,
        request: Request,
        found: Found,
        listing: Listing,
        beside: Sequence[Beside],
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
        return answers.unless_known(request, write, {"ETag": etag(version), **headers})

    def _matches(self, found: Found, listing: Listing) -> list[bytes]:
        return [
            bundle.match(self._url(shown.resource_type, shown.shared_id), shaped(shown.content or b"", listing.shape))
            for shown in found.held
        ]

    def _along(self, beside: Sequence[Beside], listing: Listing) -> list[bytes]:
        shape = listing.shape.of_what_comes_along
        return [bundle.beside(self._url(each.resource_type, each.id), shaped(each.content, shape)) for each in beside]

    def _url(self, resource_type: str, resource_id: str) -> str:
        return f"{self._context.fhir}/{resource_type}/{resource_id}"


def _remarks(listing: Listing) -> list[bytes]:
    issues = [*[unknown(name, "warning") for name in listing.question.ignored], *listing.remarks]
    return [bundle.remark(outcome(issues))] if issues else []
