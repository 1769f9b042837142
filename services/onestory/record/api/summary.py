"""`GET Patient/[id]/$summary`: an IPS document of what the caller sees, or a page to read.

The operation is `schemas/fhir/OperationDefinition-summary.json`; the document http://hl7.org/fhir/uv/ips/STU2/.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers, asking
from onestory.record.api.context import Context
from onestory.record.domain.bundle import etag
from onestory.record.domain.search.person import by_id
from onestory.record.domain.search.question import IN_SUMMARY, question
from onestory.record.domain.summary.page import page
from onestory.record.reading.reader import absent
from onestory.record.reading.summaries import Summaries, whom
from onestory.shared.caller import Caller
from onestory.shared.openapi import HTML
from onestory.shared.policy import Visibility
from onestory.shared.web import wants_html


class AskSummary:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._context = context
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context, asked_id = self._context, request.path_params["id"]
        parameters = await asking.parameters(request)
        question(parameters, IN_SUMMARY, lenient=asking.lenient(request))
        at = asking.moment(parameters)
        await asking.await_position(context.visible, parameters)
        asked = by_id(asked_id, context.keys)
        if asked is None:
            raise absent()
        access = context.access(request, caller, "$summary?asOf" if at else "$summary", ())
        view = await context.reader.view(asked, access, at=at)
        if view.decision.visibility is Visibility.NONE:
            return await context.reader.show(view, access, Response)
        patient = whom(view, asked_id)
        summary = await (
            self._summaries.at(view, patient, at) if at else self._summaries.current(view, patient, caller.organisation)
        )

        def produce() -> Response:
            if wants_html(request):
                return Response(page(summary.document), media_type=HTML, headers={"Vary": "Accept"})
            digest = context.reader.digest(view)
            headers = {"ETag": etag(summary.digest), "Vary": "Accept", answers.RECORD_DIGEST: digest}
            return answers.unless_known(request, lambda: summary.document, headers)

        return await context.reader.show(view, access, produce)
