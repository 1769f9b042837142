"""Who of a team works on a referral. It is the team's own business: nobody else is told, and no clock begins anew."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from onestory.referral.domain.command import Changed, Doing
from onestory.referral.domain.decide import acting, finish
from onestory.referral.domain.machine import Side
from onestory.referral.domain.referral import Reason, Referral
from onestory.referral.domain.worklist import ACTING
from onestory.shared.errors import Conflict, Forbidden, Unprocessable

CLAIM, RELEASE = "claim", "release"
_LONGEST = 200


def claim(referral: Referral, sides: Collection[Side], doing: Doing) -> Changed:
    """One user takes it on. Raises `Forbidden`, or `Conflict` where somebody has, whom it does not name."""
    _refuse_others(referral, sides, CLAIM)
    if referral.claimed_by == doing.actor.subject:
        raise Conflict("You have claimed it already.", code="conflict")
    if referral.claimed_by:
        raise Conflict("Somebody else of the team has claimed it: it has to be released first.", code="conflict")
    return _changed(referral, doing.actor.subject, CLAIM, "", sides, doing)


def release(referral: Referral, sides: Collection[Side], doing: Doing, reason: Reason | None) -> Changed:
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
) -> Changed:
    doing = acting(referral, {Side.RECIPIENT}.intersection(sides), doing)
    after = replace(referral, version=referral.version + 1, claimed_by=claimed_by)
    return replace(finish(referral, after, action, doing), reason=reason)
