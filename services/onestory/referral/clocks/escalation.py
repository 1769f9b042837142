"""What happens when the next actor did not act in time: it is told, once for each wait. Nothing else changes.

Nothing is closed or moved: a clock does not know why nobody acted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from onestory.referral.lifecycle.decide import finish
from onestory.referral.lifecycle.machine import Doing, ReferralChange
from onestory.referral.lifecycle.model import Referral
from onestory.referral.notices.domain import CODES
from onestory.shared.events import Notice, Party

ESCALATE = "escalate"


@dataclass(frozen=True, slots=True)
class Overdue:
    """A referral on which `next_actor` did not act in time. `has_contact`: it is a team that names whom to tell."""

    referral_id: str
    next_actor: Party
    has_contact: bool


def escalate(referral: Referral, doing: Doing, overdue: Overdue, deployment: Party | None) -> ReferralChange | None:
    """The one change of an overdue referral; None where it is not so any more, or was escalated for this wait before.

    `deployment` is whom the deployment named for what no team has a contact for.
    """
    if not _is_overdue(referral, doing.at) or referral.next_actor != overdue.next_actor:
        return None
    after = replace(referral, version=referral.version + 1, escalated_at=doing.at)
    contacts = _contacts(referral, deployment, has_contact=overdue.has_contact)
    changed = finish(referral, after, ESCALATE, doing)
    return replace(changed, reason="", notices=(*_escalations(contacts), *changed.notices))


def _is_overdue(referral: Referral, at: datetime) -> bool:
    return referral.is_open and referral.escalated_at is None and referral.due_at is not None and referral.due_at <= at


def _contacts(referral: Referral, deployment: Party | None, *, has_contact: bool) -> Sequence[Party]:
    """Never nobody: the next actor's own contact, else the deployment's, else both organisations as a whole."""
    if referral.sent_at is None:
        # Whom nobody has asked yet knows of no draft.
        return [Party(referral.requester.organisation)]
    if has_contact and referral.next_actor is not None:
        return [referral.next_actor]
    if deployment is not None:
        return [deployment]
    organisations = [referral.requester.organisation, referral.recipient.organisation]
    return [Party(each) for each in dict.fromkeys(organisations)]


def _escalations(contacts: Sequence[Party]) -> Sequence[Notice]:
    return [Notice("escalation", party, CODES[ESCALATE]) for party in contacts]
