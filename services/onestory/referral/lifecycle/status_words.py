"""Task.businessStatus: the e-RS word after each action, and the words that a command may give. Pure.

A word that contradicts the status after the action is refused: no accepted referral says REJECTED.
"""

from __future__ import annotations

from collections.abc import Mapping

from onestory.referral.lifecycle.model import Action, Command, Referral, ReferralKind
from onestory.shared.errors import Conflict, Unprocessable

BOOKED, NOT_BOOKED, REJECTED = "BOOKED", "NOT_BOOKED", "REJECTED"
AWAITING_TRIAGE, TRIAGE_RESPONSE, ASSESSMENT_RESULT = "AWAITING_TRIAGE", "TRIAGE_RESPONSE", "ASSESSMENT_RESULT"
DEFERRED_TO_PROVIDER, CANCELLED_REFERRAL, DID_NOT_ATTEND = (
    "DEFERRED_TO_PROVIDER",
    "CANCELLED_REFERRAL",
    "DID_NOT_ATTEND",
)
BY_PATIENT, BY_PROVIDER = "APPT_CANCELLED_BY_PATIENT", "APPT_CANCELLED_BY_PROVIDER"
BUSINESS_STATUSES = tuple(
    sorted(
        (
            BY_PATIENT,
            BY_PROVIDER,
            ASSESSMENT_RESULT,
            AWAITING_TRIAGE,
            BOOKED,
            CANCELLED_REFERRAL,
            DEFERRED_TO_PROVIDER,
            DID_NOT_ATTEND,
            NOT_BOOKED,
            REJECTED,
            TRIAGE_RESPONSE,
        )
    )
)
"""The values of Task.businessStatus of a referral: codes of e-RS."""

_WORDS: Mapping[Action, tuple[str, ...]] = {
    Action.REQUEST: (AWAITING_TRIAGE,),
    Action.RECEIVE: (AWAITING_TRIAGE,),
    Action.REDIRECT: (AWAITING_TRIAGE,),
    Action.ACCEPT: (NOT_BOOKED, BOOKED, AWAITING_TRIAGE, TRIAGE_RESPONSE, DEFERRED_TO_PROVIDER),
    Action.REJECT: (REJECTED, TRIAGE_RESPONSE),
    Action.START: (NOT_BOOKED, BOOKED, TRIAGE_RESPONSE, ASSESSMENT_RESULT),
    Action.RESUME: (NOT_BOOKED, BOOKED, TRIAGE_RESPONSE, ASSESSMENT_RESULT),
    Action.HOLD: (DEFERRED_TO_PROVIDER, NOT_BOOKED, BOOKED, DID_NOT_ATTEND, BY_PATIENT, BY_PROVIDER),
    Action.BOOK: (BOOKED, NOT_BOOKED, DID_NOT_ATTEND, BY_PATIENT, BY_PROVIDER),
    Action.COMPLETE: (ASSESSMENT_RESULT, TRIAGE_RESPONSE),
    Action.FAIL: (NOT_BOOKED, DID_NOT_ATTEND, BY_PATIENT, BY_PROVIDER, TRIAGE_RESPONSE),
    Action.CANCEL: (CANCELLED_REFERRAL, DID_NOT_ATTEND, BY_PATIENT, BY_PROVIDER),
    Action.CORRECT: (CANCELLED_REFERRAL,),
}
"""The words that fit the status after each action; the first one is the word where the command gives none."""
# The start of the work changes no word that the acceptance gave, but it ends a deferral and the wait for triage.
_KEPT_BY_START = (NOT_BOOKED, BOOKED, TRIAGE_RESPONSE, DID_NOT_ATTEND, BY_PATIENT, BY_PROVIDER)

PROVIDER_RESPONSE_REQUIRED = "PROVIDER_RESPONSE_REQUIRED"
REFERRER_TO_SUBMIT_FURTHER_INFORMATION = "REFERRER_TO_SUBMIT_FURTHER_INFORMATION"
REFERRER_TO_REVIEW_RESPONSE = "REFERRER_TO_REVIEW_RESPONSE"
CONVERSATION_ENDED_CLOSED = "CONVERSATION_ENDED_CLOSED"
CONVERSATION_ENDED_CANCELLED = "CONVERSATION_ENDED_CANCELLED"
ADVICE_CONVERTED = "ADVICE_CONVERTED"

_ADVICE_WORDS: Mapping[Action, str] = {
    Action.REQUEST: PROVIDER_RESPONSE_REQUIRED,
    Action.RECEIVE: PROVIDER_RESPONSE_REQUIRED,
    Action.REDIRECT: PROVIDER_RESPONSE_REQUIRED,
    Action.REJECT: REJECTED,
    Action.COMPLETE: CONVERSATION_ENDED_CLOSED,
    Action.CANCEL: CONVERSATION_ENDED_CANCELLED,
    Action.CORRECT: CONVERSATION_ENDED_CANCELLED,
}
_PARAMETER = "Parameters.parameter.where(name='businessStatus')"


def business_status_for(referral: Referral, action: Action) -> str:
    """Task.businessStatus after an action, where the command names none."""
    if referral.kind is ReferralKind.ADVICE:
        return _ADVICE_WORDS.get(action, referral.business_status)
    if action is Action.START and referral.business_status in _KEPT_BY_START:
        return referral.business_status
    return _WORDS[action][0]


def refuse_contradicting_word(command: Command) -> None:
    """Raise `Unprocessable` for a word that no referral has, or that contradicts the status after the action."""
    word = command.business_status
    if not word:
        return
    fitting = _WORDS[command.action]
    if word not in BUSINESS_STATUSES:
        problem = f"businessStatus is one of {', '.join(BUSINESS_STATUSES)}."
        raise Unprocessable(problem, code="code-invalid", expression=_PARAMETER)
    if word not in fitting:
        raise Unprocessable(
            f"{word} contradicts {command.action}: send {' or '.join(fitting)}, or leave businessStatus out.",
            code="business-rule",
            expression=_PARAMETER,
        )


def refuse_unfit_for_advice(referral: Referral, command: Command) -> None:
    """Raise `Unprocessable` or `Conflict` where a command on advice does not fit the state of its conversation."""
    if command.business_status:
        raise Unprocessable(
            "The businessStatus of advice follows from the conversation: leave it out.",
            code="business-rule",
            expression=_PARAMETER,
        )
    if command.action is Action.COMPLETE and referral.business_status != REFERRER_TO_REVIEW_RESPONSE:
        raise Conflict(
            f"The advice is {referral.business_status}: complete it after an answer. To end it before, use $cancel.",
            code="conflict",
        )
