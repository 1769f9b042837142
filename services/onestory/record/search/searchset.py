"""Writes one page of a list of resources as a searchset Bundle, for search and for `$everything`.

FHIR R4, http://hl7.org/fhir/R4/http.html#search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordView, answer_version, page_of
from onestory.record.read.request import ReadContext
from onestory.record.read.store import CurrentEntry
from onestory.record.search.execute import IncludedResource, SearchPage
from onestory.record.search.include import apply_shape
from onestory.record.search.parameters import RecordQuery, RequestParameters, unsupported_issue
from onestory.record.search.sorting import EntryCursor, SortCursor
from onestory.shared.errors import Issue
from onestory.shared.fhir import bundle
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.outcome import operation_outcome


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A request for a list of resources.

    `list_url` is its URL without parameters. With `empty_if_hidden` a caller who may see nothing gets an empty list
    instead of 404. `after` is the cursor of a sorted list. The answer holds the `warnings`.
    """

    list_url: str
    parameters: RequestParameters
    query: RecordQuery
    empty_if_hidden: bool = False
    after: SortCursor | None = None
    warnings: Sequence[Issue] = ()

    def url(self, after: EntryCursor | SortCursor | None = None) -> str:
        """The URL of this page, or of the page after a cursor. It holds the parameters that were used."""
        return read_request.page_url(self.list_url, self.parameters, self.query, after or self.after)


class SearchsetWriter:
    """Writes pages as searchsets, after the access is audited."""

    def __init__(self, context: ReadContext) -> None:
        self._context = context

    async def page(self, matches: Sequence[CurrentEntry], query: RecordQuery) -> SearchPage:
        """The page of these matches that the query requests. Raises `Unavailable`."""
        entries, next_cursor = page_of(matches, query)
        return SearchPage(matches, await self._context.record_access.with_contents(entries), next_cursor)

    async def write_page(
        self,
        request: Request,
        view: RecordView,
        access: Access,
        page: SearchPage,
        list_request: ListRequest,
        included: Sequence[IncludedResource] = (),
    ) -> Response:
        """This page with its included resources. Raises `NotFound`, `Unavailable`."""
        record_access = self._context.record_access

        def produce() -> Response:
            headers = {read_request.RECORD_DIGEST: record_access.digest(view)}
            return self.searchset(request, page, list_request, included, [view.version], headers)

        return await record_access.answer_audited(view, access, produce, empty_if_hidden=list_request.empty_if_hidden)

    def searchset(
        self,
        request: Request,
        page: SearchPage,
        list_request: ListRequest,
        included: Sequence[IncludedResource],
        visibilities: Sequence[str],
        headers: Mapping[str, str],
    ) -> Response:
        """The page as a searchset with its ETag, or 304. It does not audit.

        `visibilities` has the version of the caller's view of each person, which is part of the ETag.
        """

        def write() -> bytes:
            next_url = list_request.url(page.next_cursor) if page.next_cursor else None
            matches = [
                bundle.match_entry(
                    self._url(entry.resource_type, entry.shared_id),
                    apply_shape(entry.content or b"", list_request.query.shape),
                )
                for entry in page.entries
            ]
            added = [
                bundle.included_entry(
                    self._url(each.resource_type, each.id),
                    apply_shape(each.content, list_request.query.shape.for_included),
                )
                for each in included
            ]
            entries = [*_outcome_entries(list_request), *matches, *added]
            return bundle.searchset_bundle(len(page.matches), list_request.url(), next_url, entries)

        included_versions = [f"{each.id}/{each.event_id}" for each in included]
        version = answer_version(
            page.matches, "\n".join([list_request.url(), *included_versions]), ",".join(visibilities)
        )
        return read_request.conditional_response(request, write, {"ETag": etag(version), **headers})

    def _url(self, resource_type: str, resource_id: str) -> str:
        return f"{self._context.fhir}/{resource_type}/{resource_id}"


def _outcome_entries(list_request: ListRequest) -> list[bundle.Entry]:
    ignored = [unsupported_issue(name, "warning") for name in list_request.query.ignored]
    issues = [*ignored, *list_request.warnings]
    return [bundle.outcome_entry(operation_outcome(issues))] if issues else []
