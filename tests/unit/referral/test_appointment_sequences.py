"""Random commands on a referral: no appointment vanishes or moves by itself, and BOOKED means that one is to come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.referral.made import CLOCKS, PAIN, PHYSIO, SENT, doing, sent

from onestory.referral.appointments.model import AppointmentStatus, upcoming, upcoming_of_task
from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.machine import NEEDS_REASON
from onestory.referral.lifecycle.model import Action, Command, Reason, Referral, Side, Status
from onestory.shared.errors import OneStoryError

REASON = Reason("", {"text": "For a test"})
WORDS = ("", "", "", "DID_NOT_ATTEND", "APPT_CANCELLED_BY_PATIENT", "APPT_CANCELLED_BY_PROVIDER")
ACTIONS = (Action.ACCEPT, Action.START, Action.HOLD, Action.RESUME, Action.REDIRECT, Action.FAIL, Action.REJECT)
STEPS = st.tuples(
    st.sampled_from([Action.BOOK] * 6 + [*ACTIONS]),
    st.integers(0, 20),  # days that pass before it
    st.integers(1, 30),  # days until the appointment
    st.sampled_from(WORDS),
    st.integers(0, 5),  # the appointment that is named; the last ones name none
    st.sampled_from(["", "keep", "cancel"]),
)
ENDED = (AppointmentStatus.CANCELLED, AppointmentStatus.NOSHOW)


def command(referral: Referral, step: Any, at: Any) -> Command:
    """The command of a random step."""
    action, _, days, word, place, becomes = step
    is_booking = action is Action.BOOK
    named = [each.appointment_id for each in referral.appointments]
    return Command(
        action,
        REASON if action in NEEDS_REASON else None,
        business_status=word if is_booking else "",
        recipient=(PHYSIO if referral.recipient == PAIN else PAIN) if action is Action.REDIRECT else None,
        starts_at=at + timedelta(days=days) if is_booking and not word else None,
        appointment_id=named[place] if is_booking and place < len(named) else "",
        appointments="" if is_booking else becomes,
    )


@given(st.lists(STEPS, min_size=1, max_size=14))
def test_no_appointment_is_lost_and_booked_means_that_one_is_to_come(steps: list[Any]) -> None:
    referral, at = sent(), SENT
    for number, step in enumerate(steps, start=2):
        at += timedelta(days=step[1])
        asked, before = command(referral, step, at), referral
        try:
            change = decide(
                referral, asked, set(Side), doing(at, number=number), CLOCKS, lambda of, task: f"{of.task_id}-{task}"
            )
        except OneStoryError:
            continue
        referral = change.referral
        known = {each.appointment_id: each for each in referral.appointments}
        assert len(known) == len(referral.appointments)
        for each in before.appointments:
            now = known[each.appointment_id]
            assert now.team == each.team
            assert now.starts_at == each.starts_at or change.action == "amend-booking"
            assert now.status == each.status or (each.status is AppointmentStatus.BOOKED and now.status in ENDED)
            if each.starts_at <= at:
                assert now.starts_at == each.starts_at
                assert now.status != AppointmentStatus.CANCELLED or each.status == now.status
        if change.action in ("cancel-booking", "did-not-attend"):
            assert {notice.reason for notice in change.notices} <= {
                "referral-booking-cancelled",
                "referral-not-attended",
            }
        if before.appointments and upcoming(before.appointments, at) and asked.action is Action.REDIRECT:
            assert asked.appointments
        if referral.status in (Status.ACCEPTED, Status.IN_PROGRESS) and upcoming_of_task(
            referral.appointments, referral.task_number, at
        ):
            assert referral.business_status == "BOOKED"
        assert referral.due_at is not None
        assert referral.due_at > at
