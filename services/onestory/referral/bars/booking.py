"""Carries out booking messages: an Appointment in a team's Slot is made, moved or cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from uuid_utils.compat import uuid7

from onestory.referral.appointments import store as appointments_store
from onestory.referral.appointments.bookings import (
    BookingChange,
    appointment_bytes,
    booking_event,
    write_booking_change,
)
from onestory.referral.appointments.domain import AMEND_BOOKING, BOOK, CANCEL_BOOKING, refuse_past
from onestory.referral.appointments.model import refuse_too_far
from onestory.referral.appointments.store import Booking, Slot
from onestory.referral.bars.appointment_change import AppointmentChange
from onestory.referral.bars.identified import identified_person
from onestory.referral.bars.matching import refuse_other_service, refuse_other_time, slot_id
from onestory.referral.bars.work import MessageResult, MessageWork
from onestory.referral.clocks.domain import Clocks
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.creation import TeamReference
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.parties import refusal_reason
from onestory.shared.errors import Conflict, Malformed, NotFound
from onestory.shared.events import (
    BOOKING_SYSTEM,
    REFERRAL_SYSTEM,
    Actor,
    Party,
)
from onestory.shared.fhir.dates import format_instant, parse_instant
from onestory.shared.identity import Keys, parse_shared_id
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message
from onestory.shared.kafka.schemas import RECORD_TOPIC
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Queries, Transaction

AppointmentBody = Mapping[str, Any]


class BookingMessages:
    """Carries out booking messages. An appointment for a referral changes the referral in the same transaction."""

    def __init__(self, keys: Keys, codec: Codec, clocks: Clocks) -> None:
        self._keys = keys
        self._codec = codec
        self._clocks = clocks

    async def book(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Make an appointment in a free slot."""
        await lifecycle_store.lock(transaction, work.person_key)
        slot = await _free_slot(work, transaction, handler, slot_id(work.message))
        body = _appointment_body(work, "booked", slot)
        referral_id = await _referral_id(transaction, body)
        organisation, local_id = work.caller.organisation, str(work.incoming.headers.request_id)
        system = REFERRAL_SYSTEM if _is_part_of_referral(referral_id, work.person_key) else BOOKING_SYSTEM
        key = (organisation, system, "Appointment", local_id)
        booking = Booking(
            person_key=work.person_key,
            appointment_id=self._keys.shared_id(work.person_key, *key),
            local_id=local_id,
            organisation=organisation,
            with_organisation=slot.organisation,
            team_id=slot.team_id,
            slot_id=slot.slot_id,
            referral_id=referral_id,
            status="booked",
            content=b"",
            event_id=uuid7(),
            changed_at=work.incoming.at,
            starts_at=parse_instant(body["start"]),
            ends_at=parse_instant(body["end"]),
        )
        booking = await self._publish(work, transaction, handler, booking, body, BOOK)
        if not await appointments_store.insert_booking(transaction, booking):
            raise _slot_taken(work)
        return _result(work, booking)

    async def amend(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Move the appointment to another slot of the team, or change its content."""
        booking = await _current_booking(work, transaction)
        refuse_past(booking.starts_at, work.incoming.at)
        named_slot = slot_id(work.message) or booking.slot_id
        slot = await _free_slot(work, transaction, handler, named_slot, own_slot_id=booking.slot_id)
        if named_slot != booking.slot_id and slot.team_id != booking.team_id:
            text = "Appointment.slot: a move stays within the team. To change the team, cancel, and book again."
            raise Malformed(text, code="business-rule", expression=f"{work.message.focus.path}.slot")
        body = _appointment_body(work, "booked", slot)
        moved = replace(
            booking,
            slot_id=slot.slot_id,
            starts_at=parse_instant(body["start"]),
            ends_at=parse_instant(body["end"]),
            slot_withdrawn=booking.slot_withdrawn and slot.slot_id == booking.slot_id,
        )
        return await self._update(work, transaction, handler, moved, body, AMEND_BOOKING)

    async def cancel(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Cancel the appointment; its slot is free again."""
        booking = await _current_booking(work, transaction)
        appointment = work.message.focus.resource
        # A deletion takes back a message that was a mistake, whatever status the Appointment has in it.
        is_mistake = work.message.reason == "delete"
        status = "entered-in-error" if is_mistake else appointment["status"]
        if status != "entered-in-error":
            # A mistake, such as the wrong person, is corrected at any time.
            refuse_past(booking.starts_at, work.incoming.at)
        reason = {name: appointment[name] for name in ("cancelationReason",) if name in appointment}
        body = {**orjson.loads(booking.content), **reason, "status": status}
        ended = replace(booking, status=status)
        return await self._update(work, transaction, handler, ended, body, CANCEL_BOOKING)

    async def _update(
        self,
        work: MessageWork,
        transaction: Transaction,
        handler: ReferralHandler,
        booking: Booking,
        body: AppointmentBody,
        action: str,
    ) -> MessageResult:
        at = max(work.incoming.at, booking.changed_at)
        booking = replace(booking, event_id=uuid7(), changed_at=at, version=booking.version + 1)
        booking = await self._publish(work, transaction, handler, booking, body, action)
        if not await appointments_store.update_booking(transaction, booking):
            raise _slot_taken(work)
        return _result(work, booking)

    async def _publish(
        self,
        work: MessageWork,
        transaction: Transaction,
        handler: ReferralHandler,
        booking: Booking,
        body: AppointmentBody,
        action: str,
    ) -> Booking:
        """Send the appointment to the record, as part of its referral or alone; return the booking with its content."""
        elements = {name: value for name, value in body.items() if name not in ("resourceType", "id", "meta")}
        version, at = booking.event_id, booking.changed_at
        if booking.referral_id:
            known = await identified_person(transaction, booking.referral_id)
            changes = AppointmentChange(work, booking, elements, action, self._clocks, known)
            outcome = await handler.change(work.request, booking.referral_id, None, changes)
        else:
            await write_booking_change(transaction, _booking_change(work, booking, action))
        if _is_part_of_referral(booking.referral_id, booking.person_key):
            version, at = outcome.referral.changed_by, outcome.referral.changed_at
        else:
            event = booking_event(booking, elements, work.event.person, (version, at), work.incoming.correlation_id)
            message = event_message(RECORD_TOPIC, booking.person_key.encode(), event, self._codec)
            await lifecycle_store.send_to_outbox(transaction, message)
        return replace(
            booking, content=appointment_bytes(booking, elements, version, at), event_id=version, changed_at=at
        )


async def _free_slot(
    work: MessageWork, queries: Queries, handler: ReferralHandler, wanted_id: str, own_slot_id: str = ""
) -> Slot:
    """The slot, if it is free or the booking's own. Raises `Conflict`, and `Malformed` for one that does not fit."""
    if not wanted_id:
        text = "Appointment.slot: name the Slot of the booking."
        raise Malformed(text, code="required", expression=f"{work.message.focus.path}.slot")
    slot = await appointments_store.find_slot(queries, wanted_id)
    if slot is None or (slot.status != "free" and wanted_id != own_slot_id):
        raise _slot_taken(work)
    refuse_other_service(work.message, work.incoming.headers.target, slot.dos_service_id)
    if slot.starts_at <= work.incoming.at:
        text = f"This Slot began at {format_instant(slot.starts_at)}: GET /Slot lists the free ones to come."
        raise Conflict(text, code="conflict", expression=f"{work.message.focus.path}.slot")
    if wanted_id != own_slot_id:
        # This raises where two teams have the service id, because it would not show which team offers the slot.
        await handler.find_recipient(TeamReference("", slot.dos_service_id, f"{work.message.focus.path}.slot"))
    refuse_other_time(work.message, slot.starts_at, slot.ends_at)
    refuse_too_far(slot.starts_at, work.incoming.at, f"{work.message.focus.path}.start")
    return slot


async def _current_booking(work: MessageWork, transaction: Transaction) -> Booking:
    """The booking that the message is about. Raises `NotFound`, and `Conflict` for one that is not booked any more."""
    await lifecycle_store.lock(transaction, work.person_key)
    appointment_id = work.message.focus.resource.get("id", "")
    if not parse_shared_id(appointment_id):
        appointment_id = work.earlier.appointment_id if work.earlier else ""
    stored = await appointments_store.find_booking(transaction, appointment_id) if appointment_id else None
    booking = next(iter(await visible_bookings(transaction, work.caller, [stored] if stored else [])), None)
    if booking is None:
        raise NotFound(
            "This updates no known appointment of yours: send it with the id that the answer to the booking "
            "gave, or the fullUrl of the booking, and the same Patient.",
            expression=f"{work.message.focus.path}.id",
        )
    if booking.person_key != work.person_key:
        text = "The appointment belongs to another person: send the Patient for whom it was made."
        raise Malformed(text, code="invariant", expression=work.message.patient.path)
    if booking.status != "booked":
        raise Conflict(f"The appointment is {booking.status}: it can no longer be changed.", code="conflict")
    return booking


def _is_part_of_referral(referral_id: str, person_key: str) -> bool:
    """Whether an Appointment goes with the events of its referral; not where its person was identified later."""
    return referral_id.startswith(person_key)


async def _referral_id(queries: Queries, body: AppointmentBody) -> str:
    """The id of the referral that the appointment is based on, if the referral service has it; empty otherwise."""
    for reference in body.get("basedOn", ()):
        kind, _, shared_id = str(reference.get("reference", "")).partition("/")
        if kind == "ServiceRequest" and parse_shared_id(shared_id) and await lifecycle_store.find(queries, shared_id):
            return shared_id
    return ""


def _appointment_body(work: MessageWork, status: str, slot: Slot) -> dict[str, Any]:
    return {**work.resource_body(work.message.focus), "status": status, "slot": [{"reference": f"Slot/{slot.slot_id}"}]}


def _booking_change(work: MessageWork, booking: Booking, action: str) -> BookingChange:
    caller = work.caller
    acting = booking.booker if caller.organisation == booking.organisation else booking.team
    return BookingChange(booking, action, Actor(acting, caller.subject, caller.role), acting)


def _slot_taken(work: MessageWork) -> Conflict:
    text = "This Slot is not free, or no longer offered: GET /Slot lists the free ones."
    return Conflict(text, code="conflict", expression=f"{work.message.focus.path}.slot")


def _result(work: MessageWork, booking: Booking) -> MessageResult:
    owned_ids = {work.message.focus.index: booking.appointment_id}
    return MessageResult(booking.person_key, booking.content, owned_ids, booking.referral_id, booking.appointment_id)


async def visible_bookings(queries: Queries, caller: Caller, bookings: Iterable[Booking]) -> list[Booking]:
    """The bookings to which the caller is party: by the organisation that booked, or by acting for the team.

    To act for the team a role has to be in force, as for the team's referrals. The same queries run without bookings.
    """
    candidates = list(bookings)
    roles = await directory_store.roles_of_user(queries, caller.subject)
    teams = {
        booking.team_id: booking
        for booking in await directory_store.teams_by_ids(queries, {booking.team_id for booking in candidates})
    }
    now = datetime.now(UTC)
    return [
        booking
        for booking in candidates
        if caller.organisation == booking.organisation
        or not refusal_reason(
            caller, Party(booking.with_organisation, booking.team_id), teams.get(booking.team_id), roles, now
        )
    ]
