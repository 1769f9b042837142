"""`GET Patient/[id]/$everything`: all of a person's record, as it is or as it was at a moment (`asOf`).

http://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import asking
from onestory.record.api.context import Context
from onestory.record.api.lists import Listing, Lists
from onestory.record.domain.search.person import by_id
from onestory.record.domain.search.question import IN_EVERYTHING, question
from onestory.record.domain.search.types import in_parameter
from onestory.record.reading.reader import absent
from onestory.shared.caller import Caller


class Everything:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lists = Lists(context)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context = self._context
        parameters = await asking.parameters(request)
        asks, at = question(parameters, IN_EVERYTHING, lenient=asking.lenient(request)), asking.moment(parameters)
        await asking.await_position(context.visible, parameters)
        asked = by_id(request.path_params["id"], context.keys)
        if asked is None:
            raise absent()
        interaction = "$everything?asOf" if at else "$everything"
        access = context.access(request, caller, interaction, in_parameter(asks.types or ()))
        view = await context.reader.view(asked, access, at=at)
        listing = Listing(f"{context.fhir}/Patient/{request.path_params['id']}/$everything", parameters, asks)
        return await self._lists.page(request, view, access, view.matching(asks), listing)
