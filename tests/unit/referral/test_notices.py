"""A change of a referral sends notices to the parties that it concerns, and sometimes to the person."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.referral.made import PAIN, PHYSIO, PRACTICE, SENT, done, sent

from onestory.referral.lifecycle.machine import transition_for
from onestory.referral.lifecycle.model import Action, Referral, Side, Status
from onestory.referral.notices.domain import NOTICE_CODES, notices
from onestory.shared.events import Notice, Party

WITH_PHYSIO = sent()
ACCEPTED = replace(WITH_PHYSIO, status=Status.ACCEPTED)
PARTIES = st.sampled_from([PRACTICE, PHYSIO, PAIN, Party("RX1"), Party("RX1", "hands")])
REFERRALS = st.builds(
    replace,
    st.just(WITH_PHYSIO),
    requester=PARTIES,
    sender=PARTIES,
    recipient=PARTIES,
    status=st.sampled_from(Status),
    is_open=st.booleans(),
    acts_next=st.sampled_from(["", *Side]),
    sent_at=st.sampled_from([None, SENT]),
)


def test_a_new_referral_is_told_to_the_team_and_to_the_person() -> None:
    told = notices("request", WITH_PHYSIO, WITH_PHYSIO, PRACTICE)

    assert told == (
        Notice("recipient", PHYSIO, "referral-requested"),
        Notice("person", None, "referral-requested"),
    )


def test_an_acceptance_is_told_to_who_asked_and_to_the_person() -> None:
    told = notices("accept", WITH_PHYSIO, ACCEPTED, PHYSIO)

    assert told == (
        Notice("requester", PRACTICE, "referral-accepted"),
        Notice("person", None, "referral-accepted"),
    )


def test_a_redirection_is_told_to_the_next_team_the_former_one_and_who_asked() -> None:
    with_pain = replace(WITH_PHYSIO, recipient=PAIN)

    told = notices("redirect", WITH_PHYSIO, with_pain, PRACTICE)

    assert told == (
        Notice("recipient", PAIN, "referral-requested"),
        Notice("recipient", PHYSIO, "referral-withdrawn"),
        Notice("person", None, "referral-redirected"),
    )


def test_who_passed_it_on_is_told_what_became_of_it() -> None:
    passed_on = replace(WITH_PHYSIO, sender=PHYSIO, recipient=PAIN)
    rejected = replace(passed_on, status=Status.REJECTED)

    told = notices("reject", passed_on, rejected, PAIN)

    assert told == (
        Notice("requester", PRACTICE, "referral-rejected"),
        Notice("holder", PHYSIO, "referral-rejected"),
        Notice("person", None, "referral-rejected"),
    )


@pytest.mark.parametrize("action", ["receive", "start", "hold", "resume", "escalate", "claim", "anything"])
def test_steps_on_the_way_are_not_told_to_the_person(action: str) -> None:
    assert all(notice.recipient != "person" for notice in notices(action, ACCEPTED, ACCEPTED, PHYSIO))


def test_a_mistake_is_told_to_the_person_who_would_else_wait() -> None:
    told = notices("correct", WITH_PHYSIO, replace(WITH_PHYSIO, is_open=False), PRACTICE)

    assert Notice("person", None, "referral-entered-in-error") in told


# The end of a claim concerns the team only.
TOLD_TO_ALL = [action for action in NOTICE_CODES if action != "claim-ended"]


def test_nobody_is_told_of_a_draft_but_who_writes_it() -> None:
    draft = sent("draft")

    assert notices("draft", draft, draft, PRACTICE) == ()
    assert notices("cancel", draft, replace(draft, is_open=False), PRACTICE) == ()
    assert notices("escalate", draft, draft, None) == (Notice("requester", PRACTICE, "referral-overdue"),)


@pytest.mark.parametrize("action", ["claim", "release"])
def test_what_a_team_does_within_is_nobody_elses_business(action: str) -> None:
    assert notices(action, ACCEPTED, ACCEPTED, PHYSIO) == ()


def test_what_the_clock_does_is_told_to_both_sides() -> None:
    told = notices("escalate", ACCEPTED, ACCEPTED, None)

    assert told == (Notice("requester", PRACTICE, "referral-overdue"), Notice("holder", PHYSIO, "referral-overdue"))


def test_what_has_no_code_of_its_own_is_told_as_a_change() -> None:
    assert notices("something", ACCEPTED, ACCEPTED, PHYSIO) == (Notice("requester", PRACTICE, "referral-changed"),)


@given(st.sampled_from([*TOLD_TO_ALL, "something"]), REFERRALS, REFERRALS, st.none() | PARTIES)
def test_the_next_actor_is_told_or_is_the_actor(
    action: str, before: Referral, after: Referral, actor: Party | None
) -> None:
    told = {notice.party for notice in notices(action, before, after, actor)}

    assert after.next_actor in {*told, actor, None}


@given(st.sampled_from([*NOTICE_CODES, "claim", "something"]), REFERRALS, REFERRALS, st.none() | PARTIES)
def test_nobody_is_told_twice_or_of_an_act_of_its_own(
    action: str, before: Referral, after: Referral, actor: Party | None
) -> None:
    told = [notice.party for notice in notices(action, before, after, actor)]

    assert len(told) == len(set(told))
    assert actor is None or actor not in told


@given(st.sampled_from(TOLD_TO_ALL), REFERRALS, REFERRALS, st.none() | PARTIES)
def test_all_sides_are_told_of_every_step_once_it_is_sent(
    action: str, before: Referral, after: Referral, actor: Party | None
) -> None:
    told = {notice.party for notice in notices(action, before, replace(after, sent_at=SENT), actor)}

    assert {after.requester, after.sender, after.recipient} <= {*told, actor}


@pytest.mark.parametrize("sender", [PRACTICE, Party("RX3", "hands")], ids=["its requester sent it", "passed on"])
@pytest.mark.parametrize(("status", "side", "action"), list(product(Status, Side, Action)), ids=str)
def test_in_every_state_and_for_every_side_and_action_whose_turn_it_is_is_told(
    status: Status, side: Side, action: Action, sender: Party
) -> None:
    referral = replace(sent("draft" if status is Status.DRAFT else "active"), status=status, sender=sender)
    if not is_possible(referral, action, side, PAIN):
        return

    changed = done(referral, action, side)

    told = {notice.party for notice in changed.notices}
    assert changed.referral.next_actor in {*told, changed.context.actor.party, None}
    assert changed.referral.holder in {*told, changed.context.actor.party, None}


STEPS = st.lists(st.tuples(st.sampled_from(Action), st.sampled_from(Side), st.sampled_from([PAIN, PHYSIO])), max_size=9)


@given(st.sampled_from(["active", "draft"]), STEPS)
def test_along_every_way_through_the_machine_whose_turn_it_is_is_told(
    status: str, steps: list[tuple[Action, Side, Party]]
) -> None:
    referral = sent(status)
    for action, side, to in steps:
        if not is_possible(referral, action, side, to):
            continue
        changed = done(referral, action, side, to=to)
        referral = changed.referral

        told = {notice.party for notice in changed.notices}
        assert referral.next_actor in {*told, changed.context.actor.party, None}
        assert referral.holder in {*told, changed.context.actor.party, None}


def is_possible(referral: Referral, action: Action, side: Side, to: Party) -> bool:
    """True if this side can take this action now."""
    found = transition_for(referral.status, action, is_open=referral.is_open)
    return found is not None and side in found.sides and not (action is Action.REDIRECT and to == referral.recipient)
