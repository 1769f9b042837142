"""The routes of the Booking and Referral Standard, and what they are built of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from onestory.referral.audit import Trace
from onestory.referral.bars import metadata
from onestory.referral.bars.api import Appointments, Process, Requests, Slots
from onestory.referral.bars.booking import Bookings
from onestory.referral.bars.handler import Bars
from onestory.referral.bars.http import bars_outcome
from onestory.referral.bars.referral import BarsReferrals, Responding
from onestory.referral.bars.work import Statements
from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.creation import message_id, task_id
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.shared.dependencies import Resources
from onestory.shared.http.app import OpenRoute, Route


def bars_routes(
    resources: Resources, handler: ReferralHandler, trace: Trace, clocks: Clocks, statements: Statements
) -> Sequence[Route]:
    """What senders and receivers of BaRS may ask. Their errors are worded as the standard has it."""
    settings, database, keys = resources.settings, resources.database, resources.keys
    base_url, task_ids = settings.base_url.rstrip("/"), partial(task_id, keys)
    doers = (
        BarsReferrals(clocks, task_ids),
        Responding(clocks, task_ids, partial(message_id, keys)),
        Bookings(keys, resources.codec, clocks),
    )
    bars = Bars(database, handler, keys, resources.codec, statements, doers, settings.message_limit_s)
    process = Process(bars, base_url, settings.max_body_bytes).__call__
    requests, slots = Requests(handler, database, trace, keys, base_url), Slots(database, base_url)
    appointments = Appointments(database, trace, keys, base_url)
    said = partial(Route, wording=bars_outcome)
    operation, search = "$process-message", "search-type"
    return [
        said("POST", "/$process-message", process, operation, "a BaRS message", about=metadata.PROCESS),
        said("POST", "/fhir/$process-message", process, operation, "the same", about=metadata.PROCESS_FHIR),
        said("GET", "/ServiceRequest/{id}", requests.read, "read", "a referral of one's own", about=metadata.REQUEST),
        said("GET", "/ServiceRequest", requests.search, search, "one's referrals of a person", about=metadata.REQUESTS),
        said(
            "GET", "/Appointment/{id}", appointments.read, "read", "a booking of one's own", about=metadata.APPOINTMENT
        ),
        said(
            "GET",
            "/Appointment",
            appointments.search,
            search,
            "one's bookings of a person",
            about=metadata.APPOINTMENTS,
        ),
        said("GET", "/Slot", slots.search, search, "times that a team offers", about=metadata.SLOTS),
        said("GET", "/MessageDefinition", metadata.search, search, "which messages", about=metadata.DEFINITIONS),
    ]


def bars_open_routes(resources: Resources) -> Sequence[OpenRoute]:
    """What anybody may ask."""
    statement = metadata.endpoint(resources.settings.base_url.rstrip("/"))
    return [OpenRoute("GET", "/metadata", statement, "what this server does of BaRS", metadata.METADATA)]
