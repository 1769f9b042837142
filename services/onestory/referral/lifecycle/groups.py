"""One request to several teams at once: each team gets a referral, and the first acceptance ends the others. Pure.

All of them are of one person, so that they change under one lock: two teams never accept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.creation import ReferralRequest
from onestory.referral.lifecycle.decide import TaskIds, decide
from onestory.referral.lifecycle.model import (
    CLOCK_SUBJECT,
    Action,
    ChangeContext,
    Command,
    Json,
    Reason,
    Referral,
    ReferralChange,
    Side,
)
from onestory.shared.events import Actor

GROUP_SYSTEM = "https://onestory.nhs.uk/Id/referral-group"
"""The system of ServiceRequest.requisition of referrals that ask several teams at once."""
_ACCEPTED_ELSEWHERE = Reason("accepted-elsewhere", {"text": "Another team that was asked at once has accepted"})


def as_group(requests: Sequence[ReferralRequest], group_id: str) -> list[ReferralRequest]:
    """The requests with one group id."""
    requisition: Json = {"system": GROUP_SYSTEM, "value": group_id}
    return [
        replace(request, group_id=group_id, body={**request.body, "requisition": requisition}) for request in requests
    ]


def end_for_acceptance(
    referral: Referral, accepted: ReferralChange, event_id: UUID, clocks: Clocks, task_ids: TaskIds
) -> ReferralChange:
    """The change that ends a referral of the same group. Its appointments end too, because another team sees the
    person.
    """
    actor = Actor(referral.referrer, CLOCK_SUBJECT, "")
    at = max(accepted.context.at, referral.changed_at)
    context = ChangeContext(event_id, actor, at, referral.correlation_id)
    command = Command(Action.CANCEL, _ACCEPTED_ELSEWHERE, appointments="cancel")
    return decide(referral, command, {Side.REQUESTER}, context, clocks, task_ids)
