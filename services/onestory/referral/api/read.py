"""`GET /fhir/Task/{id}`, `GET /fhir/ServiceRequest/{id}`: as they are at this moment, for who is party to the referral.

Everybody else is answered by the record, under its own policy (http://hl7.org/fhir/R4/http.html#read).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.shared.caller import Caller
from onestory.shared.errors import Forbidden, NotFound
from onestory.shared.web import Declined


class Read:
    """Reads one resource of a referral."""

    def __init__(self, resource_type: str, handler: Handler, trace: Trace, fhir: str) -> None:
        self._resource_type = resource_type
        self._handler = handler
        self._trace = trace
        self._fhir = fhir

    async def __call__(self, request: Request, caller: Caller) -> Response:
        if request.query_params.keys() - {"_format", "_pretty"}:
            raise Declined
        try:
            found = await self._handler.read(caller, request.path_params["id"])
        except (NotFound, Forbidden) as error:
            raise Declined from error
        if found.resource_type != self._resource_type:
            raise Declined
        await self._trace.read(caller, [found.shared_id], "read", self._resource_type, request.state.correlation_id)
        if request.headers.get("If-None-Match") == f'W/"{found.event_id}"':
            return Response(status_code=304, headers={"ETag": f'W/"{found.event_id}"'})
        return asking.shown(found, self._fhir)
