"""`POST /fhir/ServiceRequest`: somebody is referred (http://hl7.org/fhir/R4/http.html#create)."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.domain import creation
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.shared.body import read_body
from onestory.shared.caller import Caller
from onestory.shared.errors import Issue, Unprocessable
from onestory.shared.fhir.validation import check, check_contained, validate

_TYPE = "ServiceRequest"


class Create:
    """Answers 201 with the ServiceRequest, and 200 where the same key made it before."""

    def __init__(self, handler: Handler, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._handler = handler
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        body = await read_body(request, self._max_body_bytes)
        asked, asks = creation.asked(resource_in(body)), asking.request(request, caller, body)
        outcome = await self._handler.create(asks, asked)
        await self._trace.again(caller, outcome, "create", asks.correlation_id)
        status = 200 if outcome.repeated else 201
        return asking.shown(outcome.service_request, self._fhir, status, asking.links(outcome, self._fhir))


def resource_in(body: bytes) -> dict[str, object]:
    """The valid ServiceRequest in a body. Raises `Malformed` and `Unprocessable`."""
    issues = validate(body)
    resource = {} if issues else orjson.loads(body)
    if not issues and resource["resourceType"] != _TYPE:
        issues = [Issue("structure", f"Only a {_TYPE} is posted here.", str(resource["resourceType"]))]
    if not issues:
        issues = check(body, _TYPE, _TYPE)
    if not issues and "contained" in resource:
        issues = check_contained(orjson.dumps(resource["contained"]), _TYPE)
    if issues:
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    return dict(resource)
