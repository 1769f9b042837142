"""Bookings in Slots: their end by a command on the referral, and the notices about those without a referral."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from onestory.referral.appointments import store as appointments_store
from onestory.referral.appointments.model import (
    AppointmentStatus,
    ReferralAppointment,
    appointment_to_json,
    changed_appointments,
)
from onestory.referral.appointments.store import Booking
from onestory.referral.bars.identified import identified_person
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.model import Json, Referral, ReferralChange, WrittenResource
from onestory.shared.events import (
    BOOKING_SYSTEM,
    REFERENCE_RULES,
    Actor,
    Entry,
    Operation,
    Party,
    RecordChanged,
    Source,
)
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import PersonIdentifier
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message
from onestory.shared.kafka.schemas import RECORD_TOPIC
from onestory.shared.postgres.database import Transaction

BOOKING_NOTICE_CODES = {
    "book": "appointment-booked",
    "amend-booking": "appointment-changed",
    "cancel-booking": "appointment-cancelled",
    "slot-withdrawn": "appointment-slot-withdrawn",
    "slot-offered": "appointment-slot-offered",
}
"""The code of a notice about a booking without a referral, by the change."""

# These may say something about the wrong person. A booking that was a mistake does not keep them.
_REMOVED_FROM_MISTAKES = ("reasonCode", "reasonReference", "description", "comment", "patientInstruction", "note")


def appointment_of(booking: Booking, task_number: int) -> ReferralAppointment:
    """The booking as an appointment of its referral."""
    return ReferralAppointment(
        appointment_id=booking.appointment_id,
        status=AppointmentStatus(booking.status),
        starts_at=booking.starts_at,
        ends_at=booking.ends_at,
        team=booking.team,
        booked_by=booking.booker,
        task_number=task_number,
        has_slot=True,
        slot_withdrawn=booking.slot_withdrawn,
    )


def appointment_bytes(booking: Booking, elements: Json, version: UUID, at: datetime) -> bytes:
    """The Appointment of a booking as FHIR JSON, with id and meta."""
    meta = {"versionId": str(version), "lastUpdated": format_instant(at)}
    return orjson.dumps({"resourceType": "Appointment", "id": booking.appointment_id, "meta": meta, **elements})


async def with_ended_bookings(
    transaction: Transaction, before: Referral, change: ReferralChange, codec: Codec
) -> ReferralChange:
    """The change with the Appointments of the bookings that it ends. It ends them too, so that their Slots are free.

    The Appointment of a person who was identified after the referral has an event of its own, under its own person key.

    An Appointment that the change writes already stays as it is.
    """
    written = {resource.shared_id for resource in change.resources}
    ended = [
        appointment
        for appointment in changed_appointments(before.appointments, change.referral.appointments)
        if appointment.has_slot and appointment.status is not AppointmentStatus.BOOKED
        if appointment.appointment_id not in written
    ]
    resources = []
    for appointment in ended:
        booking = await appointments_store.find_booking(transaction, appointment.appointment_id)
        if booking is None or booking.status != AppointmentStatus.BOOKED:
            continue
        elements = _ended_elements(orjson.loads(booking.content), appointment.status, change)
        event_id, at = change.context.event_id, change.context.at
        content = appointment_bytes(booking, elements, event_id, at)
        ended_booking = replace(
            booking,
            status=str(appointment.status),
            content=content,
            event_id=event_id,
            changed_at=at,
            version=booking.version + 1,
        )
        await appointments_store.update_booking(transaction, ended_booking)
        if booking.person_key == before.person_key:
            resources.append(WrittenResource("Appointment", booking.appointment_id, booking.local_id, elements))
        elif person := await identified_person(transaction, before.referral_id):
            event = booking_event(ended_booking, elements, person, (uuid7(), at), before.correlation_id)
            message = event_message(RECORD_TOPIC, booking.person_key.encode(), event, codec)
            await lifecycle_store.send_to_outbox(transaction, message)
    return replace(change, resources=(*change.resources, *resources)) if resources else change


def _ended_elements(content: dict[str, Any], status: AppointmentStatus, change: ReferralChange) -> dict[str, Any]:
    removed = {"resourceType", "id", "meta"}
    if status is AppointmentStatus.ENTERED_IN_ERROR:
        removed.update(_REMOVED_FROM_MISTAKES)
    elements = {name: value for name, value in content.items() if name not in removed}
    reason = change.referral.reason
    if status is AppointmentStatus.CANCELLED and reason is not None:
        elements["cancelationReason"] = reason.concept
    return {**elements, "status": str(status)}


def booking_event(
    booking: Booking,
    elements: Json,
    person: PersonIdentifier,
    version: tuple[UUID, datetime],
    correlation_id: str,
) -> RecordChanged:
    """The event with the Appointment of a booking that is no part of a referral's own events.

    `version` is the id of the event and its time.
    """
    event_id, at = version
    content = orjson.dumps({"resourceType": "Appointment", "id": booking.appointment_id, "meta": {}, **elements})
    ids = ("Appointment", booking.local_id, booking.appointment_id)
    return RecordChanged(
        event_id=event_id,
        source=Source(booking.organisation, BOOKING_SYSTEM),
        person=person,
        sequence=None,
        recorded_at=at,
        published_at=at,
        correlation_id=correlation_id,
        complete_types=(),
        entries=(Entry(*ids, at, Operation.ASSERT, content),),
        reference_rules=REFERENCE_RULES,
    )


@dataclass(frozen=True, slots=True)
class BookingChange:
    """A change of a booking without a referral. `acting`: the party that made it; None: nobody did."""

    booking: Booking
    action: str
    actor: Actor
    acting: Party | None

    def parties(self) -> list[tuple[str, Party]]:
        """The parties that get a notice, each with its part: the one that booked, and the team."""
        both = [("requester", self.booking.booker), ("recipient", self.booking.team)]
        return [(part, party) for part, party in both if party != self.acting]


async def write_booking_change(transaction: Transaction, change: BookingChange) -> None:
    """Writes a change of a booking without a referral into its history, with the notices."""
    booking, parties = change.booking, change.parties()
    await transaction.execute(
        """insert into referral.booking_change (person_key, appointment_id, version, event_id, action,
               actor_organisation, actor_subject, status, appointments, at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        booking.person_key,
        booking.appointment_id,
        booking.version,
        booking.event_id,
        change.action,
        change.actor.party.organisation,
        change.actor.subject,
        booking.status,
        orjson.dumps([appointment_to_json(appointment_of(booking, 0))]).decode(),
        booking.changed_at,
    )
    await transaction.execute(
        """insert into referral.notice
               (person_key, referral_id, appointment_id, version, organisation, team, recipient, reason)
           select $1, '', $2, $3, *, $7 from unnest($4::text[], $5::text[], $6::text[])""",
        booking.person_key,
        booking.appointment_id,
        booking.version,
        [party.organisation for _, party in parties],
        [party.team for _, party in parties],
        [part for part, _ in parties],
        BOOKING_NOTICE_CODES[change.action],
    )
