"""`POST /fhir/Task/{id}/$claim` and `$release`: a team member starts or stops work on a referral.

A claim matters to the team only: it sends no notice, and does not restart the clock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.decide import build_change, with_acting_party
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import ChangeContext, Reason, Referral, ReferralChange, Side
from onestory.referral.lifecycle.request import OperationParameters
from onestory.referral.worklist.domain import RECIPIENT_STATUSES
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.http.bodies import BodyReader
from onestory.shared.policy import Caller

CLAIM = "claim"
RELEASE = "release"
_MAX_REASON_LENGTH = 200


def claim(referral: Referral, sides: Collection[Side], context: ChangeContext) -> ReferralChange:
    """The change by which the user claims the referral.

    Raises `Forbidden` for another side than the recipient. Raises `Conflict` for a referral that is claimed already;
    its text does not name the user who has claimed it.
    """
    _refuse_unless_recipient(referral, sides, CLAIM)
    if referral.claimed_by == context.actor.subject:
        raise Conflict("You have already claimed this referral.", code="conflict")
    if referral.claimed_by:
        raise Conflict("Another member of the team has claimed this referral: release it first.", code="conflict")
    return _with_claim(referral, context.actor.subject, CLAIM, "", sides, context)


def release(
    referral: Referral, sides: Collection[Side], context: ChangeContext, reason: Reason | None
) -> ReferralChange:
    """The change that ends a claim. It stores the code of the reason, or else its text.

    Another user than the one who has claimed needs a reason. Raises `Forbidden`, `Conflict`, `Unprocessable`.
    """
    _refuse_unless_recipient(referral, sides, RELEASE)
    if not referral.claimed_by:
        raise Conflict("This referral is not claimed, so it cannot be released.", code="conflict")
    if referral.claimed_by != context.actor.subject and reason is None:
        raise Unprocessable(
            "Another user has claimed this referral: send the parameter reason, which says why you release it.",
            code="required",
            expression="Parameters.parameter.where(name='reason')",
        )
    change_reason = (reason.code or str(reason.concept.get("text", ""))[:_MAX_REASON_LENGTH]) if reason else ""
    return _with_claim(referral, "", RELEASE, change_reason, sides, context)


def _refuse_unless_recipient(referral: Referral, sides: Collection[Side], action: str) -> None:
    if Side.RECIPIENT not in sides:
        raise Forbidden(f"Only the recipient may {action} a referral.")
    if not referral.is_open or referral.status not in RECIPIENT_STATUSES:
        raise Conflict(
            f"The referral is {referral.status}: the team cannot claim or release it in this status.", code="conflict"
        )


def _with_claim(
    referral: Referral, claimed_by: str, action: str, reason: str, sides: Collection[Side], context: ChangeContext
) -> ReferralChange:
    context = with_acting_party(referral, {Side.RECIPIENT}.intersection(sides), context)
    after = replace(referral, version=referral.version + 1, claimed_by=claimed_by)
    return replace(build_change(referral, after, action, context), reason=reason)


OPERATION_PARAMETERS: dict[str, tuple[str, ...]] = {CLAIM: (), RELEASE: ("reason",)}
"""The operations, and the parameters of each."""


class ClaimOperation:
    """Carries out `$claim` or `$release`. Answers the Task after the change, with its ETag."""

    def __init__(
        self, action: str, handler: ReferralHandler, audit: ReferralAudit, fhir: str, bodies: BodyReader
    ) -> None:
        self._action = action
        self._handler = handler
        self._audit = audit
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        expected_version, task_id = lifecycle_request.if_match(request), request.path_params["id"]
        body = await self._bodies.read(request, caller, optional=True)
        command_request, reason = (
            lifecycle_request.command_request(request, caller, body),
            OperationParameters(body, OPERATION_PARAMETERS[self._action]).reason(),
        )

        def decide_claim(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            return (
                claim(referral, sides, context) if self._action == CLAIM else release(referral, sides, context, reason)
            )

        async with self._audit.record_refusal(
            caller, task_id, f"${self._action}", "Task", command_request.correlation_id
        ):
            outcome = await self._handler.change(command_request, task_id, expected_version, decide_claim)
        await self._audit.record_outcome(caller, outcome, f"${self._action}", command_request.correlation_id)
        headers = lifecycle_request.position_header(outcome)
        return lifecycle_request.resource_response(outcome.task, self._fhir, headers=headers)
