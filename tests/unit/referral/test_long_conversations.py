"""An open referral has one holder, one next actor and a due time, however long two sides talk and act."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.referral.conversing import advice, after, said, urgent
from tests.unit.referral.made import CLOCKS, PAIN, PHYSIO, PRACTICE, SENT, done

from onestory.referral.conversation.domain import Category
from onestory.referral.lifecycle.model import Action, Referral, ReferralKind, Side
from onestory.shared.errors import Conflict, Forbidden

# The side, the message or action, and how many hours after the step before it.
STEPS = st.lists(
    st.tuples(st.sampled_from(Side), st.sampled_from([*Category, *Action]), st.integers(1, 40)), max_size=14
)


@given(st.booleans(), STEPS)
def test_one_holder_one_next_actor_and_a_time(
    is_advice: bool, steps: list[tuple[Side, Category | Action, int]]
) -> None:
    referral, hours = advice() if is_advice else urgent(), 0
    for side, what, later in steps:
        hours += later
        before, referral = referral, step(referral, side, what, hours)

        assert referral.is_open == (referral.holder is not None) == (referral.next_actor is not None)
        assert referral.is_open == (referral.due_at is not None)
        assert referral.kind is not ReferralKind.ADVICE or referral.holder in (PRACTICE, None)
        if isinstance(what, Category):
            assert (referral.holder, referral.is_open) == (before.holder, before.is_open)


@given(st.lists(st.tuples(st.sampled_from(Side), st.sampled_from(Category), st.integers(1, 6)), max_size=14))
def test_talking_puts_a_referral_off_by_no_more_than_a_look_at_the_last_answer(
    steps: list[tuple[Side, Category, int]],
) -> None:
    referral, hours = done(urgent(), Action.ACCEPT, Side.RECIPIENT).referral, 0
    own, last = referral.due_at, SENT
    for side, what, later in steps:
        hours += later
        changed = step(referral, side, what, hours)
        last, referral = (after(hours) if changed is not referral else last), changed

    assert own is not None
    assert referral.due_at is not None
    assert referral.due_at <= max(own, CLOCKS.due("referral", "urgent", "requested", last))


def step(referral: Referral, side: Side, what: Category | Action, hours: int) -> Referral:
    """The referral after this step. If the step is refused, the referral is as before."""
    try:
        if isinstance(what, Category):
            return said(referral, side, what, hours).referral
        return done(referral, what, side, after(hours), PHYSIO if referral.recipient == PAIN else PAIN).referral
    except (Conflict, Forbidden):
        return referral
