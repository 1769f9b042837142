"""What else of a referral was a mistake, where the referral was one, such as one of the wrong person: its former Tasks
and everything that was said of it. What they held is taken out of them, and stays in their history.
"""

from __future__ import annotations

from onestory.referral.domain.command import Written
from onestory.referral.domain.decide import task_local_id
from onestory.referral.domain.referral import Json, Referral

_HELD = {"Task": ("output", "statusReason"), "Communication": ("payload", "about")}


def message_local_id(referral: Referral, version: int) -> str:
    """What the message that made this version of a referral is called within its requester's organisation."""
    return f"{referral.local_id}-message-{version}"


def former_task(referral: Referral, number: int, shared_id: str, said: Json) -> Written:
    """The Task of this number, as a mistake."""
    return Written("Task", shared_id, task_local_id(referral.local_id, number), _in_error(said))


def message(referral: Referral, version: int, shared_id: str, said: Json) -> Written:
    """The message that made this version, as a mistake."""
    return Written("Communication", shared_id, message_local_id(referral, version), _in_error(said))


def _in_error(said: Json) -> Json:
    gone = ("resourceType", "id", "meta", *_HELD[said["resourceType"]])
    return {**{name: value for name, value in said.items() if name not in gone}, "status": "entered-in-error"}
