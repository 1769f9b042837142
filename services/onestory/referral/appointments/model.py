"""The appointments of a referral, and the rules that need nothing else of it. Pure.

A referral can have several appointments at a time. Each belongs to the Task under which it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from onestory.shared.errors import Conflict, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.dates import format_instant, parse_instant

MAX_UPCOMING = 50
"""The number of appointments to come that a referral can have."""
_MAX_KEPT = 2 * MAX_UPCOMING
MAX_AHEAD = timedelta(days=3 * 366)
"""An appointment, or the end of a hold, is at most this far ahead. A later one is a slip of the keyboard."""


class AppointmentStatus(StrEnum):
    """Appointment.status (http://hl7.org/fhir/R4/valueset-appointmentstatus.html), as far as it is used."""

    BOOKED = "booked"
    CANCELLED = "cancelled"
    NOSHOW = "noshow"
    ENTERED_IN_ERROR = "entered-in-error"


@dataclass(frozen=True, slots=True)
class ReferralAppointment:
    """An appointment of a referral.

    - `appointment_id`: the shared id of its Appointment, or its number within the referral if `$book` made it.
    - `ends_at`: None where only its start is known.
    - `team`: the party that sees the person; `booked_by`: the party that made it.
    - `task_number`: the number of the Task under which it was made; 0: it is with another organisation than the one
      that was asked.
    - `has_slot`: a message made it, in a Slot of the team. `slot_withdrawn`: the team does not offer the Slot any more.
    """

    appointment_id: str
    status: AppointmentStatus
    starts_at: datetime
    ends_at: datetime | None
    team: Party
    booked_by: Party
    task_number: int
    has_slot: bool = False
    slot_withdrawn: bool = False

    def is_upcoming(self, at: datetime) -> bool:
        """Whether it is booked, and begins later than `at`."""
        return self.status is AppointmentStatus.BOOKED and self.starts_at > at


Appointments = tuple[ReferralAppointment, ...]


def upcoming(appointments: Sequence[ReferralAppointment], at: datetime) -> list[ReferralAppointment]:
    """The appointments to come, the next one first."""
    return sorted((each for each in appointments if each.is_upcoming(at)), key=lambda each: each.starts_at)


def upcoming_of_task(
    appointments: Sequence[ReferralAppointment], task_number: int, at: datetime
) -> list[ReferralAppointment]:
    """The appointments to come that were made under this Task, the next one first."""
    return [each for each in upcoming(appointments, at) if each.task_number == task_number]


def with_appointment(
    appointments: Sequence[ReferralAppointment], changed: ReferralAppointment, at: datetime
) -> Appointments:
    """The appointments with this one, in place of an earlier state of it.

    The oldest ones that are over are left out where there are too many. Raises `Conflict` for too many to come.
    """
    others = [each for each in appointments if each.appointment_id != changed.appointment_id]
    kept = [*others, changed]
    if len(upcoming(kept, at)) > MAX_UPCOMING:
        raise Conflict(
            f"The referral has {MAX_UPCOMING} appointments to come already: cancel one before you book another.",
            code="conflict",
        )
    if len(kept) > _MAX_KEPT:
        over = sorted((each for each in others if not each.is_upcoming(at)), key=lambda each: each.starts_at)
        kept = [each for each in kept if each is not over[0]]
    return tuple(sorted(kept, key=lambda each: (each.starts_at, each.appointment_id)))


def changed_appointments(before: Sequence[ReferralAppointment], after: Sequence[ReferralAppointment]) -> Appointments:
    """The appointments that a change has made, moved or ended."""
    return tuple(each for each in after if each not in before)


def refuse_too_far(moment: datetime, at: datetime, path: str) -> None:
    """Raise `Unprocessable` for a time that is too far ahead to be meant."""
    if moment > at + MAX_AHEAD:
        raise Unprocessable(
            f"This instant is more than {MAX_AHEAD.days // 366} years ahead: send an earlier one.",
            code="value",
            expression=path,
        )


def appointment_to_json(appointment: ReferralAppointment) -> dict[str, Any]:
    """The appointment as JSON, for a column."""
    return {
        "id": appointment.appointment_id,
        "status": str(appointment.status),
        "start": appointment.starts_at.isoformat(),
        "end": appointment.ends_at.isoformat() if appointment.ends_at else None,
        "team": [appointment.team.organisation, appointment.team.team],
        "booked_by": [appointment.booked_by.organisation, appointment.booked_by.team],
        "task_number": appointment.task_number,
        "has_slot": appointment.has_slot,
        "slot_withdrawn": appointment.slot_withdrawn,
    }


def appointment_from_json(content: Mapping[str, Any]) -> ReferralAppointment:
    """The appointment that `appointment_to_json` made JSON of."""
    return ReferralAppointment(
        appointment_id=content["id"],
        status=AppointmentStatus(content["status"]),
        starts_at=parse_instant(content["start"]),
        ends_at=parse_instant(content["end"]) if content["end"] else None,
        team=Party(*content["team"]),
        booked_by=Party(*content["booked_by"]),
        task_number=content["task_number"],
        has_slot=content["has_slot"],
        slot_withdrawn=content["slot_withdrawn"],
    )


def shown_appointment(content: Mapping[str, Any]) -> dict[str, Any]:
    """An appointment of a column as a list or a notice shows it."""
    organisation, team = content["team"]
    times = {name: content[name] and format_instant(parse_instant(content[name])) for name in ("start", "end")}
    shown = {"appointment": content["id"], "status": content["status"], **times}
    return {**shown, "organisation": organisation, "team": team, "slotWithdrawn": content["slot_withdrawn"]}
