"""`POST /fhir/Task/{id}/$claim` and `$release`: who of the team works on it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.api.parameters import Said
from onestory.referral.domain.claim import CLAIM, RELEASE, claim, release
from onestory.referral.domain.command import Changed, Doing
from onestory.referral.domain.machine import Side
from onestory.referral.domain.referral import Referral
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.shared.body import read_body
from onestory.shared.caller import Caller

TAKES: dict[str, tuple[str, ...]] = {CLAIM: (), RELEASE: ("reason",)}
"""The operations, and the parameters that each takes."""


class Claim:
    """One of both. Answers the Task as it is then, with its ETag."""

    def __init__(self, action: str, handler: Handler, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._action = action
        self._handler = handler
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known, task_id = asking.if_match(request), request.path_params["id"]
        body = await read_body(request, self._max_body_bytes, may_lack=True)
        asked, reason = asking.request(request, caller, body), Said(body, TAKES[self._action]).reason()

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
            return claim(referral, sides, doing) if self._action == CLAIM else release(referral, sides, doing, reason)

        async with self._trace.stale(caller, task_id, f"${self._action}", asked.correlation_id):
            outcome = await self._handler.act(asked, task_id, known, deciding)
        await self._trace.again(caller, outcome, f"${self._action}", asked.correlation_id)
        return asking.shown(outcome.task, self._fhir)
