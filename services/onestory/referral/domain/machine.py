"""The state machine of a Task: for every state, side and action, whether it may be done and what becomes of it.

It is the machine of closed-loop referral guides. Requester, sender and recipient are the only sides; the sender is the
requester, or a former holder who passed the referral on. What the table does not list is refused. Advice has a table of
its own: it moves no responsibility, so nobody accepts it, and the requester is the one who says that it is done.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from onestory.referral.domain.referral import ENDED, Kind, Status


class Side(StrEnum):
    """On which side of a referral somebody stands."""

    REQUESTER = "requester"
    SENDER = "sender"
    RECIPIENT = "recipient"


class Action(StrEnum):
    """What can be done to a referral. All but `request` are FHIR operations on its Task of the same name."""

    REQUEST = "request"
    RECEIVE = "receive"
    ACCEPT = "accept"
    REJECT = "reject"
    START = "start"
    HOLD = "hold"
    RESUME = "resume"
    BOOK = "book"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REDIRECT = "redirect"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True)
class Step:
    """Who may, and the status that the Task then has."""

    sides: frozenset[Side]
    to: Status


NEEDS_REASON = frozenset({Action.REJECT, Action.HOLD, Action.FAIL, Action.CANCEL, Action.REDIRECT, Action.CORRECT})

_REQUESTER = frozenset({Side.REQUESTER})
_ASKING = frozenset({Side.REQUESTER, Side.SENDER})
_RECIPIENT = frozenset({Side.RECIPIENT})
_EITHER = frozenset(Side)

_OF_STATUS: dict[Status, dict[Action, Step]] = {
    Status.DRAFT: {
        Action.REQUEST: Step(_REQUESTER, Status.REQUESTED),
        Action.CANCEL: Step(_REQUESTER, Status.CANCELLED),
    },
    Status.REQUESTED: {
        Action.RECEIVE: Step(_RECIPIENT, Status.RECEIVED),
        Action.ACCEPT: Step(_RECIPIENT, Status.ACCEPTED),
        Action.REJECT: Step(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Step(_EITHER, Status.REQUESTED),
        Action.CANCEL: Step(_ASKING, Status.CANCELLED),
    },
    Status.RECEIVED: {
        Action.ACCEPT: Step(_RECIPIENT, Status.ACCEPTED),
        Action.REJECT: Step(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Step(_EITHER, Status.REQUESTED),
        Action.CANCEL: Step(_ASKING, Status.CANCELLED),
    },
    Status.ACCEPTED: {
        Action.START: Step(_RECIPIENT, Status.IN_PROGRESS),
        Action.BOOK: Step(_RECIPIENT, Status.ACCEPTED),
        Action.REDIRECT: Step(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Step(_EITHER, Status.CANCELLED),
    },
    Status.IN_PROGRESS: {
        Action.HOLD: Step(_RECIPIENT, Status.ON_HOLD),
        Action.BOOK: Step(_RECIPIENT, Status.IN_PROGRESS),
        Action.COMPLETE: Step(_RECIPIENT, Status.COMPLETED),
        Action.FAIL: Step(_RECIPIENT, Status.FAILED),
        Action.REDIRECT: Step(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Step(_EITHER, Status.CANCELLED),
    },
    Status.ON_HOLD: {
        Action.RESUME: Step(_RECIPIENT, Status.IN_PROGRESS),
        Action.REDIRECT: Step(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Step(_EITHER, Status.CANCELLED),
    },
    # The Task has ended, the referral has not: whoever holds it finds another way, or says that there is none.
    Status.REJECTED: {
        Action.REDIRECT: Step(_ASKING, Status.REQUESTED),
        Action.CANCEL: Step(_ASKING, Status.REJECTED),
    },
    Status.FAILED: {
        Action.REDIRECT: Step(_REQUESTER, Status.REQUESTED),
        Action.CANCEL: Step(_REQUESTER, Status.FAILED),
    },
}
_OF_ADVICE: dict[Status, dict[Action, Step]] = {
    Status.DRAFT: _OF_STATUS[Status.DRAFT],
    Status.REQUESTED: {
        Action.RECEIVE: Step(_RECIPIENT, Status.RECEIVED),
        Action.REJECT: Step(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Step(_EITHER, Status.REQUESTED),
        Action.CANCEL: Step(_ASKING, Status.CANCELLED),
    },
    Status.RECEIVED: {
        Action.REJECT: Step(_RECIPIENT, Status.REJECTED),
        Action.COMPLETE: Step(_REQUESTER, Status.COMPLETED),
        Action.REDIRECT: Step(_EITHER, Status.REQUESTED),
        Action.CANCEL: Step(_ASKING, Status.CANCELLED),
    },
    Status.REJECTED: _OF_STATUS[Status.REJECTED],
}
_CORRECT = Step(_REQUESTER, Status.ENTERED_IN_ERROR)


def step(status: Status, action: Action, *, is_open: bool, kind: Kind = Kind.REFERRAL) -> Step | None:
    """The step of the table; None where the state does not allow it to anybody."""
    if action is Action.CORRECT:
        # A mistake, such as the wrong person, can be found out at any time.
        return None if status is Status.ENTERED_IN_ERROR else _CORRECT
    table = _OF_ADVICE if kind is Kind.ADVICE else _OF_STATUS
    return table.get(status, {}).get(action) if is_open else None


def allowed(status: Status, sides: Collection[Side], *, is_open: bool, kind: Kind = Kind.REFERRAL) -> list[Action]:
    """What somebody on these sides can do now, in the order of `Action`."""
    steps = ((action, step(status, action, is_open=is_open, kind=kind)) for action in Action)
    return [action for action, found in steps if found and not found.sides.isdisjoint(sides)]


def is_end(status: Status) -> bool:
    """Whether the referral ends with a Task that ends like this."""
    return status in ENDED
