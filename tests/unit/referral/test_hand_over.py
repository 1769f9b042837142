"""A succession changes parties and users of an open referral, and nothing else of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.referral.made import PAIN, PHYSIO, PRACTICE, SENT, after, doing, done, sent

from onestory.referral.directory.successions import SuccessionKind
from onestory.referral.lifecycle.model import CLOCK_SUBJECT, Action, ChangeContext, Referral, Side
from onestory.referral.succession.domain import (
    DirectorySuccession,
    hand_over,
    handover_summary,
    tell_of_closed_team,
)
from onestory.shared.events import Party

NEW = Party("RX1", "new-physio")
MERGED = DirectorySuccession("s1", SuccessionKind.TEAM, PHYSIO, NEW)
RETIRED = DirectorySuccession("s2", SuccessionKind.USER, PHYSIO, PHYSIO, "ada", "bea")
RECIPIENT = Side.RECIPIENT
STATES: dict[str, tuple[tuple[Action, Side], ...]] = {
    "requested": (),
    "received": ((Action.RECEIVE, RECIPIENT),),
    "accepted": ((Action.ACCEPT, RECIPIENT),),
    "in-progress": ((Action.ACCEPT, RECIPIENT), (Action.START, RECIPIENT)),
    "on-hold": ((Action.ACCEPT, RECIPIENT), (Action.START, RECIPIENT), (Action.HOLD, RECIPIENT)),
}


def clock() -> ChangeContext:
    return replace(doing(number=99), actor=replace(doing().actor, subject=CLOCK_SUBJECT))


def same_but(referral: Referral, **parts: object) -> Referral:
    """The referral with these parts, and without what every change changes."""
    return replace(referral, version=0, changed_at=SENT, changed_by=doing().event_id, **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", STATES)
def test_the_recipient_moves_and_all_else_stays(state: str) -> None:
    before = after(sent(), *STATES[state])

    change = hand_over(before, clock(), MERGED)

    assert change is not None
    moved = change.referral
    assert same_but(moved) == same_but(before, recipient=NEW)
    assert moved.version == before.version + 1
    assert PHYSIO not in (moved.holder, moved.next_actor, moved.recipient, moved.sender)
    assert moved.holder is not None
    assert moved.next_actor is not None
    told = [(notice.party, notice.reason) for notice in change.notices]
    assert sorted(map(str, told)) == sorted(
        str((party, "referral-handed-over")) for party in (PRACTICE, NEW, PHYSIO, None)
    )
    assert hand_over(moved, clock(), MERGED) is None


def test_a_team_that_passed_it_on_is_replaced_as_its_holder() -> None:
    before = after(sent(), (Action.ACCEPT, RECIPIENT), (Action.REDIRECT, RECIPIENT))
    assert (before.sender, before.recipient, before.holder) == (PHYSIO, PAIN, PHYSIO)

    change = hand_over(before, clock(), MERGED)

    assert change is not None
    assert (change.referral.sender, change.referral.recipient, change.referral.holder) == (NEW, PAIN, NEW)
    # The person has still the same team before them.
    assert None not in [notice.party for notice in change.notices]


def test_a_practice_is_replaced_on_the_requesters_side_and_the_requester_stays() -> None:
    new = Party("A81099")
    merger = DirectorySuccession("s4", SuccessionKind.ORGANISATION, PRACTICE, new)
    before = replace(sent(), practice="A81098")

    change = hand_over(before, clock(), merger)

    assert change is not None
    assert same_but(change.referral) == same_but(before, referrer=new, sender=new)
    assert {notice.party for notice in change.notices} >= {PRACTICE, PHYSIO, new}
    moved = hand_over(replace(before, practice=PRACTICE.organisation), clock(), merger)
    assert moved is not None
    assert (moved.referral.referrer, moved.referral.practice) == (new, "")


@pytest.mark.parametrize("steps", [((Action.REJECT, RECIPIENT),), ((Action.CANCEL, Side.REQUESTER),)])
def test_what_was_given_back_or_has_ended_does_not_move(steps: tuple[tuple[Action, Side], ...]) -> None:
    assert hand_over(after(sent(), *steps), clock(), MERGED) is None


def test_who_retires_hands_over_claims_and_sent_referrals_only() -> None:
    before = replace(sent(), claimed_by="ada", requester_subject="ada")

    change = hand_over(before, clock(), RETIRED)

    assert change is not None
    # The practice is another organisation than the team's: what the user sent there is another user's.
    assert same_but(change.referral) == same_but(before, claimed_by="bea")
    own = DirectorySuccession("s3", SuccessionKind.USER, Party(PRACTICE.organisation), PRACTICE, "ada", "bea")
    both = hand_over(before, clock(), own)
    assert both is not None
    assert both.referral.requester_subject == "bea"
    assert hand_over(replace(before, claimed_by="cy", requester_subject="cy"), clock(), RETIRED) is None


def test_a_claim_that_ended_with_the_role_goes_to_the_successor_that_is_named_later() -> None:
    free = replace(sent(), claimed_by="", requester_subject="cy")

    change = hand_over(free, clock(), RETIRED, had_claim=True)

    assert change is not None
    assert change.referral.claimed_by == "bea"
    assert hand_over(replace(free, claimed_by="cy"), clock(), RETIRED, had_claim=True) is None


def test_a_closed_team_is_told_of_to_all_parties_but_not_to_the_person() -> None:
    change = tell_of_closed_team(sent(), clock(), PHYSIO.team)

    assert change is not None
    assert {notice.party for notice in change.notices} == {PRACTICE, PHYSIO}
    assert {notice.reason for notice in change.notices} == {"team-closed"}
    assert same_but(change.referral) == same_but(sent())
    assert tell_of_closed_team(sent(), clock(), "another") is None
    assert tell_of_closed_team(sent("draft"), clock(), PHYSIO.team) is None


def test_the_summary_is_the_state_before_the_handover() -> None:
    before = done(sent(reasonCode=[{"text": "Knee pain"}], code={"text": "Physio"}), Action.ACCEPT, RECIPIENT).referral

    told = handover_summary(before, SENT)

    assert (told["what"], told["reasons"], told["status"]) == ("Physio", ["Knee pain"], "accepted")
    assert told["holder"] == {"organisation": PHYSIO.organisation, "team": PHYSIO.team}
    assert (told["nhsNumber"], told["overdue"], told["openQuestion"]) == ("9000000009", False, False)
