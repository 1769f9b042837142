"""Carries out booking messages: an Appointment in a team's Slot is made, moved or cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from onestory.referral.bars import store as bars_store
from onestory.referral.bars.matching import refuse_other_person, refuse_other_service, refuse_other_time, slot_id
from onestory.referral.bars.store import Booking, Slot
from onestory.referral.bars.work import MessageResult, MessageWork
from onestory.referral.clocks.domain import Clocks
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.creation import TeamReference
from onestory.referral.lifecycle.decide import build_change, with_acting_party, with_due_time
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import (
    ChangeContext,
    Referral,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
    WrittenResource,
)
from onestory.referral.lifecycle.parties import refusal_reason
from onestory.shared.errors import Conflict, Malformed, NotFound
from onestory.shared.events import BOOKING_SYSTEM, REFERRAL_SYSTEM, Entry, Operation, Party, RecordChanged, Source
from onestory.shared.fhir.dates import format_instant
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
        key = (organisation, REFERRAL_SYSTEM if referral_id else BOOKING_SYSTEM, "Appointment", local_id)
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
        )
        booking = await self._publish(work, transaction, handler, booking, body, "book", slot.starts_at)
        if not await bars_store.insert_booking(transaction, booking):
            raise _slot_taken(work)
        return _result(work, booking)

    async def amend(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Move the appointment to another slot of the team, or change its content."""
        booking = await _current_booking(work, transaction)
        named_slot = slot_id(work.message) or booking.slot_id
        slot = await _free_slot(work, transaction, handler, named_slot, own_slot_id=booking.slot_id)
        if named_slot != booking.slot_id and slot.team_id != booking.team_id:
            text = "Appointment.slot: a move stays within the team. To change the team, cancel, and book again."
            raise Malformed(text, code="business-rule", expression=f"{work.message.focus.path}.slot")
        moved = replace(booking, slot_id=slot.slot_id)
        body = _appointment_body(work, "booked", slot)
        return await self._update(work, transaction, handler, moved, body, "amend-booking", slot.starts_at)

    async def cancel(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Cancel the appointment; its slot is free again."""
        booking = await _current_booking(work, transaction)
        appointment = work.message.focus.resource
        status = appointment["status"]
        reason = {name: appointment[name] for name in ("cancelationReason",) if name in appointment}
        body = {**orjson.loads(booking.content), **reason, "status": status}
        ended = replace(booking, status=status)
        return await self._update(work, transaction, handler, ended, body, "cancel-booking")

    async def _update(
        self,
        work: MessageWork,
        transaction: Transaction,
        handler: ReferralHandler,
        booking: Booking,
        body: AppointmentBody,
        action: str,
        starts_at: datetime | None = None,
    ) -> MessageResult:
        booking = replace(booking, event_id=uuid7(), changed_at=max(work.incoming.at, booking.changed_at))
        booking = await self._publish(work, transaction, handler, booking, body, action, starts_at)
        if not await bars_store.update_booking(transaction, booking):
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
        starts_at: datetime | None,
    ) -> Booking:
        """Send the appointment to the record, as part of its referral or alone; return the booking with its content."""
        elements = {name: value for name, value in body.items() if name not in ("resourceType", "id", "meta")}
        if booking.referral_id:
            written = WrittenResource("Appointment", booking.appointment_id, booking.local_id, elements)
            changes = AppointmentChange(work, written, action, booking.with_organisation, starts_at, self._clocks)
            outcome = await handler.change(work.request, booking.referral_id, None, changes)
            version, at = outcome.referral.changed_by, outcome.referral.changed_at
        else:
            version, at = booking.event_id, booking.changed_at
            event = _record_event(work, booking, elements, version, at)
            message = event_message(RECORD_TOPIC, booking.person_key.encode(), event, self._codec)
            await lifecycle_store.send_to_outbox(transaction, message)
        return replace(
            booking, content=_appointment_bytes(booking, elements, version, at), event_id=version, changed_at=at
        )


async def _free_slot(
    work: MessageWork, queries: Queries, handler: ReferralHandler, wanted_id: str, own_slot_id: str = ""
) -> Slot:
    """The slot, if it is free or the booking's own. Raises `Conflict`, and `Malformed` for one that does not fit."""
    if not wanted_id:
        text = "Appointment.slot: name the Slot of the booking."
        raise Malformed(text, code="required", expression=f"{work.message.focus.path}.slot")
    slot = await bars_store.find_slot(queries, wanted_id)
    if slot is None or (slot.status != "free" and wanted_id != own_slot_id):
        raise _slot_taken(work)
    refuse_other_service(work.message, work.incoming.headers.target, slot.dos_service_id)
    if wanted_id != own_slot_id:
        # This raises where two teams have the service id, because it would not show which team offers the slot.
        await handler.find_recipient(TeamReference("", slot.dos_service_id, f"{work.message.focus.path}.slot"))
    refuse_other_time(work.message, slot.starts_at, slot.ends_at)
    return slot


async def _current_booking(work: MessageWork, transaction: Transaction) -> Booking:
    """The booking that the message is about. Raises `NotFound`, and `Conflict` for one that is not booked any more."""
    await lifecycle_store.lock(transaction, work.person_key)
    appointment_id = work.message.focus.resource.get("id", "")
    if not parse_shared_id(appointment_id):
        appointment_id = work.earlier.appointment_id if work.earlier else ""
    stored = await bars_store.find_booking(transaction, appointment_id) if appointment_id else None
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


async def _referral_id(queries: Queries, body: AppointmentBody) -> str:
    """The id of the referral that the appointment is based on, if the referral service has it; empty otherwise."""
    for reference in body.get("basedOn", ()):
        kind, _, shared_id = str(reference.get("reference", "")).partition("/")
        if kind == "ServiceRequest" and parse_shared_id(shared_id) and await lifecycle_store.find(queries, shared_id):
            return shared_id
    return ""


def _appointment_body(work: MessageWork, status: str, slot: Slot) -> dict[str, Any]:
    return {**work.resource_body(work.message.focus), "status": status, "slot": [{"reference": f"Slot/{slot.slot_id}"}]}


def _record_event(
    work: MessageWork, booking: Booking, elements: AppointmentBody, event_id: UUID, at: datetime
) -> RecordChanged:
    content = orjson.dumps({"resourceType": "Appointment", "id": booking.appointment_id, "meta": {}, **elements})
    ids = ("Appointment", booking.local_id, booking.appointment_id)
    return RecordChanged(
        event_id=event_id,
        source=Source(booking.organisation, BOOKING_SYSTEM),
        person=work.event.person,
        sequence=None,
        recorded_at=at,
        published_at=at,
        correlation_id=work.incoming.correlation_id,
        complete_types=(),
        entries=(Entry(*ids, at, Operation.ASSERT, content),),
        reference_rules=work.event.reference_rules,
    )


def _appointment_bytes(booking: Booking, elements: AppointmentBody, version: UUID, at: datetime) -> bytes:
    meta = {"versionId": str(version), "lastUpdated": format_instant(at)}
    return orjson.dumps({"resourceType": "Appointment", "id": booking.appointment_id, "meta": meta, **elements})


def _slot_taken(work: MessageWork) -> Conflict:
    text = "This Slot is not free, or no longer offered: GET /Slot lists the free ones."
    return Conflict(text, code="conflict", expression=f"{work.message.focus.path}.slot")


def _result(work: MessageWork, booking: Booking) -> MessageResult:
    owned_ids = {work.message.focus.index: booking.appointment_id}
    return MessageResult(booking.person_key, booking.content, owned_ids, booking.referral_id, booking.appointment_id)


class AppointmentChange:
    """Decides how a referral changes when its appointment is made, moved or cancelled (`starts_at` is None then).

    The appointment may be with another organisation than the current recipient, such as a former one. Then the change
    sends notices, and alters neither business status nor clock.
    """

    def __init__(
        self,
        work: MessageWork,
        written: WrittenResource,
        action: str,
        with_organisation: str,
        starts_at: datetime | None,
        clocks: Clocks,
    ) -> None:
        self._work = work
        self._written = written
        self._action = action
        self._with_organisation = with_organisation
        self._starts_at = starts_at
        self._clocks = clocks

    def __call__(self, referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
        refuse_other_person(self._work.message, self._work.event.person, referral.person)
        if not self._written.shared_id.startswith(referral.person_key):
            # Without an NHS number it would belong to another person, and the record would refuse the whole change.
            text = "The Patient has to be the person of the referral: send the Patient with the same NHS number."
            raise Malformed(text, code="invariant", expression=self._work.message.patient.path)
        if not referral.is_open and self._action != "cancel-booking":
            text = f"The referral is {referral.status}, and has ended: no appointment can be made for it."
            raise Conflict(text, code="conflict")
        business_status = "NOT_BOOKED" if self._action == "cancel-booking" else "BOOKED"
        is_theirs = self._with_organisation == referral.recipient.organisation
        if referral.kind is ReferralKind.ADVICE or not referral.is_open or not is_theirs:
            business_status = referral.business_status
        after = replace(referral, version=referral.version + 1, business_status=business_status)
        # Before the referral is accepted, an appointment does not show that the team has looked at it.
        if referral.status in (Status.ACCEPTED, Status.IN_PROGRESS) and referral.is_open and is_theirs:
            booked = with_due_time(replace(after, until=self._starts_at), context.at, self._clocks)
            after = _keep_question_due(after, booked) if referral.acts_next else booked
        return build_change(referral, after, self._action, with_acting_party(referral, sides, context), [self._written])


def _keep_question_due(current: Referral, booked: Referral) -> Referral:
    """Set the due time of the state under an open question, and never put off the answer.

    An appointment answers no question, so the next actor still has to answer in time.
    """
    assert current.due_at is not None
    assert booked.due_at is not None
    due_at = min(current.due_at, booked.due_at) if current.next_actor == current.recipient else current.due_at
    return replace(current, until=booked.until, state_due_at=booked.due_at, due_at=due_at)


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
