"""`GET Patient/[id]/$merged`: one line for one fact, whoever said it.

The operation is `schemas/fhir/OperationDefinition-merged.json`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers, asking
from onestory.record.api.context import Context
from onestory.record.domain.merge_changes import changes
from onestory.record.domain.merged_view import changes_view, merged_view
from onestory.record.domain.search.person import by_id
from onestory.record.domain.search.question import IN_MERGED, question
from onestory.record.reading.reader import absent
from onestory.record.reading.summaries import Summaries
from onestory.shared.caller import Caller


class AskMerged:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._context = context
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context = self._context
        parameters = await asking.parameters(request)
        asks, at = question(parameters, IN_MERGED, lenient=asking.lenient(request)), asking.moment(parameters)
        await asking.await_position(context.visible, parameters)
        asked = by_id(request.path_params["id"], context.keys)
        if asked is None:
            raise absent()
        access = context.access(request, caller, "$merged?asOf" if at else "$merged", ())
        view = await context.reader.view(asked, access, at=at)
        facts = await self._summaries.facts(view)
        since = asks.span.since
        before = await self._summaries.facts(await context.reader.view(asked, access, at=since)) if since else None

        def produce() -> Response:
            if before is None:
                return answers.body(merged_view(facts.merged, facts.contents))
            return answers.body(changes_view(changes(before.merged, facts.merged), facts.merged, facts.contents))

        return await context.reader.show(view, access, produce)
