"""A referral keeps its appointments: several count, and its end asks what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.referral.made import CLOCKS, PAIN, PHYSIO, PRACTICE, SENT, after, doing, sent

from onestory.referral.appointments.model import (
    MAX_UPCOMING,
    AppointmentStatus,
    ReferralAppointment,
    appointment_from_json,
    appointment_to_json,
    with_appointment,
)
from onestory.referral.appointments.withdrawn import slot_change
from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.model import Action, Command, Reason, Referral, ReferralChange, Side
from onestory.shared.errors import Conflict, Unprocessable

ACCEPTED = after(sent(), (Action.ACCEPT, Side.RECIPIENT))
NEXT_WEEK, IN_TWO_WEEKS = SENT + timedelta(days=7), SENT + timedelta(days=14)
REASON = Reason("", {"text": "For a test"})


def doing_it(
    referral: Referral, action: Action, at: datetime = SENT, by: Side = Side.RECIPIENT, **parameters: Any
) -> ReferralChange:
    """The change that this command makes."""
    context = doing(at, PHYSIO if by is Side.RECIPIENT else PRACTICE, number=referral.version + 1)
    command = Command(action, **parameters)
    return decide(referral, command, {by}, context, CLOCKS, lambda of, number: f"{of.task_id}-{number}")


def booked(referral: Referral, *starts: datetime) -> Referral:
    """The referral with an appointment at each of these times."""
    for start in starts:
        referral = doing_it(referral, Action.BOOK, starts_at=start).referral
    return referral


def in_slot(referral: Referral, starts_at: datetime) -> Referral:
    """The referral with an appointment that a message made."""
    made = ReferralAppointment(
        "a" * 26 + "-" + "b" * 26,
        AppointmentStatus.BOOKED,
        starts_at,
        starts_at + timedelta(minutes=10),
        PHYSIO,
        PRACTICE,
        referral.task_number,
        has_slot=True,
    )
    return replace(referral, appointments=(made,), business_status="BOOKED")


def test_the_time_of_an_appointment_is_on_the_task_and_a_later_command_keeps_it() -> None:
    change = doing_it(ACCEPTED, Action.BOOK, starts_at=IN_TWO_WEEKS)
    started = doing_it(change.referral, Action.START)

    for each in (change, started):
        (extension,) = [one for one in each.resources[-1].body["extension"] if one["url"].endswith("appointment")]
        values = {part["url"]: part for part in extension["extension"]}
        assert values["start"]["valueInstant"] == "2026-12-11T09:00:00.000Z"
        assert values["status"]["valueCode"] == "booked"
        assert values["with"]["valueReference"]["reference"] == "HealthcareService/physio"
        assert each.appointments == change.referral.appointments
    due = CLOCKS.due_after_appointment("referral", "routine", "in-progress", IN_TWO_WEEKS, SENT)
    assert (started.referral.due_at, started.referral.business_status) == (due, "BOOKED")


def test_the_wait_begins_with_the_next_of_several_appointments() -> None:
    referral = booked(ACCEPTED, IN_TWO_WEEKS, NEXT_WEEK)

    assert [each.starts_at for each in referral.appointments] == [NEXT_WEEK, IN_TWO_WEEKS]
    assert referral.due_at == CLOCKS.due_after_appointment("referral", "routine", "accepted", NEXT_WEEK, SENT)


def test_the_end_of_one_appointment_leaves_the_other() -> None:
    referral = booked(ACCEPTED, NEXT_WEEK, IN_TWO_WEEKS)
    first, second = referral.appointments

    change = doing_it(
        referral,
        Action.BOOK,
        business_status="APPT_CANCELLED_BY_PATIENT",
        appointment_id=first.appointment_id,
    )

    assert change.referral.appointments == (replace(first, status=AppointmentStatus.CANCELLED), second)
    assert (change.action, change.referral.business_status) == ("cancel-booking", "BOOKED")
    assert change.referral.due_at == CLOCKS.due_after_appointment("referral", "routine", "accepted", IN_TWO_WEEKS, SENT)
    last = doing_it(change.referral, Action.BOOK, business_status="APPT_CANCELLED_BY_PROVIDER").referral
    assert last.business_status == "APPT_CANCELLED_BY_PROVIDER"


def test_an_end_that_could_mean_several_appointments_is_refused() -> None:
    with pytest.raises(Unprocessable) as raised:
        doing_it(booked(ACCEPTED, NEXT_WEEK, IN_TWO_WEEKS), Action.BOOK, business_status="APPT_CANCELLED_BY_PATIENT")

    assert raised.value.issues[0].expression == "Parameters.parameter.where(name='appointment')"


@pytest.mark.parametrize(
    ("word", "action", "status", "code"),
    [
        ("DID_NOT_ATTEND", "did-not-attend", "noshow", "referral-not-attended"),
        ("APPT_CANCELLED_BY_PATIENT", "cancel-booking", "cancelled", "referral-booking-cancelled"),
        ("APPT_CANCELLED_BY_PROVIDER", "cancel-booking", "cancelled", "referral-booking-cancelled"),
    ],
)
def test_the_end_of_an_appointment_is_told_as_such(word: str, action: str, status: str, code: str) -> None:
    change = doing_it(booked(ACCEPTED, NEXT_WEEK), Action.BOOK, business_status=word)

    assert (change.action, change.referral.appointments[0].status) == (action, status)
    assert {(notice.recipient, notice.reason) for notice in change.notices} == {("requester", code), ("person", code)}
    again = doing_it(change.referral, Action.BOOK, business_status=word)
    assert {notice.reason for notice in again.notices} == {code}


def test_who_did_not_attend_missed_the_appointment_that_has_begun_and_not_the_one_to_come() -> None:
    referral = booked(ACCEPTED, NEXT_WEEK, IN_TWO_WEEKS)

    missed = doing_it(referral, Action.BOOK, NEXT_WEEK, business_status="DID_NOT_ATTEND").referral

    assert [str(each.status) for each in missed.appointments] == ["noshow", "booked"]
    assert missed.business_status == "BOOKED"


def test_an_appointment_moves_and_stays_the_same_one() -> None:
    referral = booked(ACCEPTED, NEXT_WEEK)
    name = referral.appointments[0].appointment_id

    moved = doing_it(referral, Action.BOOK, starts_at=IN_TWO_WEEKS, appointment_id=name)

    assert moved.action == "amend-booking"
    assert [(each.appointment_id, each.starts_at) for each in moved.referral.appointments] == [(name, IN_TWO_WEEKS)]


def test_the_same_time_twice_is_one_appointment() -> None:
    assert len(booked(ACCEPTED, NEXT_WEEK, NEXT_WEEK).appointments) == 1


@pytest.mark.parametrize(
    "parameters", [{"starts_at": IN_TWO_WEEKS}, {"business_status": "APPT_CANCELLED_BY_PATIENT"}], ids=["move", "end"]
)
def test_an_appointment_that_has_begun_is_neither_moved_nor_cancelled(parameters: dict[str, Any]) -> None:
    referral = booked(ACCEPTED, NEXT_WEEK)
    name = referral.appointments[0].appointment_id

    with pytest.raises(Conflict, match="began at"):
        doing_it(referral, Action.BOOK, NEXT_WEEK, appointment_id=name, **parameters)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"starts_at": datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)}, Unprocessable),
        ({"starts_at": SENT + timedelta(days=3 * 366 + 1)}, Unprocessable),
        ({"starts_at": NEXT_WEEK, "business_status": "NOT_BOOKED"}, Unprocessable),
        ({"starts_at": NEXT_WEEK, "business_status": "DID_NOT_ATTEND"}, Unprocessable),
        ({"business_status": "NOT_BOOKED"}, Unprocessable),
        ({"appointment_id": "appointment-99", "starts_at": NEXT_WEEK}, Unprocessable),
        ({"appointment_id": "appointment-3"}, Unprocessable),
    ],
)
def test_what_contradicts_itself_or_the_appointments_is_refused(
    parameters: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        doing_it(booked(ACCEPTED, IN_TWO_WEEKS), Action.BOOK, **parameters)


def test_an_appointment_in_a_slot_is_moved_by_message_only() -> None:
    referral = in_slot(ACCEPTED, NEXT_WEEK)
    name = referral.appointments[0].appointment_id

    with pytest.raises(Conflict, match="BaRS"):
        doing_it(referral, Action.BOOK, appointment_id=name, starts_at=IN_TWO_WEEKS)


@pytest.mark.parametrize("action", [Action.RECEIVE, Action.ACCEPT])
def test_a_referral_that_is_booked_before_it_is_accepted_stays_booked(action: Action) -> None:
    referral = in_slot(sent(), IN_TWO_WEEKS)

    assert doing_it(referral, action).referral.business_status == "BOOKED"
    assert doing_it(referral, action, IN_TWO_WEEKS).referral.business_status != "BOOKED"


@pytest.mark.parametrize(
    ("action", "parameters"), [(Action.CANCEL, {}), (Action.REDIRECT, {"recipient": PAIN})], ids=["cancel", "redirect"]
)
def test_who_cancels_or_redirects_says_what_becomes_of_the_appointments(
    action: Action, parameters: dict[str, Any]
) -> None:
    referral = booked(ACCEPTED, NEXT_WEEK)
    (appointment,) = referral.appointments

    with pytest.raises(Unprocessable) as raised:
        doing_it(referral, action, reason=REASON, **parameters)
    kept = doing_it(referral, action, reason=REASON, appointments="keep", **parameters)
    cancelled = doing_it(referral, action, reason=REASON, appointments="cancel", **parameters)

    assert raised.value.issues[0].expression == "Parameters.parameter.where(name='appointments')"
    assert appointment.appointment_id in raised.value.issues[0].diagnostics
    assert kept.referral.appointments == kept.appointments == (appointment,)
    assert [str(each.status) for each in cancelled.appointments] == ["cancelled"]
    # After its time nothing is asked any more.
    doing_it(referral, action, NEXT_WEEK, reason=REASON, **parameters)


def test_an_appointment_that_is_kept_does_not_count_for_the_next_team() -> None:
    referral = booked(ACCEPTED, NEXT_WEEK)

    redirected = doing_it(referral, Action.REDIRECT, reason=REASON, recipient=PAIN, appointments="keep").referral
    accepted = doing_it(redirected, Action.ACCEPT).referral

    assert (redirected.business_status, accepted.business_status) == ("AWAITING_TRIAGE", "NOT_BOOKED")
    assert accepted.due_at == CLOCKS.due("referral", "routine", "accepted", SENT)


def test_a_former_team_and_whoever_booked_hear_that_their_appointment_is_cancelled() -> None:
    referral = booked(ACCEPTED, NEXT_WEEK)
    redirected = doing_it(referral, Action.REDIRECT, reason=REASON, recipient=PAIN, appointments="keep").referral
    accepted = replace(doing_it(redirected, Action.ACCEPT).referral, sender=PAIN)

    cancelled = doing_it(accepted, Action.CANCEL, by=Side.REQUESTER, reason=REASON, appointments="cancel")

    assert PHYSIO in [notice.party for notice in cancelled.notices]


def test_a_mistake_has_no_appointments() -> None:
    corrected = doing_it(booked(ACCEPTED, NEXT_WEEK), Action.CORRECT, by=Side.REQUESTER, reason=REASON)

    assert [str(each.status) for each in corrected.referral.appointments] == ["entered-in-error"]
    assert "referral-appointment" not in str([each.body for each in corrected.resources])


def test_a_withdrawn_slot_is_told_once_to_the_team_and_to_whoever_booked() -> None:
    referral = in_slot(ACCEPTED, NEXT_WEEK)
    name = referral.appointments[0].appointment_id
    nobody = replace(doing(), actor=replace(doing().actor, subject="clock"))

    change = slot_change(referral, nobody, name, withdrawn=True)

    assert change is not None
    assert {(notice.party, notice.reason) for notice in change.notices} == {
        (PRACTICE, "referral-slot-withdrawn"),
        (PHYSIO, "referral-slot-withdrawn"),
    }
    assert change.referral.business_status == "BOOKED"
    assert slot_change(change.referral, nobody, name, withdrawn=True) is None
    offered = slot_change(change.referral, nobody, name, withdrawn=False)
    assert offered is not None
    assert offered.action == "slot-offered"
    assert slot_change(referral, nobody, "another", withdrawn=True) is None


def test_a_referral_has_a_limit_of_appointments_to_come_and_forgets_the_oldest_ones_that_are_over() -> None:
    many = booked(ACCEPTED, *(NEXT_WEEK + timedelta(hours=number) for number in range(MAX_UPCOMING)))
    with pytest.raises(Conflict, match=str(MAX_UPCOMING)):
        booked(many, IN_TWO_WEEKS)

    later, appointments = NEXT_WEEK + timedelta(days=30), many.appointments
    for number in range(2 * MAX_UPCOMING):
        one = replace(appointments[-1], appointment_id=f"n{number}", starts_at=later + timedelta(hours=number))
        appointments = with_appointment(appointments, one, later + timedelta(hours=number))

    assert len(appointments) == 2 * MAX_UPCOMING
    assert appointments[-1].appointment_id == f"n{2 * MAX_UPCOMING - 1}"


def test_an_appointment_is_stored_as_it_is() -> None:
    (appointment,) = in_slot(ACCEPTED, NEXT_WEEK).appointments
    for each in (appointment, replace(appointment, ends_at=None, slot_withdrawn=True)):
        assert appointment_from_json(appointment_to_json(each)) == each
