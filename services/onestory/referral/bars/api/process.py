"""`POST /$process-message`: a message is taken and answered (http://hl7.org/fhir/R4/messageheader-operation-process-message.html)."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.bars.answers import answer
from onestory.referral.bars.domain.headers import REQUEST_ID, read_headers
from onestory.referral.bars.handler import Bars
from onestory.referral.bars.work import Arrived
from onestory.shared.body import read_body
from onestory.shared.caller import Caller
from onestory.shared.openapi import FHIR_JSON


class Process:
    """Answers 200 with a message that has the response, once everything is done."""

    def __init__(self, bars: Bars, base_url: str, max_body_bytes: int) -> None:
        self._bars = bars
        self._base_url = base_url
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        said = read_headers(request.headers, caller.organisation)
        body = await read_body(request, self._max_body_bytes)
        arrived = Arrived(body, said, caller, request.state.correlation_id, datetime.now(UTC))
        work, done = await self._bars.process(arrived)
        headers = {REQUEST_ID: str(said.request_id)}
        return Response(answer(work, done, self._base_url), 200, headers, FHIR_JSON)
