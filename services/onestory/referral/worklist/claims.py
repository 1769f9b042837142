"""`POST /fhir/Task/{id}/$claim` and `$release`: who of the team works on it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.decide import acting, finish
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.machine import Doing, ReferralChange, Side
from onestory.referral.lifecycle.model import Reason, Referral
from onestory.referral.lifecycle.request import OperationParameters
from onestory.referral.worklist.domain import ACTING
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.http.caller import Caller
from onestory.shared.http.request import read_body

# Who of a team works on a referral. It is the team's own business: nobody else is told, and no clock begins anew.

CLAIM, RELEASE = "claim", "release"
_LONGEST = 200


def claim(referral: Referral, sides: Collection[Side], doing: Doing) -> ReferralChange:
    """One user takes it on. Raises `Forbidden`, or `Conflict` where somebody has, whom it does not name."""
    _refuse_others(referral, sides, CLAIM)
    if referral.claimed_by == doing.actor.subject:
        raise Conflict("You have claimed it already.", code="conflict")
    if referral.claimed_by:
        raise Conflict("Somebody else of the team has claimed it: it has to be released first.", code="conflict")
    return _changed(referral, doing.actor.subject, CLAIM, "", sides, doing)


def release(referral: Referral, sides: Collection[Side], doing: Doing, reason: Reason | None) -> ReferralChange:
    """Nobody works on it any more. Who has not claimed it says why: the reason's code, or else its text, is kept with
    the change. Raises `Forbidden`, `Conflict`, `Unprocessable`.
    """
    _refuse_others(referral, sides, RELEASE)
    if not referral.claimed_by:
        raise Conflict("Nobody has claimed it.", code="conflict")
    if referral.claimed_by != doing.actor.subject and reason is None:
        raise Unprocessable(
            "Somebody else has claimed it: say why it is released, in the parameter reason.",
            code="required",
            expression="Parameters.parameter.where(name='reason')",
        )
    because = (reason.code or str(reason.concept.get("text", ""))[:_LONGEST]) if reason else ""
    return _changed(referral, "", RELEASE, because, sides, doing)


def _refuse_others(referral: Referral, sides: Collection[Side], action: str) -> None:
    if Side.RECIPIENT not in sides:
        raise Forbidden(f"Only its recipient may {action} a referral.")
    if not referral.is_open or referral.status not in ACTING:
        raise Conflict(f"The referral is {referral.status}: the team has nothing to do about it.", code="conflict")


def _changed(
    referral: Referral, claimed_by: str, action: str, reason: str, sides: Collection[Side], doing: Doing
) -> ReferralChange:
    doing = acting(referral, {Side.RECIPIENT}.intersection(sides), doing)
    after = replace(referral, version=referral.version + 1, claimed_by=claimed_by)
    return replace(finish(referral, after, action, doing), reason=reason)


TAKES: dict[str, tuple[str, ...]] = {CLAIM: (), RELEASE: ("reason",)}
"""The operations, and the parameters that each takes."""


class Claim:
    """One of both. Answers the Task as it is then, with its ETag."""

    def __init__(self, action: str, handler: ReferralHandler, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._action = action
        self._handler = handler
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known, task_id = lifecycle_request.if_match(request), request.path_params["id"]
        body = await read_body(request, self._max_body_bytes, may_lack=True)
        asked, reason = (
            lifecycle_request.request(request, caller, body),
            OperationParameters(body, TAKES[self._action]).reason(),
        )

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
            return claim(referral, sides, doing) if self._action == CLAIM else release(referral, sides, doing, reason)

        async with self._trace.stale(caller, task_id, f"${self._action}", asked.correlation_id):
            outcome = await self._handler.act(asked, task_id, known, deciding)
        await self._trace.again(caller, outcome, f"${self._action}", asked.correlation_id)
        return lifecycle_request.shown(outcome.task, self._fhir)
