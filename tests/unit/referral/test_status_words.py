"""Task.businessStatus follows the action, and a word that contradicts it is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.referral.made import CLOCKS, after, doing, sent

from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.model import Action, Command, Reason, Referral, Side
from onestory.referral.lifecycle.status_words import BUSINESS_STATUSES
from onestory.shared.errors import Unprocessable

T = Side.RECIPIENT
ACCEPTED = after(sent(), (Action.ACCEPT, T))
STARTED = after(ACCEPTED, (Action.START, T))
HELD = after(STARTED, (Action.HOLD, T))


def acted(referral: Referral, action: Action, word: str = "") -> Referral:
    """The referral after an act of the team with this word."""
    command = Command(action, Reason("", {"text": "For a test"}), word)
    return decide(referral, command, {T}, doing(number=9), CLOCKS, lambda of, _: of.task_id).referral


@pytest.mark.parametrize(
    ("referral", "action", "word"),
    [
        (sent(), Action.ACCEPT, "REJECTED"),
        (sent(), Action.ACCEPT, "CANCELLED_REFERRAL"),
        (sent(), Action.REJECT, "BOOKED"),
        (ACCEPTED, Action.START, "CANCELLED_REFERRAL"),
        (ACCEPTED, Action.START, "REJECTED"),
        (STARTED, Action.COMPLETE, "DID_NOT_ATTEND"),
        (STARTED, Action.COMPLETE, "NOT_BOOKED"),
        (STARTED, Action.FAIL, "REJECTED"),
        (STARTED, Action.HOLD, "REJECTED"),
        (HELD, Action.RESUME, "DEFERRED_TO_PROVIDER"),
        (STARTED, Action.CANCEL, "BOOKED"),
        (ACCEPTED, Action.BOOK, "REJECTED"),
    ],
)
def test_a_contradicting_word_is_refused_with_those_that_fit(referral: Referral, action: Action, word: str) -> None:
    with pytest.raises(Unprocessable, match=f"{word} contradicts {action}: send "):
        acted(referral, action, word)


def test_no_word_of_a_past_state_stays() -> None:
    assert HELD.business_status == "DEFERRED_TO_PROVIDER"
    assert acted(HELD, Action.RESUME).business_status == "NOT_BOOKED"
    assert acted(STARTED, Action.COMPLETE).business_status == "ASSESSMENT_RESULT"
    assert acted(replace(STARTED, business_status="BOOKED"), Action.FAIL).business_status == "NOT_BOOKED"
    assert acted(replace(ACCEPTED, business_status="AWAITING_TRIAGE"), Action.START).business_status == "NOT_BOOKED"
    assert (
        acted(replace(ACCEPTED, business_status="TRIAGE_RESPONSE"), Action.START).business_status == "TRIAGE_RESPONSE"
    )


def test_a_fitting_word_is_taken() -> None:
    assert acted(STARTED, Action.FAIL, "DID_NOT_ATTEND").business_status == "DID_NOT_ATTEND"
    assert acted(sent(), Action.ACCEPT, "AWAITING_TRIAGE").business_status == "AWAITING_TRIAGE"
    with pytest.raises(Unprocessable, match="businessStatus is one of"):
        acted(sent(), Action.ACCEPT, "DONE")
    assert len(BUSINESS_STATUSES) == 11
