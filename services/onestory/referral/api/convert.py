"""`POST /fhir/Task/{id}/$convert`: advice becomes a referral."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.api.parameters import Said
from onestory.referral.conversion import Conversions
from onestory.referral.domain.creation import team_named
from onestory.referral.trace import Trace
from onestory.shared.body import read_body
from onestory.shared.caller import Caller

CONVERT = ("recipient", "priority")
"""The parameters of `$convert`."""


class Convert:
    """Answers the ServiceRequest of the referral, with its ETag, and where its Task is."""

    def __init__(self, conversions: Conversions, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._conversions = conversions
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known = asking.if_match(request)
        body = await read_body(request, self._max_body_bytes, may_lack=True)
        said = Said(body, CONVERT)
        named = said.reference("recipient")
        team = team_named([named[1]], named[0]) if named else None
        asked, task_id = asking.request(request, caller, body), request.path_params["id"]
        async with self._trace.stale(caller, task_id, "$convert", asked.correlation_id):
            made = await self._conversions.convert(asked, task_id, known, team, said.word("priority"))
        await self._trace.again(caller, made, "$convert", asked.correlation_id)
        return asking.shown(made.service_request, self._fhir, headers=asking.links(made, self._fhir))
