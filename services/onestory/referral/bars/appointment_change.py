"""The change that a booking message makes of its referral. Pure, apart from the message that it reads."""

from __future__ import annotations

from dataclasses import replace

from onestory.referral.appointments import domain as appointment_rules
from onestory.referral.appointments.bookings import appointment_of
from onestory.referral.appointments.model import with_appointment
from onestory.referral.appointments.store import Booking
from onestory.referral.bars.matching import refuse_other_person
from onestory.referral.bars.work import MessageWork
from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.decide import build_change, with_acting_party, with_due_time
from onestory.referral.lifecycle.model import (
    ChangeContext,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
    WrittenResource,
)
from onestory.shared.errors import Conflict, Malformed
from onestory.shared.identity import PersonIdentifier


class AppointmentChange:
    """Decides how a referral changes when its appointment is made, moved or cancelled.

    The appointment may be with another organisation than the current recipient, such as a former one. Then the change
    sends notices, and alters neither business status nor clock.

    `known` is the person of the referral, where the NHS number became known later.
    """

    def __init__(
        self,
        work: MessageWork,
        booking: Booking,
        elements: Json,
        action: str,
        clocks: Clocks,
        known: PersonIdentifier | None,
    ) -> None:
        self._work = work
        self._booking = booking
        self._written = WrittenResource("Appointment", booking.appointment_id, booking.local_id, elements)
        self._action = action
        self._clocks = clocks
        self._known = known

    def __call__(self, referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
        refuse_other_person(self._work.message, self._work.event.person, self._known or referral.person)
        is_known = self._known is not None and self._known == self._work.event.person
        if not is_known and not self._written.shared_id.startswith(referral.person_key):
            # Without an NHS number it would belong to another person, and the record would refuse the whole change.
            text = "The Patient has to be the person of the referral: send the Patient with the same NHS number."
            raise Malformed(text, code="invariant", expression=self._work.message.patient.path)
        if not referral.is_open and self._action != appointment_rules.CANCEL_BOOKING:
            text = f"The referral is {referral.status}, and has ended: no appointment can be made for it."
            raise Conflict(text, code="conflict")
        appointment = appointment_of(self._booking, self._task_number(referral))
        after = replace(
            referral,
            version=referral.version + 1,
            appointments=with_appointment(referral.appointments, appointment, context.at),
        )
        is_of_task = referral.is_open and appointment.task_number == referral.task_number
        if is_of_task and referral.kind is not ReferralKind.ADVICE:
            booked = appointment_rules.is_booked(after, context.at)
            after = replace(after, business_status=appointment_rules.BOOKED if booked else appointment_rules.NOT_BOOKED)
            if referral.status in (Status.ACCEPTED, Status.IN_PROGRESS):
                timed = with_due_time(after, context.at, self._clocks)
                after = _keep_question_due(after, timed) if referral.acts_next else timed
        # The Appointment of a person who was identified later has an event of its own: another person key.
        written = [self._written] if self._written.shared_id.startswith(referral.person_key) else []
        return build_change(referral, after, self._action, with_acting_party(referral, sides, context), written)

    def _task_number(self, referral: Referral) -> int:
        """The Task to which the appointment belongs: the one in force when it was made; 0: it is with others."""
        for known in referral.appointments:
            if known.appointment_id == self._booking.appointment_id:
                return known.task_number
        is_theirs = self._booking.with_organisation == referral.recipient.organisation
        return referral.task_number if is_theirs else 0


def _keep_question_due(current: Referral, booked: Referral) -> Referral:
    """Set the due time of the state under an open question, and never put off the answer.

    An appointment answers no question, so the next actor still has to answer in time.
    """
    assert current.due_at is not None
    assert booked.due_at is not None
    due_at = min(current.due_at, booked.due_at) if current.next_actor == current.recipient else current.due_at
    return replace(current, state_due_at=booked.due_at, due_at=due_at)
