"""A ReferralChanged event stays the same when it is encoded and decoded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from onestory.shared.events import Actor, Entry, Notice, Operation, Party, ReferralChanged
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier
from onestory.shared.kafka.codec import create_codec

AT = datetime(2026, 5, 1, 9, 30, 0, 123, tzinfo=UTC)
SURGERY, NURSES = Party("A81001"), Party("RZ1", "team")
ACCEPTED = ReferralChanged(
    event_id=UUID("01890000-0000-7000-8000-000000000001"),
    person=PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018"),
    referral_id="referral",
    task_id="task",
    version=3,
    kind="referral",
    priority="urgent",
    action="accept",
    reason="",
    actor=Actor(NURSES, "nurse", "R8001"),
    status="accepted",
    business_status="NOT_BOOKED",
    is_open=True,
    requester=SURGERY,
    recipient=NURSES,
    holder=NURSES,
    next_actor=NURSES,
    due_at=AT,
    occurred_at=AT,
    correlation_id="c",
    notices=(Notice("requester", SURGERY, "referral-accepted"), Notice("person", None, "referral-accepted")),
    entries=(Entry("Task", "l", "task", AT, Operation.ASSERT, b"{}"),),
)


def test_a_change_of_a_referral_comes_back_as_it_was_written() -> None:
    contract = create_codec()

    assert contract.decode(contract.encode(ACCEPTED)) == ACCEPTED


def test_a_referral_that_has_ended_has_nobody_who_holds_it() -> None:
    contract = create_codec()
    ended = replace(ACCEPTED, is_open=False, holder=None, next_actor=None, due_at=None, notices=(), entries=())

    assert contract.decode(contract.encode(ended)) == ended
