"""The escalation of a referral whose next actor is late: notices, once for each wait. Pure.

An escalation never closes a referral and never changes its status: a clock does not know why the party did not act.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from onestory.referral.lifecycle.decide import build_change
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange
from onestory.referral.notices.domain import NOTICE_CODES
from onestory.shared.events import Notice, Party

ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Overdue:
    """A referral whose `next_actor` did not act in time. `has_contact`: this is a team with an escalation contact."""

    referral_id: str
    next_actor: Party
    has_contact: bool


def escalate(
    referral: Referral, context: ChangeContext, overdue: Overdue, deployment: Party | None
) -> ReferralChange | None:
    """The change that escalates an overdue referral; None where it is not overdue any more, or was escalated already.

    `deployment` is the escalation contact of the deployment, for teams that have none.
    """
    if not _is_overdue(referral, context.at) or referral.next_actor != overdue.next_actor:
        return None
    after = replace(referral, version=referral.version + 1, escalated_at=context.at)
    contacts = _contacts(referral, deployment, has_contact=overdue.has_contact)
    change = build_change(referral, after, ESCALATE, context)
    return replace(change, reason="", notices=(*_escalation_notices(contacts), *change.notices))


def _is_overdue(referral: Referral, at: datetime) -> bool:
    return referral.is_open and referral.escalated_at is None and referral.due_at is not None and referral.due_at <= at


def _contacts(referral: Referral, deployment: Party | None, *, has_contact: bool) -> Sequence[Party]:
    """At least one party: a next actor with a contact, else the deployment's contact, else both organisations."""
    if referral.sent_at is None:
        # The recipient does not see a draft: it has not been sent yet.
        return [Party(referral.referrer.organisation)]
    if has_contact and referral.next_actor is not None:
        return [referral.next_actor]
    if deployment is not None:
        return [deployment]
    organisations = [referral.referrer.organisation, referral.recipient.organisation]
    return [Party(organisation) for organisation in dict.fromkeys(organisations)]


def _escalation_notices(contacts: Sequence[Party]) -> Sequence[Notice]:
    return [Notice("escalation", party, NOTICE_CODES[ESCALATE]) for party in contacts]
