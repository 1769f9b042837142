"""Bookings: an Appointment in a Slot that a team offers, made, moved or given back by message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from uuid_utils.compat import uuid7

from onestory.referral.bars import store as bars_store
from onestory.referral.bars.matching import refuse_elsewhere, refuse_other_person, refuse_other_time, slot_id
from onestory.referral.bars.store import Booking, Slot
from onestory.referral.bars.work import Done, Work
from onestory.referral.clocks.domain import Clocks
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.creation import TeamNamed
from onestory.referral.lifecycle.decide import acting, finish, timed
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.machine import Doing, ReferralChange, Side, Written
from onestory.referral.lifecycle.model import Referral, ReferralKind, Status
from onestory.referral.lifecycle.parties import refusal
from onestory.shared.errors import Conflict, Malformed, NotFound
from onestory.shared.events import BOOKING_SYSTEM, REFERRAL_SYSTEM, Entry, Operation, Party, RecordChanged, Source
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.caller import Caller
from onestory.shared.identity import Keys, parse_shared_id
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.schemas import RECORD
from onestory.shared.postgres.database import Queries, Transaction

# What becomes of a referral when an appointment is made for it, moved or cancelled.


class Booked:
    """The change of a referral whose appointment is made, moved or cancelled (`starts_at` is None).

    One with somebody else than the referral has come to, such as a team that it was taken from, is told and no more.
    """

    def __init__(
        self,
        work: Work,
        written: Written,
        action: str,
        with_organisation: str,
        starts_at: datetime | None,
        clocks: Clocks,
    ) -> None:
        self._work = work
        self._written = written
        self._action = action
        self._with = with_organisation
        self._starts_at = starts_at
        self._clocks = clocks

    def __call__(self, referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
        refuse_other_person(self._work.message, self._work.event.person, referral.person)
        if not self._written.shared_id.startswith(referral.person_key):
            # Without a number it would be another person's, and the record would take none of this change.
            says = "Whoever is booked for a referral is named as there: send the Patient with the same NHS number."
            raise Malformed(says, code="invariant", expression=self._work.message.patient.path)
        if not referral.is_open and self._action != "cancel-booking":
            says = f"The referral is {referral.status}, and has ended: no appointment can be made for it."
            raise Conflict(says, code="conflict")
        word = "NOT_BOOKED" if self._action == "cancel-booking" else "BOOKED"
        is_theirs = self._with == referral.recipient.organisation
        if referral.kind is ReferralKind.ADVICE or not referral.is_open or not is_theirs:
            word = referral.business_status
        after = replace(referral, version=referral.version + 1, business_status=word)
        # Before somebody has accepted it, an appointment does not say that anybody has looked at it.
        if referral.status in (Status.ACCEPTED, Status.IN_PROGRESS) and referral.is_open and is_theirs:
            booked = timed(replace(after, until=self._starts_at), doing.at, self._clocks)
            after = _beneath_a_question(after, booked) if referral.acts_next else booked
        return finish(referral, after, self._action, acting(referral, sides, doing), [self._written])


def _beneath_a_question(asked: Referral, booked: Referral) -> Referral:
    """An appointment answers no question: it moves the time that the state itself gives, and puts off nobody's turn."""
    assert asked.due_at is not None
    assert booked.due_at is not None
    due_at = min(asked.due_at, booked.due_at) if asked.next_actor == asked.recipient else asked.due_at
    return replace(asked, until=booked.until, state_due_at=booked.due_at, due_at=due_at)


# Who is party to a booking: the organisation that made it, and whoever acts for the team that it is with.


async def of_ones_own(queries: Queries, caller: Caller, bookings: Iterable[Booking]) -> list[Booking]:
    """Those to which the caller is party now: at the team a role has to be in force, as for its referrals."""
    found = list(bookings)
    roles = await directory_store.roles_of(queries, caller.subject) if found else []
    teams = {each.team_id: each for each in await directory_store.teams(queries, {each.team_id for each in found})}
    now = datetime.now(UTC)
    return [
        each
        for each in found
        if caller.organisation == each.organisation
        or not refusal(caller, Party(each.with_organisation, each.team_id), teams.get(each.team_id), roles, now)
    ]


Body = Mapping[str, Any]


class Bookings:
    """Does what booking requests ask for."""

    def __init__(self, keys: Keys, codec: Codec, clocks: Clocks) -> None:
        self._keys = keys
        self._codec = codec
        self._clocks = clocks

    async def book(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """A new appointment, in a free slot."""
        await lifecycle_store.lock(transaction, work.person_key)
        slot = await _free(work, transaction, handler, slot_id(work.message))
        body = _body(work, "booked", slot)
        referral_id = await _referral_id(transaction, body)
        organisation, local_id = work.caller.organisation, str(work.arrived.said.request_id)
        name = (organisation, REFERRAL_SYSTEM if referral_id else BOOKING_SYSTEM, "Appointment", local_id)
        booking = Booking(
            person_key=work.person_key,
            appointment_id=self._keys.shared_id(work.person_key, *name),
            local_id=local_id,
            organisation=organisation,
            with_organisation=slot.organisation,
            team_id=slot.team_id,
            slot_id=slot.slot_id,
            referral_id=referral_id,
            status="booked",
            content=b"",
            event_id=uuid7(),
            changed_at=work.arrived.at,
        )
        booking = await self._published(work, transaction, handler, booking, body, "book", slot.starts_at)
        if not await bars_store.take(transaction, booking):
            raise _taken(work)
        return _done(work, booking)

    async def amend(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """The appointment is at another time, or something else of it has changed."""
        booking = await _standing(work, transaction)
        named = slot_id(work.message) or booking.slot_id
        slot = await _free(work, transaction, handler, named, own=booking.slot_id)
        if named != booking.slot_id and slot.team_id != booking.team_id:
            says = (
                "An appointment is moved within its team: cancel it, and book with the other, so that both hear of it."
            )
            raise Malformed(says, code="business-rule", expression=f"{work.message.focus.path}.slot")
        moved = replace(booking, slot_id=slot.slot_id)
        body = _body(work, "booked", slot)
        return await self._changed(work, transaction, handler, moved, body, "amend-booking", slot.starts_at)

    async def cancel(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """Nobody comes: the slot is free again."""
        booking = await _standing(work, transaction)
        status = work.message.focus.resource["status"]
        why = {name: each for name, each in work.message.focus.resource.items() if name == "cancelationReason"}
        body = {**orjson.loads(booking.content), **why, "status": status}
        ended = replace(booking, status=status)
        return await self._changed(work, transaction, handler, ended, body, "cancel-booking")

    async def _changed(
        self,
        work: Work,
        transaction: Transaction,
        handler: ReferralHandler,
        booking: Booking,
        body: Body,
        action: str,
        starts_at: datetime | None = None,
    ) -> Done:
        booking = replace(booking, event_id=uuid7(), changed_at=max(work.arrived.at, booking.changed_at))
        booking = await self._published(work, transaction, handler, booking, body, action, starts_at)
        if not await bars_store.change(transaction, booking):
            raise _taken(work)
        return _done(work, booking)

    async def _published(
        self,
        work: Work,
        transaction: Transaction,
        handler: ReferralHandler,
        booking: Booking,
        body: Body,
        action: str,
        starts_at: datetime | None,
    ) -> Booking:
        """The booking with its content as it is now, which the record hears of, and the referral that it is part of."""
        said = {name: value for name, value in body.items() if name not in ("resourceType", "id", "meta")}
        if booking.referral_id:
            written = Written("Appointment", booking.appointment_id, booking.local_id, said)
            changes = Booked(work, written, action, booking.with_organisation, starts_at, self._clocks)
            outcome = await handler.act(work.request, booking.referral_id, None, changes)
            version, at = outcome.referral.changed_by, outcome.referral.changed_at
        else:
            version, at = booking.event_id, booking.changed_at
            event = _statement(work, booking, said, version, at)
            await lifecycle_store.send(transaction, RECORD, booking.person_key.encode(), self._codec.encode(event))
        return replace(booking, content=_content(booking, said, version, at), event_id=version, changed_at=at)


async def _free(work: Work, queries: Queries, handler: ReferralHandler, named: str, own: str = "") -> Slot:
    """The slot that is named, if it is free, or the booking's own. Raises `Conflict`, and `Malformed` for a misfit."""
    if not named:
        says = "A booking is in a Slot: name it in Appointment.slot."
        raise Malformed(says, code="required", expression=f"{work.message.focus.path}.slot")
    slot = await bars_store.slot(queries, named)
    if slot is None or (slot.status != "free" and named != own):
        raise _taken(work)
    refuse_elsewhere(work.message, work.arrived.said.target, slot.dos_service_id)
    if named != own:
        # Two teams with one service id: whose slot it is would be whose says so.
        await handler.recipient(TeamNamed("", slot.dos_service_id, f"{work.message.focus.path}.slot"))
    refuse_other_time(work.message, slot.starts_at, slot.ends_at)
    return slot


async def _standing(work: Work, transaction: Transaction) -> Booking:
    """The booking that the message is about, while it stands. Raises `NotFound` and `Conflict`."""
    await lifecycle_store.lock(transaction, work.person_key)
    name = work.message.focus.resource.get("id", "")
    if not parse_shared_id(name):
        name = work.before.appointment_id if work.before else ""
    made = await bars_store.booking(transaction, name) if name else None
    booking = next(iter(await of_ones_own(transaction, work.caller, [made] if made else [])), None)
    if booking is None:
        raise NotFound(
            "No appointment of yours is known that this updates: send it with the id that the answer to the booking "
            "gave, or the fullUrl of the booking, and the same Patient.",
            expression=f"{work.message.focus.path}.id",
        )
    if booking.person_key != work.person_key:
        says = "The appointment is of somebody else: send the Patient for whom it was made."
        raise Malformed(says, code="invariant", expression=work.message.patient.path)
    if booking.status != "booked":
        raise Conflict(f"The appointment is {booking.status}: nothing of it can be changed any more.", code="conflict")
    return booking


async def _referral_id(queries: Queries, body: Body) -> str:
    """The referral that the appointment is based on, if it is one of this room."""
    for each in body.get("basedOn", ()):
        kind, _, name = str(each.get("reference", "")).partition("/")
        if kind == "ServiceRequest" and parse_shared_id(name) and await lifecycle_store.find(queries, name):
            return name
    return ""


def _body(work: Work, status: str, slot: Slot) -> dict[str, Any]:
    return {**work.body(work.message.focus), "status": status, "slot": [{"reference": f"Slot/{slot.slot_id}"}]}


def _statement(work: Work, booking: Booking, said: Body, event_id: UUID, at: datetime) -> RecordChanged:
    content = orjson.dumps({"resourceType": "Appointment", "id": booking.appointment_id, "meta": {}, **said})
    name = ("Appointment", booking.local_id, booking.appointment_id)
    return RecordChanged(
        event_id=event_id,
        source=Source(booking.organisation, BOOKING_SYSTEM),
        person=work.event.person,
        sequence=None,
        recorded_at=at,
        published_at=at,
        correlation_id=work.arrived.correlation_id,
        complete_types=(),
        entries=(Entry(*name, at, Operation.ASSERT, content),),
    )


def _content(booking: Booking, said: Body, version: UUID, at: datetime) -> bytes:
    meta = {"versionId": str(version), "lastUpdated": format_instant(at)}
    return orjson.dumps({"resourceType": "Appointment", "id": booking.appointment_id, "meta": meta, **said})


def _taken(work: Work) -> Conflict:
    says = "This Slot is not free, or not offered any more: GET /Slot for those that are."
    return Conflict(says, code="conflict", expression=f"{work.message.focus.path}.slot")


def _done(work: Work, booking: Booking) -> Done:
    owned = {work.message.focus.index: booking.appointment_id}
    return Done(booking.person_key, booking.content, owned, booking.referral_id, booking.appointment_id)
