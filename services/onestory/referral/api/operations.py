"""The operations on a Task: `POST /fhir/Task/{id}/$accept` and its kind (http://hl7.org/fhir/R4/operations.html)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import asking
from onestory.referral.api.parameters import Said, takes
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Command, Doing
from onestory.referral.domain.creation import team_named
from onestory.referral.domain.decide import TaskIds, decide
from onestory.referral.domain.machine import Action, Side
from onestory.referral.domain.referral import Referral
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.shared.body import read_body
from onestory.shared.caller import Caller


class Operate:
    """One operation. Answers the Task as it is then, with its ETag."""

    def __init__(
        self,
        action: Action,
        handler: Handler,
        trace: Trace,
        clocks: Clocks,
        task_ids: TaskIds,
        fhir: str,
        max_body_bytes: int,
    ) -> None:
        self._action = action
        self._handler = handler
        self._trace = trace
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known = asking.if_match(request)
        body = await read_body(request, self._max_body_bytes, may_lack=True)
        asked, command = asking.request(request, caller, body), await self._command(body)

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
            return self._decide(referral, command, sides, doing)

        task_id = request.path_params["id"]
        async with self._trace.stale(caller, task_id, f"${self._action}", asked.correlation_id):
            outcome = await self._handler.act(asked, task_id, known, deciding)
        await self._trace.again(caller, outcome, f"${self._action}", asked.correlation_id)
        return asking.shown(outcome.task, self._fhir)

    async def _command(self, body: bytes) -> Command:
        said = Said(body, takes(self._action))
        named = said.reference("recipient")
        recipient = await self._handler.recipient(team_named([named[1]], named[0])) if named else None
        return Command(
            action=self._action,
            reason=said.reason(),
            business_status=said.word("businessStatus"),
            outputs=said.outputs(),
            recipient=recipient,
            until=said.moment("until", datetime.now(UTC)) or said.moment("start", datetime.now(UTC)),
        )
