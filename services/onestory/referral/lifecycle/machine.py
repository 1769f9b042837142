"""The state machine of a Task: for every state, side and action, whether it may be done and what becomes of it.

It is the machine of closed-loop referral guides. Requester, sender and recipient are the only sides; the sender is the
requester, or a former holder who passed the referral on. What the table does not list is refused. Advice has a table of
its own: it moves no responsibility, so nobody accepts it, and the requester is the one who says that it is done.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from onestory.referral.lifecycle.model import ENDED, Json, Reason, Referral, ReferralKind, Status
from onestory.shared.errors import Conflict, Unprocessable
from onestory.shared.events import Actor, Notice, Party


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
class Transition:
    """Who may, and the status that the Task then has."""

    sides: frozenset[Side]
    to: Status


NEEDS_REASON = frozenset({Action.REJECT, Action.HOLD, Action.FAIL, Action.CANCEL, Action.REDIRECT, Action.CORRECT})

_REQUESTER = frozenset({Side.REQUESTER})
_ASKING = frozenset({Side.REQUESTER, Side.SENDER})
_RECIPIENT = frozenset({Side.RECIPIENT})
_EITHER = frozenset(Side)

_OF_STATUS: dict[Status, dict[Action, Transition]] = {
    Status.DRAFT: {
        Action.REQUEST: Transition(_REQUESTER, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER, Status.CANCELLED),
    },
    Status.REQUESTED: {
        Action.RECEIVE: Transition(_RECIPIENT, Status.RECEIVED),
        Action.ACCEPT: Transition(_RECIPIENT, Status.ACCEPTED),
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Transition(_EITHER, Status.REQUESTED),
        Action.CANCEL: Transition(_ASKING, Status.CANCELLED),
    },
    Status.RECEIVED: {
        Action.ACCEPT: Transition(_RECIPIENT, Status.ACCEPTED),
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Transition(_EITHER, Status.REQUESTED),
        Action.CANCEL: Transition(_ASKING, Status.CANCELLED),
    },
    Status.ACCEPTED: {
        Action.START: Transition(_RECIPIENT, Status.IN_PROGRESS),
        Action.BOOK: Transition(_RECIPIENT, Status.ACCEPTED),
        Action.REDIRECT: Transition(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Transition(_EITHER, Status.CANCELLED),
    },
    Status.IN_PROGRESS: {
        Action.HOLD: Transition(_RECIPIENT, Status.ON_HOLD),
        Action.BOOK: Transition(_RECIPIENT, Status.IN_PROGRESS),
        Action.COMPLETE: Transition(_RECIPIENT, Status.COMPLETED),
        Action.FAIL: Transition(_RECIPIENT, Status.FAILED),
        Action.REDIRECT: Transition(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Transition(_EITHER, Status.CANCELLED),
    },
    Status.ON_HOLD: {
        Action.RESUME: Transition(_RECIPIENT, Status.IN_PROGRESS),
        Action.REDIRECT: Transition(_RECIPIENT, Status.REQUESTED),
        Action.CANCEL: Transition(_EITHER, Status.CANCELLED),
    },
    # The Task has ended, the referral has not: whoever holds it finds another way, or says that there is none.
    Status.REJECTED: {
        Action.REDIRECT: Transition(_ASKING, Status.REQUESTED),
        Action.CANCEL: Transition(_ASKING, Status.REJECTED),
    },
    Status.FAILED: {
        Action.REDIRECT: Transition(_REQUESTER, Status.REQUESTED),
        Action.CANCEL: Transition(_REQUESTER, Status.FAILED),
    },
}
_OF_ADVICE: dict[Status, dict[Action, Transition]] = {
    Status.DRAFT: _OF_STATUS[Status.DRAFT],
    Status.REQUESTED: {
        Action.RECEIVE: Transition(_RECIPIENT, Status.RECEIVED),
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.REDIRECT: Transition(_EITHER, Status.REQUESTED),
        Action.CANCEL: Transition(_ASKING, Status.CANCELLED),
    },
    Status.RECEIVED: {
        Action.REJECT: Transition(_RECIPIENT, Status.REJECTED),
        Action.COMPLETE: Transition(_REQUESTER, Status.COMPLETED),
        Action.REDIRECT: Transition(_EITHER, Status.REQUESTED),
        Action.CANCEL: Transition(_ASKING, Status.CANCELLED),
    },
    Status.REJECTED: _OF_STATUS[Status.REJECTED],
}
_CORRECT = Transition(_REQUESTER, Status.ENTERED_IN_ERROR)


def step(
    status: Status, action: Action, *, is_open: bool, kind: ReferralKind = ReferralKind.REFERRAL
) -> Transition | None:
    """The step of the table; None where the state does not allow it to anybody."""
    if action is Action.CORRECT:
        # A mistake, such as the wrong person, can be found out at any time.
        return None if status is Status.ENTERED_IN_ERROR else _CORRECT
    table = _OF_ADVICE if kind is ReferralKind.ADVICE else _OF_STATUS
    return table.get(status, {}).get(action) if is_open else None


def allowed(
    status: Status, sides: Collection[Side], *, is_open: bool, kind: ReferralKind = ReferralKind.REFERRAL
) -> list[Action]:
    """What somebody on these sides can do now, in the order of `Action`."""
    steps = ((action, step(status, action, is_open=is_open, kind=kind)) for action in Action)
    return [action for action, found in steps if found and not found.sides.isdisjoint(sides)]


def is_end(status: Status) -> bool:
    """Whether the referral ends with a Task that ends like this."""
    return status in ENDED


# What somebody wants to be done to a referral, and what becomes of it.

CLOCK = "clock"
"""Who acts where nobody did: time itself, or what another source said."""


@dataclass(frozen=True, slots=True)
class Doing:
    """One change of a referral as it happens: by whom, when, under which event id."""

    event_id: UUID
    actor: Actor
    at: datetime
    correlation_id: str

    @property
    def by(self) -> Party | None:
        """Whose act it is; None where nobody acted."""
        return None if self.actor.subject == CLOCK else self.actor.party


@dataclass(frozen=True, slots=True)
class Command:
    """An action, and what is said with it.

    `business_status` is a word of e-RS, empty for the one that goes with the action. `outputs` come to Task.output.
    `recipient` is the team that a redirection goes to. `until` is when a hold shall end, or when an
    appointment is.
    """

    action: Action
    reason: Reason | None = None
    business_status: str = ""
    outputs: tuple[Json, ...] = ()
    recipient: Party | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A resource that a change writes: FHIR JSON without id and meta."""

    resource_type: str
    shared_id: str
    local_id: str
    body: Json


@dataclass(frozen=True, slots=True)
class ReferralChange:
    """A change: what was done (`action`: an `Action`, or another word), how, the referral after it, who is told, and
    the resources as they are now.
    """

    action: str
    reason: str
    doing: Doing
    referral: Referral
    notices: tuple[Notice, ...]
    written: tuple[Written, ...]


# Advice and guidance: one team asks another what to do, and stays responsible while it asks (the words are e-RS's).

PROVIDER_RESPONSE_REQUIRED = "PROVIDER_RESPONSE_REQUIRED"
REFERRER_TO_SUBMIT_FURTHER_INFORMATION = "REFERRER_TO_SUBMIT_FURTHER_INFORMATION"
REFERRER_TO_REVIEW_RESPONSE = "REFERRER_TO_REVIEW_RESPONSE"
CONVERSATION_ENDED_CLOSED = "CONVERSATION_ENDED_CLOSED"
CONVERSATION_ENDED_CANCELLED = "CONVERSATION_ENDED_CANCELLED"
ADVICE_CONVERTED = "ADVICE_CONVERTED"

WORDS: Mapping[Action, str] = {
    Action.REQUEST: PROVIDER_RESPONSE_REQUIRED,
    Action.RECEIVE: PROVIDER_RESPONSE_REQUIRED,
    Action.REDIRECT: PROVIDER_RESPONSE_REQUIRED,
    Action.REJECT: "REJECTED",
    Action.COMPLETE: CONVERSATION_ENDED_CLOSED,
    Action.CANCEL: CONVERSATION_ENDED_CANCELLED,
    Action.CORRECT: CONVERSATION_ENDED_CANCELLED,
}
"""Task.businessStatus that goes with an action."""

INSTEAD = (
    "Who advises does not take over: answer with $message, and if the person has to be seen, make a referral of it "
    "with $convert."
)


def refuse_unfit(referral: Referral, command: Command) -> None:
    """Raise what the caller is told where an action of the table does not fit the conversation."""
    if command.business_status:
        raise Unprocessable(
            "The businessStatus of advice follows from the conversation: leave it out.",
            code="business-rule",
            expression="Parameters.parameter.where(name='businessStatus')",
        )
    if command.action is Action.COMPLETE and referral.business_status != REFERRER_TO_REVIEW_RESPONSE:
        raise Conflict(
            f"It is {referral.business_status}: you close it once an answer has come. To end it without one, cancel.",
            code="conflict",
        )
