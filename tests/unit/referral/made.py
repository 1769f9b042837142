"""Builds referrals for tests of pure code."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from onestory.referral.clocks.clock import load_clocks
from onestory.referral.lifecycle.creation import ReferralOrigin, create_referral, parse_service_request
from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.model import Action, ChangeContext, Command, Reason, Referral, ReferralChange, Side
from onestory.shared.events import Actor, Party
from onestory.shared.identity import Keys

CLOCKS = load_clocks()
KEYS = Keys(b"a secret for tests, long enough!")
PRACTICE, PHYSIO, PAIN = Party("A81001"), Party("RX1", "physio"), Party("RX2", "pain")
SENT = datetime(2026, 11, 27, 9, tzinfo=UTC)


def doing(at: datetime = SENT, party: Party = PRACTICE, number: int = 1, subject: str = "somebody") -> ChangeContext:
    """The change context of one act by a user of this party."""
    return ChangeContext(UUID(int=number), Actor(party, subject, "R8000"), at, "a-correlation-id")


def sent(status: str = "active", **elements: Any) -> Referral:
    """A referral from the practice to the physiotherapists."""
    request = {
        "resourceType": "ServiceRequest",
        "status": status,
        "intent": "order",
        "subject": {"reference": "Patient/9000000009"},
        "performer": [{"reference": f"HealthcareService/{PHYSIO.team}"}],
        **elements,
    }
    asking = ReferralOrigin(PRACTICE, "somebody", "one")
    return create_referral(parse_service_request(request), PHYSIO, asking, doing(), CLOCKS, KEYS).referral


def done(referral: Referral, action: Action, side: Side, at: datetime = SENT, to: Party = PAIN) -> ReferralChange:
    """The change that results when this side takes this action."""
    command = Command(action, Reason("", {"text": "For a test"}), recipient=to if action is Action.REDIRECT else None)
    by = doing(at, number=referral.version + 1)
    return decide(referral, command, {side}, by, CLOCKS, lambda of, number: f"{of.task_id}-{number}")


def after(referral: Referral, *steps: tuple[Action, Side], at: datetime = SENT) -> Referral:
    """The referral after these transitions."""
    for action, side in steps:
        referral = done(referral, action, side, at).referral
    return referral


def late(referral: Referral, **changes: Any) -> Referral:
    """The same referral after its wait: it was due when it was sent."""
    return replace(referral, due_at=SENT, **changes)
