"""`GET Patient/[id]/$everything`: all of a person's record, as it is or as it was at a moment (`asOf`).

http://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api.context import Context
from onestory.record.api.lists import Listing, Lists
from onestory.record.api.operation import Operation
from onestory.record.domain.search.question import IN_EVERYTHING
from onestory.record.domain.search.types import in_parameter
from onestory.shared.caller import Caller


class Everything:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context) -> None:
        self._fhir = context.fhir
        self._operation = Operation(context, "$everything", IN_EVERYTHING, lambda asks: in_parameter(asks.types or ()))
        self._lists = Lists(context)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun = await self._operation.begin(request, caller)
        address = f"{self._fhir}/Patient/{begun.asked_id}/$everything"
        matching = begun.view.matching(begun.question)
        listing = Listing(address, begun.parameters, begun.question)
        return await self._lists.page(request, begun.view, begun.access, matching, listing)
