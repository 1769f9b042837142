"""`POST /fhir/Task/{id}/$prioritise` and `$amend`: the priority and the request of an open referral change."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.amendment import OPERATION_PARAMETERS, PRIORITISE, Amendment, amend, prioritise
from onestory.referral.lifecycle.api import parse_body
from onestory.referral.lifecycle.creation import ReferralRequest, TeamReference, parse_service_request
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange, Side
from onestory.referral.lifecycle.request import OperationParameters
from onestory.shared.errors import Unprocessable
from onestory.shared.http.bodies import BodyReader
from onestory.shared.identity import parse_shared_id
from onestory.shared.policy import Caller


class AmendmentOperation:
    """Carries out `$prioritise` or `$amend`. Answers the Task after the change, with its ETag."""

    def __init__(
        self,
        action: str,
        handler: ReferralHandler,
        audit: ReferralAudit,
        clocks: Clocks,
        fhir: str,
        bodies: BodyReader,
    ) -> None:
        self._action = action
        self._handler = handler
        self._audit = audit
        self._clocks = clocks
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version, task_id = lifecycle_request.if_match(request), request.path_params["id"]
        body = await self._bodies.read(request, caller)
        command = lifecycle_request.command_request(request, caller, body)
        parameters = OperationParameters(body, OPERATION_PARAMETERS[self._action])
        priority, reason = "", None
        amendment = Amendment()
        if self._action == PRIORITISE:
            priority, reason = parameters.code("priority"), parameters.reason()
        else:
            info = tuple(reference for _, reference in parameters.repeated("supportingInfo", "Reference"))
            amendment = Amendment(self._request(parameters), parameters.text("note"), info)

        def decide(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            if self._action == PRIORITISE:
                return prioritise(referral, priority, reason, sides, context, self._clocks)
            _refuse_other_record(referral, amendment)
            return amend(referral, amendment, sides, context, self._clocks)

        async with self._audit.record_refusal(caller, task_id, f"${self._action}", "Task", command.correlation_id):
            outcome = await self._handler.change(command, task_id, version, decide)
        await self._audit.record_outcome(caller, outcome, f"${self._action}", command.correlation_id)
        headers = lifecycle_request.position_header(outcome)
        return lifecycle_request.resource_response(outcome.task, self._fhir, headers=headers)

    def _request(self, parameters: OperationParameters) -> ReferralRequest | None:
        """The new request. Its team is not read: `$redirect` asks another one."""
        resource = parameters.resource("request")
        if resource is None:
            return None
        content = parse_body(orjson.dumps({**resource, "status": "active"}))
        return parse_service_request(content, team=TeamReference("", "", ""), base_url=self._fhir)


def _refuse_other_record(referral: Referral, amendment: Amendment) -> None:
    for reference in amendment.supporting_info:
        parsed = parse_shared_id(str(reference.get("reference", "")).rpartition("/")[2])
        if parsed is None or parsed.person_key != referral.person_key:
            raise Unprocessable(
                "Send a Reference to a resource on this person's record, such as Observation/<id>.",
                code="value",
                expression="Parameters.parameter.where(name='supportingInfo')",
            )
