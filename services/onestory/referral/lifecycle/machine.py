"""The state machine of a Task: which side may take which action in which status, and the status after it.

It is the machine of closed-loop referral guides. Its sides are requester, sender and recipient. An action that the
table does not list is refused. Advice has a table of its own, because it moves no responsibility: no team accepts it,
and the requester completes it. Task.businessStatus carries codes of e-RS.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from onestory.referral.lifecycle.model import Action, ReferralKind, Side, Status


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of the table: the sides that may make it, and the status of the Task after it."""

    sides: frozenset[Side]
    to: Status


NEEDS_REASON = frozenset({Action.REJECT, Action.HOLD, Action.FAIL, Action.CANCEL, Action.REDIRECT, Action.CORRECT})

_REQUESTER = frozenset({Side.REQUESTER})
_REQUESTER_OR_SENDER = frozenset({Side.REQUESTER, Side.SENDER})
_RECIPIENT = frozenset({Side.RECIPIENT})
_ANY_SIDE = frozenset(Side)

_TRANSITIONS: dict[Status, dict[Action, Transition]] = {
    Status.DRAFT: {
        Action.REQUEST: Transition(_REQUESTER, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER, Status.CANCELLED),
    },
    Status.REQUESTED: {
        Action.RECEIVE: Transition(_RECIPIENT, Status.RECEIVED),
        Action.ACCEPT: Transition(_RECIPIENT, Status.ACCEPTED),
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Transition(_ANY_SIDE, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER_OR_SENDER, Status.CANCELLED),
    },
    Status.RECEIVED: {
        Action.ACCEPT: Transition(_RECIPIENT, Status.ACCEPTED),
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Transition(_ANY_SIDE, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER_OR_SENDER, Status.CANCELLED),
    },
    Status.ACCEPTED: {
        Action.START: Transition(_RECIPIENT, Status.IN_PROGRESS),
        Action.BOOK: Transition(_RECIPIENT, Status.ACCEPTED),
        Action.REDIRECT: Transition(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Transition(_ANY_SIDE, Status.CANCELLED),
    },
    Status.IN_PROGRESS: {
        Action.HOLD: Transition(_RECIPIENT, Status.ON_HOLD),
        Action.BOOK: Transition(_RECIPIENT, Status.IN_PROGRESS),
        Action.COMPLETE: Transition(_RECIPIENT, Status.COMPLETED),
        Action.FAIL: Transition(_RECIPIENT, Status.FAILED),
        Action.REDIRECT: Transition(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Transition(_ANY_SIDE, Status.CANCELLED),
    },
    Status.ON_HOLD: {
        Action.RESUME: Transition(_RECIPIENT, Status.IN_PROGRESS),
        Action.REDIRECT: Transition(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Transition(_ANY_SIDE, Status.CANCELLED),
    },
    # The Task has ended, the referral has not: its holder asks another team, or closes it.
    Status.REJECTED: {
        Action.REDIRECT: Transition(_REQUESTER_OR_SENDER, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER_OR_SENDER, Status.REJECTED),
    },
    Status.FAILED: {
        Action.REDIRECT: Transition(_REQUESTER, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER, Status.FAILED),
    },
}
_ADVICE_TRANSITIONS: dict[Status, dict[Action, Transition]] = {
    Status.DRAFT: _TRANSITIONS[Status.DRAFT],
    Status.REQUESTED: {
        Action.RECEIVE: Transition(_RECIPIENT, Status.RECEIVED),
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Transition(_ANY_SIDE, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER_OR_SENDER, Status.CANCELLED),
    },
    Status.RECEIVED: {
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.COMPLETE: Transition(_REQUESTER, Status.COMPLETED),
        Action.REDIRECT: Transition(_ANY_SIDE, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER_OR_SENDER, Status.CANCELLED),
    },
    Status.REJECTED: _TRANSITIONS[Status.REJECTED],
}
_CORRECTION = Transition(_REQUESTER, Status.ENTERED_IN_ERROR)


def transition_for(
    status: Status, action: Action, *, is_open: bool, kind: ReferralKind = ReferralKind.REFERRAL
) -> Transition | None:
    """The transition that the table has for an action in this status; None where no side may take it."""
    if action is Action.CORRECT:
        # A mistake, such as the wrong person, can be found at any time.
        return None if status is Status.ENTERED_IN_ERROR else _CORRECTION
    table = _ADVICE_TRANSITIONS if kind is ReferralKind.ADVICE else _TRANSITIONS
    return table.get(status, {}).get(action) if is_open else None


def allowed_actions(
    status: Status, sides: Collection[Side], *, is_open: bool, kind: ReferralKind = ReferralKind.REFERRAL
) -> list[Action]:
    """The actions that a caller on these sides can take now, in the order of `Action`."""
    transitions = ((action, transition_for(status, action, is_open=is_open, kind=kind)) for action in Action)
    return [action for action, transition in transitions if transition and not transition.sides.isdisjoint(sides)]


ADVICE_HINT = (
    "A team that advises does not take over: answer with $message. If the person has to be seen, make a referral "
    "of it with $convert."
)
