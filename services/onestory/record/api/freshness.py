"""`GET Patient/[id]/$freshness`: how fresh each source of the record is, as far as the caller sees it.

The operation is `schemas/fhir/OperationDefinition-freshness.json`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.context import Context
from onestory.record.api.operation import Operation
from onestory.record.domain.freshness_view import freshness_parameters
from onestory.record.domain.search.question import IN_READ
from onestory.record.reading.freshness import Sources
from onestory.shared.caller import Caller


class AskFreshness:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, sources: Sources) -> None:
        self._reader = context.reader
        self._operation = Operation(context, "$freshness", IN_READ)
        self._sources = sources

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, now = await self._operation.begin(request, caller), datetime.now(UTC)
        sources = await self._sources.of(begun.view.person.person_keys, begun.view.entries, now)
        answer = answers.body(freshness_parameters(sources, now))
        return await self._reader.show(begun.view, begun.access, lambda: answer)
