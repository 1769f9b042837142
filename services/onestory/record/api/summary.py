"""`GET Patient/[id]/$summary`: an IPS document of what the caller sees, or a page to read.

The operation is `schemas/fhir/OperationDefinition-summary.json`; the document http://hl7.org/fhir/uv/ips/STU2/.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.context import Context
from onestory.record.api.operation import Operation
from onestory.record.domain.search.question import IN_SUMMARY
from onestory.record.domain.summary.page import page
from onestory.record.reading.summaries import Summaries, whom
from onestory.shared.caller import Caller
from onestory.shared.fhir.bundle import etag
from onestory.shared.openapi import HTML
from onestory.shared.policy import Visibility
from onestory.shared.web import wants_html

# Nothing in it is markup of a source; were it so after all, a browser would still fetch, run and send nothing.
_OF_THE_PAGE = {
    "Vary": "Accept",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class AskSummary:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._reader = context.reader
        self._operation = Operation(context, "$summary", IN_SUMMARY)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, reader, summaries = await self._operation.begin(request, caller), self._reader, self._summaries
        view, at, patient = begun.view, begun.at, whom(begun.view, begun.asked_id)
        if view.decision.visibility is Visibility.NONE:
            return await reader.show(view, begun.access, Response)
        made = summaries.at(view, patient, at) if at else summaries.current(view, patient, caller.organisation)
        summary = await made

        def produce() -> Response:
            if wants_html(request):
                return Response(page(summary.document), media_type=HTML, headers=_OF_THE_PAGE)
            digest = reader.digest(view)
            headers = {"ETag": etag(summary.digest), "Vary": "Accept", answers.RECORD_DIGEST: digest}
            return answers.unless_known(request, lambda: summary.document, headers)

        return await reader.show(view, begun.access, produce)
