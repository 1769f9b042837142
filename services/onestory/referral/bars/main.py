"""The routes of the Booking and Referral Standard, and what they are built of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from onestory.referral.bars.api import about, definitions, metadata
from onestory.referral.bars.api.appointments import Appointments
from onestory.referral.bars.api.process import Process
from onestory.referral.bars.api.requests import Requests
from onestory.referral.bars.api.slots import Slots
from onestory.referral.bars.booking import Bookings
from onestory.referral.bars.handler import Bars
from onestory.referral.bars.referring import Referring
from onestory.referral.bars.responding import Responding
from onestory.referral.bars.wording import bars_outcome
from onestory.referral.bars.work import Statements
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.creation import message_id, task_id
from onestory.referral.handler import Handler
from onestory.referral.trace import Trace
from onestory.shared.resources import Resources
from onestory.shared.web import OpenRoute, Route


def bars_routes(
    resources: Resources, handler: Handler, trace: Trace, clocks: Clocks, statements: Statements
) -> Sequence[Route]:
    """What senders and receivers of BaRS may ask. Their errors are worded as the standard has it."""
    settings, database, keys = resources.settings, resources.database, resources.keys
    base_url, task_ids = settings.base_url.rstrip("/"), partial(task_id, keys)
    doers = (
        Referring(clocks, task_ids),
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
        said("POST", "/$process-message", process, operation, "a BaRS message", about=about.PROCESS),
        said("POST", "/fhir/$process-message", process, operation, "the same", about=about.PROCESS_FHIR),
        said("GET", "/ServiceRequest/{id}", requests.read, "read", "a referral of one's own", about=about.REQUEST),
        said("GET", "/ServiceRequest", requests.search, search, "one's referrals of a person", about=about.REQUESTS),
        said("GET", "/Appointment/{id}", appointments.read, "read", "a booking of one's own", about=about.APPOINTMENT),
        said(
            "GET", "/Appointment", appointments.search, search, "one's bookings of a person", about=about.APPOINTMENTS
        ),
        said("GET", "/Slot", slots.search, search, "times that a team offers", about=about.SLOTS),
        said("GET", "/MessageDefinition", definitions.search, search, "which messages", about=about.DEFINITIONS),
    ]


def bars_open_routes(resources: Resources) -> Sequence[OpenRoute]:
    """What anybody may ask."""
    statement = metadata.endpoint(resources.settings.base_url.rstrip("/"))
    return [OpenRoute("GET", "/metadata", statement, "what this server does of BaRS", about.METADATA)]
