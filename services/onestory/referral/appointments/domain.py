"""Rules of the appointments of a referral: `$book`, and the end of a Task that has appointments to come. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from onestory.referral.appointments.model import (
    Appointments,
    AppointmentStatus,
    ReferralAppointment,
    refuse_too_far,
    upcoming,
    upcoming_of_task,
    with_appointment,
)
from onestory.referral.lifecycle.model import Action, Command, Referral
from onestory.shared.errors import Conflict, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.dates import format_instant

BOOKED, NOT_BOOKED, DID_NOT_ATTEND = "BOOKED", "NOT_BOOKED", "DID_NOT_ATTEND"
BOOK, AMEND_BOOKING, CANCEL_BOOKING, NOT_ATTENDED = "book", "amend-booking", "cancel-booking", "did-not-attend"
"""The names of the changes that concern an appointment."""
KEEP, CANCEL = "keep", "cancel"
"""The values of the parameter `appointments`."""
APPOINTMENTS_PARAMETER = "Parameters.parameter.where(name='appointments')"

_APPOINTMENT_PARAMETER = "Parameters.parameter.where(name='appointment')"
_START_PARAMETER = "Parameters.parameter.where(name='start')"
_ENDED_BY_STATUS: Mapping[str, tuple[str, AppointmentStatus]] = {
    DID_NOT_ATTEND: (NOT_ATTENDED, AppointmentStatus.NOSHOW),
    "APPT_CANCELLED_BY_PATIENT": (CANCEL_BOOKING, AppointmentStatus.CANCELLED),
    "APPT_CANCELLED_BY_PROVIDER": (CANCEL_BOOKING, AppointmentStatus.CANCELLED),
}
_ASKS_FOR_APPOINTMENTS = frozenset({Action.CANCEL, Action.REDIRECT})
_KEEPS_BOOKED = frozenset({Action.RECEIVE, Action.ACCEPT, Action.START, Action.RESUME})


def is_booked(referral: Referral, at: datetime) -> bool:
    """Whether the Task in force has an appointment to come."""
    return bool(upcoming_of_task(referral.appointments, referral.task_number, at))


def status_word(referral: Referral, command: Command, word: str, at: datetime) -> str:
    """Task.businessStatus after a command, where `word` is the one that its action gives without an appointment.

    Raises `Unprocessable` for NOT_BOOKED while an appointment is to come.
    """
    if command.business_status == NOT_BOOKED and command.action in _KEEPS_BOOKED and is_booked(referral, at):
        raise Unprocessable(
            "NOT_BOOKED contradicts the appointment to come: leave it out, or end the appointment by $book.",
            code="business-rule",
            expression="Parameters.parameter.where(name='businessStatus')",
        )
    if command.business_status:
        return command.business_status
    return BOOKED if command.action in _KEEPS_BOOKED and is_booked(referral, at) else word


def book(referral: Referral, after: Referral, command: Command, actor: Party, at: datetime) -> tuple[str, Referral]:
    """The name of the change that `$book` makes, and the referral after it.

    `after` is the referral after the transition. Raises `Unprocessable` and `Conflict`.
    """
    ending = _ENDED_BY_STATUS.get(command.business_status)
    if ending is not None:
        return _end(referral, after, command, *ending, at)
    if command.starts_at is None:
        if command.appointment_id:
            raise Unprocessable(
                "To move the appointment send its new start. To end it send businessStatus "
                f"{', '.join(_ENDED_BY_STATUS)}.",
                code="required",
                expression=_START_PARAMETER,
            )
        if command.business_status == NOT_BOOKED:
            _refuse_booked(referral, at)
        return BOOK, after
    if command.business_status == NOT_BOOKED:
        raise Unprocessable(
            "NOT_BOOKED contradicts a start: leave one of them out.", code="business-rule", expression=_START_PARAMETER
        )
    refuse_too_far(command.starts_at, at, _START_PARAMETER)
    if command.appointment_id:
        appointment = _moved(referral, command.appointment_id, command.starts_at, at)
        return AMEND_BOOKING, _with(after, appointment, at)
    of_task = upcoming_of_task(referral.appointments, referral.task_number, at)
    known = next((each for each in of_task if each.starts_at == command.starts_at), None)
    appointment = known or ReferralAppointment(
        appointment_id=f"appointment-{after.version}",
        status=AppointmentStatus.BOOKED,
        starts_at=command.starts_at,
        ends_at=None,
        team=referral.recipient,
        booked_by=actor,
        task_number=referral.task_number,
    )
    return BOOK, _with(after, appointment, at)


def settled(referral: Referral, command: Command, at: datetime) -> Appointments:
    """The appointments after a command other than `$book`.

    Raises `Unprocessable` where the command has to say what becomes of the appointments to come, and does not.
    """
    if command.action is Action.CORRECT:
        # The referral was a mistake, such as the wrong person: nobody is to come.
        status = AppointmentStatus.ENTERED_IN_ERROR
        return tuple(
            replace(each, status=status) if each.status is AppointmentStatus.BOOKED else each
            for each in referral.appointments
        )
    to_come = upcoming(referral.appointments, at)
    if command.appointments not in ("", KEEP, CANCEL):
        raise Unprocessable(
            f"appointments is {KEEP} or {CANCEL}.", code="code-invalid", expression=APPOINTMENTS_PARAMETER
        )
    if to_come and not command.appointments and command.action in _ASKS_FOR_APPOINTMENTS:
        raise Unprocessable(
            f"The referral has appointments to come: {_listed(to_come)}. Send the parameter appointments, {CANCEL} or "
            f"{KEEP}, to say what becomes of them.",
            code="required",
            expression=APPOINTMENTS_PARAMETER,
        )
    if command.appointments != CANCEL:
        return referral.appointments
    return tuple(
        replace(each, status=AppointmentStatus.CANCELLED) if each in to_come else each for each in referral.appointments
    )


def _end(
    referral: Referral, after: Referral, command: Command, action: str, status: AppointmentStatus, at: datetime
) -> tuple[str, Referral]:
    """The end of one appointment. With another one to come, the referral stays booked."""
    if command.starts_at is not None:
        raise Unprocessable(
            f"{command.business_status} ends an appointment: leave start out.",
            code="business-rule",
            expression=_START_PARAMETER,
        )
    appointment = (
        _booked(referral, command.appointment_id)
        if command.appointment_id
        else _only_one(referral, command.business_status, at)
    )
    if appointment is None:
        # It was made elsewhere: only the word is known.
        return action, after
    if status is AppointmentStatus.CANCELLED:
        refuse_past(appointment.starts_at, at)
    ended = _with(after, replace(appointment, status=status), at)
    return action, replace(ended, business_status=BOOKED) if is_booked(ended, at) else ended


def refuse_past(starts_at: datetime, at: datetime) -> None:
    """Raise `Conflict` for an appointment whose time has come: it is neither moved nor cancelled any more."""
    if starts_at <= at:
        raise Conflict(
            f"The appointment began at {format_instant(starts_at)}: it can no longer be moved or cancelled. If nobody "
            f"came, use $book with businessStatus {DID_NOT_ATTEND}.",
            code="conflict",
        )


def _only_one(referral: Referral, business_status: str, at: datetime) -> ReferralAppointment | None:
    """The appointment that a word means without naming it; None: the referral has none.

    Nobody attends an appointment that has begun, the last one first. Raises `Unprocessable` where it could be several.
    """
    of_task = [each for each in referral.appointments if each.task_number == referral.task_number]
    booked = [each for each in of_task if each.status is AppointmentStatus.BOOKED]
    begun = [each for each in booked if each.starts_at <= at]
    if begun and (business_status == DID_NOT_ATTEND or len(begun) == len(booked)):
        return begun[-1]
    to_come = upcoming(booked, at)
    if len(to_come) > 1:
        raise Unprocessable(
            f"The referral has several appointments: {_listed(to_come)}. Name one by the parameter appointment.",
            code="required",
            expression=_APPOINTMENT_PARAMETER,
        )
    return to_come[0] if to_come else None


def _moved(referral: Referral, appointment_id: str, starts_at: datetime, at: datetime) -> ReferralAppointment:
    appointment = _booked(referral, appointment_id)
    refuse_past(appointment.starts_at, at)
    if appointment.has_slot:
        raise Conflict(
            "This appointment is in a Slot: move it by a BaRS message, or cancel it and book another.", code="conflict"
        )
    return replace(appointment, starts_at=starts_at, ends_at=None)


def _booked(referral: Referral, appointment_id: str) -> ReferralAppointment:
    """The booked appointment with this id. Raises `Unprocessable` for an unknown id, `Conflict` for one that ended."""
    wanted = appointment_id.removeprefix("Appointment/")
    found = next((each for each in referral.appointments if each.appointment_id == wanted), None)
    if found is None:
        raise Unprocessable(
            f"The referral has no such appointment: send one of {_listed(referral.appointments) or 'none yet'}.",
            code="not-found",
            expression=_APPOINTMENT_PARAMETER,
        )
    if found.status is not AppointmentStatus.BOOKED:
        raise Conflict(f"The appointment is {found.status}: it can no longer be changed.", code="conflict")
    return found


def _refuse_booked(referral: Referral, at: datetime) -> None:
    if is_booked(referral, at):
        raise Unprocessable(
            f"The referral has an appointment to come. To end it send businessStatus {', '.join(_ENDED_BY_STATUS)}.",
            code="business-rule",
            expression="Parameters.parameter.where(name='businessStatus')",
        )


def _with(after: Referral, appointment: ReferralAppointment, at: datetime) -> Referral:
    return replace(after, appointments=with_appointment(after.appointments, appointment, at))


def _listed(appointments: Appointments | list[ReferralAppointment]) -> str:
    return ", ".join(f"{each.appointment_id} ({format_instant(each.starts_at)})" for each in appointments)
