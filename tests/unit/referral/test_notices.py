"""Who is told of a change of a referral."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onestory.referral.domain.notices import CODES, notices
from onestory.shared.events import Notice, Party

PRACTICE, PHYSIO, PAIN = Party("A81001"), Party("RX1", "physio"), Party("RX2", "pain")


@dataclass(frozen=True, slots=True)
class Sides:
    """What of a referral decides who is told."""

    requester: Party
    sender: Party
    recipient: Party
    holder: Party | None
    next_actor: Party | None
    sent_at: datetime | None = datetime(2026, 11, 27, tzinfo=UTC)


WITH_PHYSIO = Sides(PRACTICE, PRACTICE, PHYSIO, PRACTICE, PHYSIO)
ACCEPTED = replace(WITH_PHYSIO, holder=PHYSIO)
PARTIES = st.sampled_from([PRACTICE, PHYSIO, PAIN, Party("RX1"), Party("RX1", "hands")])
SIDES = st.builds(
    Sides,
    PARTIES,
    PARTIES,
    PARTIES,
    st.none() | PARTIES,
    st.none() | PARTIES,
    st.sampled_from([None, datetime(2026, 11, 27, tzinfo=UTC)]),
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
    with_pain = replace(WITH_PHYSIO, recipient=PAIN, next_actor=PAIN)

    told = notices("redirect", WITH_PHYSIO, with_pain, PRACTICE)

    assert told == (
        Notice("recipient", PAIN, "referral-requested"),
        Notice("recipient", PHYSIO, "referral-withdrawn"),
        Notice("person", None, "referral-redirected"),
    )


def test_who_passed_it_on_is_told_what_became_of_it() -> None:
    passed_on = Sides(PRACTICE, PHYSIO, PAIN, PHYSIO, PAIN)
    rejected = replace(passed_on, next_actor=PHYSIO)

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
    told = notices("correct", WITH_PHYSIO, replace(WITH_PHYSIO, holder=None, next_actor=None), PRACTICE)

    assert Notice("person", None, "referral-entered-in-error") in told


def test_nobody_is_told_of_a_draft_but_who_writes_it() -> None:
    draft = Sides(PRACTICE, PRACTICE, PHYSIO, PRACTICE, PRACTICE, sent_at=None)

    assert notices("draft", draft, draft, PRACTICE) == ()
    assert notices("cancel", draft, replace(draft, holder=None, next_actor=None), PRACTICE) == ()
    assert notices("escalate", draft, draft, None) == (Notice("requester", PRACTICE, "referral-overdue"),)


@pytest.mark.parametrize("action", ["claim", "release"])
def test_what_a_team_does_within_is_nobody_elses_business(action: str) -> None:
    assert notices(action, ACCEPTED, ACCEPTED, PHYSIO) == ()


def test_what_the_clock_does_is_told_to_both_sides() -> None:
    told = notices("escalate", ACCEPTED, ACCEPTED, None)

    assert told == (Notice("requester", PRACTICE, "referral-overdue"), Notice("holder", PHYSIO, "referral-overdue"))


def test_what_has_no_code_of_its_own_is_told_as_a_change() -> None:
    assert notices("something", ACCEPTED, ACCEPTED, PHYSIO) == (Notice("requester", PRACTICE, "referral-changed"),)


@given(st.sampled_from([*CODES, "something"]), SIDES, SIDES, st.none() | PARTIES)
def test_the_next_actor_is_told_or_is_the_actor(action: str, before: Sides, after: Sides, actor: Party | None) -> None:
    told = {notice.party for notice in notices(action, before, after, actor)}

    assert after.next_actor in {*told, actor, None}


@given(st.sampled_from([*CODES, "claim", "something"]), SIDES, SIDES, st.none() | PARTIES)
def test_nobody_is_told_twice_or_of_an_act_of_its_own(
    action: str, before: Sides, after: Sides, actor: Party | None
) -> None:
    told = [notice.party for notice in notices(action, before, after, actor)]

    assert len(told) == len(set(told))
    assert actor is None or actor not in told


@given(st.sampled_from([*CODES]), SIDES, SIDES, st.none() | PARTIES)
def test_requester_and_holder_are_told_of_every_step(
    action: str, before: Sides, after: Sides, actor: Party | None
) -> None:
    sent = replace(after, sent_at=datetime(2026, 11, 27, tzinfo=UTC), holder=after.sender)

    told = {notice.party for notice in notices(action, before, sent, actor)}

    assert {sent.requester, sent.sender, sent.recipient} <= {*told, actor}
