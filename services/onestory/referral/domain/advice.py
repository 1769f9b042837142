"""Advice and guidance: one team asks another what to do, and stays responsible while it asks (the words are e-RS's)."""

from __future__ import annotations

from collections.abc import Mapping

from onestory.referral.domain.command import Command
from onestory.referral.domain.machine import Action
from onestory.referral.domain.referral import Referral
from onestory.shared.errors import Conflict, Unprocessable

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
