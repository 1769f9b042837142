"""Bookings whose Slot is not offered any more: the team and the party that booked get a notice, once.

A directory message can withdraw a Slot, or move it, while somebody is booked into it. The appointment stands until
somebody moves or cancels it: the directory does not know what was agreed with the person.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from prometheus_client import CollectorRegistry, Counter
from uuid_utils.compat import uuid7

from onestory.referral.appointments import store as appointments_store
from onestory.referral.appointments.bookings import BookingChange, write_booking_change
from onestory.referral.appointments.store import Booking
from onestory.referral.clocks import clock
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.decide import build_change
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import CLOCK_SUBJECT, ChangeContext, Referral, ReferralChange
from onestory.referral.metrics import run_periodically
from onestory.shared.errors import Unavailable
from onestory.shared.events import Actor
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.postgres.database import Database, Transaction, create_pool
from onestory.shared.settings import Settings

SLOT_WITHDRAWN, SLOT_OFFERED = "slot-withdrawn", "slot-offered"
"""The names of the changes."""

_EVERY_S = 2.0

log = structlog.get_logger()


class SlotWatch:
    """Compares bookings to come with their Slots, and sends the notices. Several processes may run it."""

    def __init__(self, database: Database, handler: ReferralHandler, registry: CollectorRegistry) -> None:
        self._database = database
        self._handler = handler
        self._withdrawn = Counter(
            "onestory_bookings_slot_withdrawn", "Bookings whose Slot is not offered any more", registry=registry
        )
        self._failures = Counter(
            "onestory_bookings_slot_failed",
            "Withdrawn Slots whose notices could not be sent, tried again",
            registry=registry,
        )

    async def tick(self, now: datetime) -> int:
        """Sends all notices; returns the number of bookings that changed. Raises `Unavailable`."""
        changed = 0
        for booking in await appointments_store.bookings_with_changed_slot(self._database, now):
            try:
                changed += await self._change(booking)
            except Unavailable:
                raise
            except Exception as error:
                # One booking that cannot be changed must not stop the others.
                self._failures.inc()
                log.error("slot_notice_failed", appointment=booking.appointment_id, error=type(error).__name__)
        return changed

    async def _change(self, booking: Booking) -> bool:
        withdrawn = not booking.slot_withdrawn
        if booking.referral_id:
            change = await self._handler.change_without_request(
                booking.referral_id,
                lambda referral, context: slot_change(referral, context, booking.appointment_id, withdrawn=withdrawn),
                lambda transaction, _: appointments_store.mark_slot(transaction, booking, withdrawn=withdrawn),
            )
            if change is None:
                return False
        else:
            async with self._database.transaction() as transaction:
                await self._change_alone(transaction, booking, withdrawn=withdrawn)
        if withdrawn:
            self._withdrawn.inc()
            log.warning("slot_withdrawn", appointment=booking.appointment_id, slot=booking.slot_id)
        return True

    async def _change_alone(self, transaction: Transaction, booking: Booking, *, withdrawn: bool) -> None:
        """Change a booking without a referral, unless it has changed meanwhile."""
        await lifecycle_store.lock(transaction, booking.person_key)
        current = await appointments_store.find_booking(transaction, booking.appointment_id)
        if current != booking:
            return
        at = max(datetime.now(UTC), booking.changed_at)
        changed = replace(booking, version=booking.version + 1, slot_withdrawn=withdrawn)
        await appointments_store.update_booking(transaction, changed)
        action, actor = SLOT_WITHDRAWN if withdrawn else SLOT_OFFERED, Actor(booking.team, CLOCK_SUBJECT, "")
        told = replace(changed, event_id=uuid7(), changed_at=at)
        await write_booking_change(transaction, BookingChange(told, action, actor, None))


def slot_change(
    referral: Referral, context: ChangeContext, appointment_id: str, *, withdrawn: bool
) -> ReferralChange | None:
    """The change that a withdrawn Slot makes of the referral of its booking; None where there is nothing to change."""
    known = next((each for each in referral.appointments if each.appointment_id == appointment_id), None)
    if known is None or known.slot_withdrawn is withdrawn or not known.is_upcoming(context.at):
        return None
    changed = replace(known, slot_withdrawn=withdrawn)
    appointments = tuple(changed if each is known else each for each in referral.appointments)
    after = replace(referral, version=referral.version + 1, appointments=appointments)
    return build_change(referral, after, SLOT_WITHDRAWN if withdrawn else SLOT_OFFERED, context)


def slot_loop(
    settings: Settings, codec: Codec, registry: CollectorRegistry, stop: threading.Event
) -> Callable[[], None]:
    """A function that runs the watch until `stop` is set, to be run in a thread. Raises `Misconfigured`."""
    clocks, keys = clock.load_clocks(settings.referral_clocks), Keys(settings.key_secret.encode())

    async def run() -> None:
        async with create_pool(settings.postgres, "record") as pool:
            database = Database(pool)
            watch = SlotWatch(database, ReferralHandler(database, codec, keys, clocks), registry)
            await run_periodically(watch.tick, _EVERY_S, stop)

    return lambda: asyncio.run(run())
