"""Lists of a person's resources: what search and $everything have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.context import Context
from onestory.record.domain import bundle
from onestory.record.domain.bundle import etag
from onestory.record.domain.search.question import Parameters, Place, Question, unknown
from onestory.record.reading.reader import Access
from onestory.record.reading.view import View, page, tag
from onestory.record.store.entries import CurrentEntry
from onestory.shared.fhir.outcome import outcome


@dataclass(frozen=True, slots=True)
class Listing:
    """A request for a list: its address without parameters, the parameters, and the question that they ask.

    `emptiness`: where the caller may see nothing the list is empty, instead of not there.
    """

    address: str
    parameters: Parameters
    question: Question
    emptiness: bool = False

    def url(self, after: Place | None = None) -> str:
        """The URL of this page, or of the page after a place. It names the parameters that were used."""
        return answers.page_url(self.address, self.parameters, self.question, after)


class Lists:
    """Writes pages."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def page(
        self, request: Request, view: View, access: Access, matching: Sequence[CurrentEntry], listing: Listing
    ) -> Response:
        """One page of what matches, as a searchset, once the access is audited."""
        held, ahead = page(matching, listing.question)
        held = await self._context.reader.fetched(held)

        def write() -> bytes:
            entries = [*_remarks(listing.question), *[self._entry(shown) for shown in held]]
            return bundle.searchset(len(matching), listing.url(), listing.url(ahead) if ahead else None, entries)

        def produce() -> Response:
            version = tag(matching, listing.url(), view.decision.visibility)
            headers = {"ETag": etag(version), answers.RECORD_DIGEST: self._context.reader.digest(view)}
            return answers.unless_known(request, write, headers)

        return await self._context.reader.show(view, access, produce, emptiness=listing.emptiness)

    def _entry(self, shown: CurrentEntry) -> bytes:
        assert shown.content is not None
        return bundle.match(f"{self._context.fhir}/{shown.resource_type}/{shown.shared_id}", shown.content)


def _remarks(question: Question) -> list[bytes]:
    issues = [unknown(name, "warning") for name in question.ignored]
    return [bundle.remark(outcome(issues))] if issues else []
