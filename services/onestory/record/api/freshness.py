"""`GET Patient/[id]/$freshness`: how fresh each source of the record is, as far as the caller sees it.

The operation is `schemas/fhir/OperationDefinition-freshness.json`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers, asking
from onestory.record.api.context import Context
from onestory.record.domain.freshness_view import freshness_parameters
from onestory.record.domain.search.person import by_id
from onestory.record.domain.search.question import IN_READ, question
from onestory.record.reading.freshness import Sources
from onestory.record.reading.reader import absent
from onestory.shared.caller import Caller


class AskFreshness:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, sources: Sources) -> None:
        self._context = context
        self._sources = sources

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context = self._context
        parameters = await asking.parameters(request)
        question(parameters, IN_READ, lenient=asking.lenient(request))
        await asking.await_position(context.visible, parameters)
        asked = by_id(request.path_params["id"], context.keys)
        if asked is None:
            raise absent()
        access = context.access(request, caller, "$freshness", ())
        view = await context.reader.view(asked, access)
        at = datetime.now(UTC)
        sources = await self._sources.of(view.person.person_keys, view.entries, at)
        return await context.reader.show(view, access, lambda: answers.body(freshness_parameters(sources, at)))
