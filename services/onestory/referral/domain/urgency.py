"""What changes when a referral that waits turns out to be more, or less, urgent than it was said to be."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.referral import Referral


def with_priority(referral: Referral, priority: str, at: datetime, clocks: Clocks) -> Referral:
    """The open referral with this priority. What is more urgent is due as soon as if it had come now; what is less so
    keeps its time, and has more from the next step on.
    """
    if priority == referral.priority or referral.due_at is None:
        return replace(referral, priority=priority)
    due = clocks.due(referral.kind, priority, referral.status, at)
    beneath = referral.state_due_at and min(referral.state_due_at, due)
    return replace(referral, priority=priority, due_at=min(referral.due_at, due), state_due_at=beneath)
