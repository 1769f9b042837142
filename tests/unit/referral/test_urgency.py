"""A waiting referral gets a new priority. A more urgent one brings the due time forward; none gives more time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.referral.made import CLOCKS, SENT, sent

from onestory.referral.clocks.domain import PRIORITIES
from onestory.referral.lifecycle.decide import with_priority

LATER = SENT + timedelta(minutes=1)


def test_what_is_more_urgent_is_due_sooner() -> None:
    hastened = with_priority(sent(), "stat", LATER, CLOCKS)

    assert (hastened.priority, hastened.due_at) == ("stat", LATER + timedelta(minutes=15))


def test_what_is_less_urgent_keeps_its_time() -> None:
    urgent = sent(priority="stat")

    calmer = with_priority(urgent, "routine", LATER, CLOCKS)

    assert (calmer.priority, calmer.due_at) == ("routine", urgent.due_at)


def test_what_lies_beneath_a_question_is_due_sooner_too() -> None:
    asked = replace(sent(), acts_next="requester", state_due_at=SENT + timedelta(days=9))

    assert with_priority(asked, "urgent", LATER, CLOCKS).state_due_at == LATER + timedelta(hours=4)


@given(st.sampled_from(PRIORITIES), st.sampled_from(PRIORITIES), st.timedeltas(timedelta(0), timedelta(days=90)))
def test_another_priority_never_gives_more_time(before: str, after: str, later: timedelta) -> None:
    referral = sent(priority=before)
    assert referral.due_at is not None

    due = with_priority(referral, after, SENT + later, CLOCKS).due_at

    assert due is not None
    assert due <= referral.due_at
