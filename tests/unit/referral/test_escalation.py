"""Escalation: when the next actor is late, messages are sent once to the contact and to both sides."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.unit.referral.made import CLOCKS, PHYSIO, PRACTICE, SENT, after, doing, done, late, sent

from onestory.referral.clocks.clock import escalation_contact
from onestory.referral.clocks.escalation import Overdue, escalate
from onestory.referral.lifecycle.model import CLOCK_SUBJECT, Action, ChangeContext, Referral, Side
from onestory.shared.errors import Misconfigured
from onestory.shared.events import Notice, Party

HOSPITAL = Party("RX1")
DESK = Party("RX9", "referral-desk")
LATER = SENT + timedelta(days=60)


def by_clock(at: datetime, beside: Party = PRACTICE) -> ChangeContext:
    """The change context of the clock. Its actor has the party of the holder."""
    return doing(at, beside, subject=CLOCK_SUBJECT)


def found(referral: Referral, *, has_contact: bool = False) -> Overdue:
    """The overdue wait of this referral, as the clock finds it."""
    assert referral.next_actor is not None
    return Overdue(referral.referral_id, referral.next_actor, has_contact)


def escalations(
    referral: Referral, deployment: Party | None = None, *, has_contact: bool = False
) -> list[Party | None]:
    """The parties that the escalation notices go to."""
    changed = escalate(referral, by_clock(LATER), found(referral, has_contact=has_contact), deployment)
    assert changed is not None
    return [notice.party for notice in changed.notices if notice.recipient == "escalation"]


def test_an_escalation_changes_nothing_but_that_it_was_made() -> None:
    waiting = sent()

    changed = escalate(waiting, by_clock(LATER), found(waiting), None)

    assert changed is not None
    expected = replace(waiting, version=2, escalated_at=LATER, changed_at=LATER, changed_by=changed.context.event_id)
    assert changed.referral == expected
    assert (changed.action, changed.reason) == ("escalate", "")


def test_whom_it_waits_for_and_who_asked_are_told_too() -> None:
    waiting = sent()

    changed = escalate(waiting, by_clock(LATER), found(waiting, has_contact=True), DESK)

    assert changed is not None
    assert set(changed.notices) == {
        Notice("escalation", PHYSIO, "referral-overdue"),
        Notice("recipient", PHYSIO, "referral-overdue"),
        Notice("requester", PRACTICE, "referral-overdue"),
    }


def test_the_teams_own_contact_comes_first_then_the_deployments() -> None:
    assert escalations(sent(), DESK, has_contact=True) == [PHYSIO]
    assert escalations(sent(), DESK) == [DESK]


def test_without_any_contact_both_organisations_are_told() -> None:
    assert escalations(sent()) == [PRACTICE, HOSPITAL]


def test_what_its_requester_has_to_settle_is_escalated_too() -> None:
    rejected = after(sent(), (Action.REJECT, Side.RECIPIENT))

    assert rejected.next_actor == PRACTICE
    assert escalations(rejected, DESK) == [DESK]
    assert escalations(rejected) == [PRACTICE, HOSPITAL]


def test_a_draft_is_escalated_to_its_requester_alone() -> None:
    draft = sent("draft")

    changed = escalate(draft, by_clock(LATER), found(draft), DESK)

    assert changed is not None
    assert {notice.party for notice in changed.notices} == {PRACTICE}


def test_the_holder_is_told_though_the_clock_acts_beside_it() -> None:
    working = after(sent(), (Action.ACCEPT, Side.RECIPIENT), (Action.START, Side.RECIPIENT))

    changed = escalate(working, by_clock(LATER, PHYSIO), found(working), DESK)

    assert changed is not None
    assert Notice("holder", PHYSIO, "referral-overdue") in changed.notices


@pytest.mark.parametrize(
    "waiting",
    [
        late(sent(), escalated_at=SENT),
        replace(sent(), due_at=LATER + timedelta(microseconds=1)),
        late(sent(), acts_next="requester"),
    ],
    ids=["escalated before", "not due yet", "another one's turn meanwhile"],
)
def test_what_is_not_late_or_was_escalated_for_this_wait_is_left_alone(waiting: Referral) -> None:
    assert escalate(waiting, by_clock(LATER), found(sent()), DESK) is None


def test_what_has_ended_is_left_alone() -> None:
    ended = after(sent(), (Action.CANCEL, Side.REQUESTER))

    assert escalate(ended, by_clock(LATER), found(sent()), DESK) is None


def test_a_new_wait_can_be_escalated_anew() -> None:
    waiting = sent()
    escalated = escalate(waiting, by_clock(LATER), found(waiting), DESK)
    assert escalated is not None

    accepted = done(escalated.referral, Action.ACCEPT, Side.RECIPIENT, LATER).referral

    assert accepted.escalated_at is None
    assert accepted.due_at == CLOCKS.due("referral", "routine", "accepted", LATER)
    again = escalate(accepted, by_clock(_past(accepted)), found(accepted), DESK)
    assert again is not None
    assert again.referral.version == 4


@pytest.mark.parametrize(
    ("setting", "contact"), [("", None), ("rx9", Party("RX9")), ("RX9/referral-desk", DESK)], ids=str
)
def test_the_deployments_contact_is_an_organisation_or_a_team(setting: str, contact: Party | None) -> None:
    assert escalation_contact(setting) == contact


@pytest.mark.parametrize("setting", ["/desk", "RX 9", "RX9/a/b"])
def test_a_contact_that_names_nobody_stops_the_start(setting: str) -> None:
    with pytest.raises(Misconfigured, match="ONESTORY_REFERRAL_ESCALATION"):
        escalation_contact(setting)


def _past(referral: Referral) -> datetime:
    assert referral.due_at is not None
    return referral.due_at
