"""What is said to somebody who knows an earlier version: what stands now."""

from __future__ import annotations

from onestory.referral.domain.referral import Referral
from onestory.shared.errors import PreconditionFailed

CURRENT_TASK = "https://onestory.nhs.uk/StructureDefinition/current-task"
"""Extension on an OperationOutcome: the Task as it is now, contained."""


def stale(referral: Referral, task: bytes) -> PreconditionFailed:
    """If-Match names another version than the one that stands. `task` is the Task in force, as it is read."""
    refused = PreconditionFailed(
        f"It has been changed since you read it: it is {referral.status} now. Look at the Task in this answer, then "
        "repeat with its ETag in If-Match."
    )
    refused.headers["ETag"] = f'W/"{referral.changed_by}"'
    refused.contained = (CURRENT_TASK, task)
    return refused
