"""Every state, side and action of a Task: whether the action is allowed, who may take it, and the state after it."""

from __future__ import annotations

from itertools import product

import pytest

from onestory.referral.lifecycle.machine import allowed_actions, transition_for
from onestory.referral.lifecycle.model import ENDED, Action, ReferralKind, Side, Status

R, S, T = "requester", "sender", "recipient"
# (state, action): the sides that may take it, and the state after it.
EXPECTED = {
    ("draft", "request"): (R, "requested"),
    ("draft", "cancel"): (R, "cancelled"),
    ("requested", "receive"): (T, "received"),
    ("requested", "accept"): (T, "accepted"),
    ("requested", "reject"): (T, "rejected"),
    ("requested", "redirect"): ((R, S, T), "requested"),
    ("requested", "cancel"): ((R, S), "cancelled"),
    ("received", "accept"): (T, "accepted"),
    ("received", "reject"): (T, "rejected"),
    ("received", "redirect"): ((R, S, T), "requested"),
    ("received", "cancel"): ((R, S), "cancelled"),
    ("accepted", "start"): (T, "in-progress"),
    ("accepted", "book"): (T, "accepted"),
    ("accepted", "redirect"): (T, "requested"),
    ("accepted", "cancel"): ((R, S, T), "cancelled"),
    ("in-progress", "hold"): (T, "on-hold"),
    ("in-progress", "book"): (T, "in-progress"),
    ("in-progress", "complete"): (T, "completed"),
    ("in-progress", "fail"): (T, "failed"),
    ("in-progress", "redirect"): (T, "requested"),
    ("in-progress", "cancel"): ((R, S, T), "cancelled"),
    ("on-hold", "resume"): (T, "in-progress"),
    ("on-hold", "redirect"): (T, "requested"),
    ("on-hold", "cancel"): ((R, S, T), "cancelled"),
    ("rejected", "redirect"): ((R, S), "requested"),
    ("rejected", "cancel"): ((R, S), "rejected"),
    ("failed", "redirect"): (R, "requested"),
    ("failed", "cancel"): (R, "failed"),
}

# Advice moves no responsibility. It has no acceptance, and no transition that follows one.
ADVICE = {
    key: EXPECTED[key]
    for key in EXPECTED
    if key[0] in ("draft", "requested", "received", "rejected") and key[1] != "accept"
} | {("received", "complete"): (R, "completed")}


@pytest.mark.parametrize(("status", "action"), list(product(Status, Action)), ids=lambda part: str(part))
def test_each_state_and_action_of_advice_is_decided(status: Status, action: Action) -> None:
    found = transition_for(status, action, is_open=True, kind=ReferralKind.ADVICE)

    sides, to = ADVICE.get((str(status), str(action)), ((), None))
    if action is Action.CORRECT and status is not Status.ENTERED_IN_ERROR:
        sides, to = R, "entered-in-error"
    wanted = {sides} if isinstance(sides, str) else set(sides)
    assert ({str(side) for side in found.sides} if found else set()) == wanted
    assert (found and str(found.to)) == to


@pytest.mark.parametrize(("status", "action"), list(product(Status, Action)), ids=lambda part: str(part))
def test_each_state_and_action_is_decided(status: Status, action: Action) -> None:
    found = transition_for(status, action, is_open=True)

    sides, to = EXPECTED.get((str(status), str(action)), ((), None))
    if action is Action.CORRECT and status is not Status.ENTERED_IN_ERROR:
        sides, to = R, "entered-in-error"
    wanted = {sides} if isinstance(sides, str) else set(sides)
    assert ({str(side) for side in found.sides} if found else set()) == wanted
    assert (found and str(found.to)) == to


@pytest.mark.parametrize("status", Status)
def test_what_has_ended_can_only_be_declared_a_mistake(status: Status) -> None:
    possible = allowed_actions(status, list(Side), is_open=False)

    assert possible == ([] if status is Status.ENTERED_IN_ERROR else [Action.CORRECT])


@pytest.mark.parametrize("status", [each for each in Status if each not in ENDED])
def test_whoever_is_responsible_for_an_open_referral_can_do_something(status: Status) -> None:
    holder = Side.RECIPIENT if status in ("accepted", "in-progress", "on-hold") else Side.REQUESTER

    assert allowed_actions(status, [holder], is_open=True)
