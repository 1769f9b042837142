"""`GET Patient/[id]/$merged`: one line for one fact, whoever said it.

The operation is `schemas/fhir/OperationDefinition-merged.json`.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.context import Context
from onestory.record.api.operation import Operation
from onestory.record.domain.merge_changes import changes
from onestory.record.domain.merged_view import changes_view, merged_view
from onestory.record.domain.search.question import IN_MERGED
from onestory.record.reading.summaries import Summaries
from onestory.shared.caller import Caller


class AskMerged:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._reader = context.reader
        self._operation = Operation(context, "$merged", IN_MERGED)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, reader = await self._operation.begin(request, caller), self._reader
        facts, since = await self._summaries.facts(begun.view), begun.question.span.since
        then = await reader.view(begun.asked, begun.access, at=since) if since else None
        before = await self._summaries.facts(then) if then else None

        def produce() -> Response:
            if before is None:
                return answers.body(merged_view(facts.merged, facts.contents))
            return answers.body(changes_view(changes(before.merged, facts.merged), facts.merged, facts.contents))

        return await reader.show(begun.view, begun.access, produce)
