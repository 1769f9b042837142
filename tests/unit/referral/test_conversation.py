"""The messages about a referral: every state, side and kind of message is decided, and who acts next then."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from tests.unit.referral import made
from tests.unit.referral.conversing import advice, after, done, said, urgent
from tests.unit.referral.made import CLOCKS, PAIN, PHYSIO, PRACTICE

from onestory.referral.conversation.domain import Category, ConversationSide, business_status_after, turn_after
from onestory.referral.lifecycle.model import ENDED, HELD_BY_RECIPIENT, Action, Referral, ReferralKind, Side, Status
from onestory.shared.errors import Conflict, Unprocessable
from onestory.shared.events import Notice

R, T = ConversationSide.ASKING, ConversationSide.ASKED
Q, A, I = Category  # noqa: E741 - question, answer, information
PROVIDER, FURTHER, REVIEW = (
    "PROVIDER_RESPONSE_REQUIRED",
    "REFERRER_TO_SUBMIT_FURTHER_INFORMATION",
    "REFERRER_TO_REVIEW_RESPONSE",
)
ENDS = ("CONVERSATION_ENDED_CLOSED", "CONVERSATION_ENDED_CANCELLED", "ADVICE_CONVERTED", "REJECTED")
# (business status, side, kind of message): business status after it. A question or answer that is not here is refused.
ADVISED = {
    (PROVIDER, R, Q): PROVIDER,
    (PROVIDER, T, Q): FURTHER,
    (PROVIDER, T, A): REVIEW,
    (FURTHER, R, Q): PROVIDER,
    (FURTHER, R, A): PROVIDER,
    (FURTHER, T, Q): FURTHER,
    (FURTHER, T, A): REVIEW,
    (REVIEW, R, Q): PROVIDER,
    (REVIEW, T, Q): FURTHER,
    (REVIEW, T, A): REVIEW,
}
# (side whose answer is awaited, side that writes, kind of message): side whose answer is awaited after it.
ASKED = {
    ("", R, Q): "recipient",
    ("", T, Q): "sender",
    ("sender", R, Q): "recipient",
    ("sender", R, A): "",
    ("sender", T, Q): "sender",
    ("recipient", R, Q): "recipient",
    ("recipient", T, Q): "sender",
    ("recipient", T, A): "",
}
SIDES = {R: Side.REQUESTER, T: Side.RECIPIENT}


@pytest.mark.parametrize(
    ("word", "camp", "category"), list(product((PROVIDER, FURTHER, REVIEW, *ENDS), ConversationSide, Category)), ids=str
)
def test_each_state_of_advice_side_and_kind_of_message_is_decided(
    word: str, camp: ConversationSide, category: Category
) -> None:
    assert business_status_after(word, camp, category) == (
        word if category is I else ADVISED.get((word, camp, category))
    )


@pytest.mark.parametrize(
    ("status", "acts_next", "camp", "category"),
    list(product(set(Status) - ENDED - {Status.DRAFT}, ("", "sender", "recipient"), ConversationSide, Category)),
    ids=str,
)
def test_each_state_of_a_referral_side_and_kind_of_message_is_decided(
    status: Status, acts_next: str, camp: ConversationSide, category: Category
) -> None:
    expected = acts_next if category is I else ASKED.get((acts_next, camp, category))
    if status in (Status.REJECTED, Status.FAILED) and category is not I:
        expected = None

    assert turn_after(status, acts_next, camp, category) == expected


def in_status(status: Status) -> Referral:
    accepted = [] if status in (Status.REQUESTED, Status.RECEIVED) else [Action.ACCEPT]
    way = {
        Status.RECEIVED: [Action.RECEIVE],
        Status.IN_PROGRESS: [Action.START],
        Status.ON_HOLD: [Action.START, Action.HOLD],
    }
    referral = urgent()
    for action in [*accepted, *way.get(status, [])]:
        referral = done(referral, action, Side.RECIPIENT)
    assert referral.status is status
    return referral


OPEN = (Status.REQUESTED, Status.RECEIVED, *sorted(HELD_BY_RECIPIENT))


@pytest.mark.parametrize("status", OPEN)
def test_a_question_changes_who_acts_and_never_who_is_responsible(status: Status) -> None:
    before = in_status(status)

    asked = said(before, Side.RECIPIENT, Q, 1)
    replied = said(asked.referral, Side.REQUESTER, A, 2)

    assert (asked.referral.holder, asked.referral.next_actor) == (before.holder, PRACTICE)
    assert (replied.referral.holder, replied.referral.next_actor) == (before.holder, PHYSIO)
    assert {asked.referral.status, replied.referral.status} == {status}


def test_who_is_asked_has_as_long_as_a_team_has_to_look_at_a_new_referral() -> None:
    before = in_status(Status.IN_PROGRESS)

    asked = said(before, Side.RECIPIENT, Q, 10).referral

    assert asked.due_at == CLOCKS.due("referral", "urgent", "requested", after(10))


def test_a_question_puts_nothing_off() -> None:
    before = in_status(Status.IN_PROGRESS)

    asked = said(before, Side.RECIPIENT, Q, 1).referral
    again = said(asked, Side.RECIPIENT, Q, 2).referral
    replied = said(again, Side.REQUESTER, A, 3).referral

    assert again.due_at == asked.due_at
    assert replied.due_at == before.due_at
    assert replied.state_due_at is None


def test_who_gets_a_late_answer_has_time_to_read_it() -> None:
    before = in_status(Status.REQUESTED)

    replied = said(said(before, Side.RECIPIENT, Q, 3).referral, Side.REQUESTER, A, 30).referral

    assert replied.due_at == CLOCKS.due("referral", "urgent", "requested", after(30))


def test_a_question_to_the_team_shortens_its_time_and_its_answer_gives_none() -> None:
    before = in_status(Status.IN_PROGRESS)

    asked = said(before, Side.REQUESTER, Q, 1).referral
    answered = said(asked, Side.RECIPIENT, A, 2).referral

    assert asked.next_actor == PHYSIO
    assert asked.due_at == CLOCKS.due("referral", "urgent", "requested", after(1))
    assert answered.due_at == before.due_at


def test_a_question_about_what_is_overdue_does_not_escalate_it_again() -> None:
    late = replace(in_status(Status.ACCEPTED), escalated_at=after(24 * 3))

    asked = said(late, Side.REQUESTER, Q, 24 * 4).referral

    assert (asked.due_at, asked.escalated_at) == (late.due_at, late.escalated_at)


def test_information_leaves_the_turn_and_the_time_as_they_are() -> None:
    before = in_status(Status.ACCEPTED)

    told = said(before, Side.REQUESTER, I, 5).referral

    assert (told.version, told.due_at, told.next_actor) == (before.version + 1, before.due_at, before.next_actor)


def test_going_on_makes_a_question_pointless() -> None:
    asked = said(in_status(Status.RECEIVED), Side.RECIPIENT, Q).referral

    accepted = done(asked, Action.ACCEPT, Side.RECIPIENT)

    assert (accepted.next_actor, accepted.question_id, accepted.state_due_at) == (PHYSIO, "", None)


def test_a_former_holder_who_passed_it_on_is_asked_and_anybody_who_asks_may_answer() -> None:
    passed_on = done(in_status(Status.ACCEPTED), Action.REDIRECT, Side.RECIPIENT)

    asked = said(passed_on, Side.RECIPIENT, Q)

    assert (asked.referral.holder, asked.referral.next_actor) == (PHYSIO, PHYSIO)
    assert asked.notices == (
        Notice("requester", PRACTICE, "referral-question"),
        Notice("holder", PHYSIO, "referral-question"),
    )
    assert said(asked.referral, Side.REQUESTER, A).referral.next_actor == PAIN
    assert said(asked.referral, Side.SENDER, A).referral.next_actor == PAIN


@pytest.mark.parametrize(("action", "before"), [(Action.REJECT, "requested"), (Action.FAIL, "in-progress")])
def test_a_question_does_not_take_the_turn_from_who_has_to_find_another_way(action: Action, before: str) -> None:
    referral = done(in_status(Status(before)), action, Side.RECIPIENT)

    with pytest.raises(Conflict):
        said(referral, Side.REQUESTER, Q)

    assert said(referral, Side.REQUESTER, I).referral.next_actor == PRACTICE


def test_an_answer_names_what_it_answers() -> None:
    asked = said(in_status(Status.REQUESTED), Side.RECIPIENT, Q)
    replied = said(asked.referral, Side.REQUESTER, A)

    question, answer = asked.resources[-1], replied.resources[-1]
    assert answer.body["inResponseTo"] == [{"reference": f"Communication/{question.shared_id}"}]
    assert "inResponseTo" not in question.body


def test_who_stands_on_both_sides_speaks_for_the_one_whose_turn_it_is() -> None:
    referral = in_status(Status.REQUESTED)

    asked = said(referral, Side, Q).referral
    replied = said(asked, Side, A).referral

    assert (asked.acts_next, replied.acts_next) == ("sender", "")


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED, Status.ENTERED_IN_ERROR, Status.DRAFT])
@pytest.mark.parametrize("category", Category)
def test_nobody_speaks_where_nobody_hears(status: Status, category: Category) -> None:
    ended = replace(in_status(Status.REQUESTED), status=status, is_open=status is Status.DRAFT)

    with pytest.raises(Conflict):
        said(ended, Side.REQUESTER, category)


@pytest.mark.parametrize("reference", ["Observation/1", f"Observation/{'a' * 26}-{'b' * 26}", "", "Patient/9990000026"])
def test_a_message_is_about_this_persons_record(reference: str) -> None:
    with pytest.raises(Unprocessable):
        said(in_status(Status.REQUESTED), Side.REQUESTER, I, 0, {"reference": reference})


@pytest.mark.parametrize(("camp", "category"), list(product(ConversationSide, Category)), ids=str)
@pytest.mark.parametrize("word", [PROVIDER, FURTHER, REVIEW])
def test_advice_has_one_next_actor_with_a_time_and_the_requester_holds_it(
    word: str, camp: ConversationSide, category: Category
) -> None:
    before = replace(
        advice(), status=Status.RECEIVED, business_status=word, acts_next="" if word == PROVIDER else "sender"
    )
    expected = business_status_after(word, camp, category)
    if expected is None:
        with pytest.raises(Conflict):
            said(before, SIDES[camp], category, 1)
        return

    now = said(before, SIDES[camp], category, 1).referral

    turn_moved = now.next_actor != before.next_actor
    restarted = CLOCKS.due("advice", "urgent", "received", after(1))
    assert now.business_status == expected
    assert now.holder == PRACTICE
    assert now.next_actor == (PHYSIO if expected == PROVIDER else PRACTICE)
    assert now.due_at == (restarted if turn_moved else before.due_at)


def test_advice_that_a_team_rejects_is_back_with_who_asked() -> None:
    rejected = done(advice(), Action.REJECT, Side.RECIPIENT)
    elsewhere = done(rejected, Action.REDIRECT, Side.REQUESTER)

    assert (rejected.holder, rejected.next_actor, rejected.is_open) == (PRACTICE, PRACTICE, True)
    assert (elsewhere.holder, elsewhere.next_actor) == (PRACTICE, PAIN)
    assert elsewhere.business_status == PROVIDER


def test_the_person_is_not_told_of_advice_as_if_they_were_referred() -> None:
    changes = [made.done(advice(), action, Side.RECIPIENT) for action in (Action.RECEIVE, Action.REJECT)]
    changes.append(made.done(advice(), Action.CANCEL, Side.REQUESTER))

    assert all(notice.party is not None for changed in changes for notice in changed.notices)
    assert any(notice.party is None for notice in made.done(urgent(), Action.REJECT, Side.RECIPIENT).notices)


def test_advice_given_is_told_as_such() -> None:
    advised = said(advice(), Side.RECIPIENT, A)

    assert advised.action == "advise"
    assert advised.notices == (Notice("requester", PRACTICE, "advice-answered"),)


def test_a_validation_is_talked_about_like_a_referral() -> None:
    asked = said(replace(urgent(), kind=ReferralKind.VALIDATION), Side.RECIPIENT, Q).referral

    assert (asked.next_actor, asked.business_status) == (PRACTICE, "AWAITING_TRIAGE")
