"""Builds the routes of the Booking and Referral Standard, and the objects that they use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from onestory.referral.audit import ReferralAudit
from onestory.referral.bars import metadata
from onestory.referral.bars.api import AppointmentRoutes, ProcessMessage, ServiceRequestRoutes
from onestory.referral.bars.booking import BookingMessages
from onestory.referral.bars.handler import BarsHandler
from onestory.referral.bars.http import bars_outcome
from onestory.referral.bars.referral import RequestMessages, ResponseMessages
from onestory.referral.bars.slots import SlotRoutes
from onestory.referral.bars.work import BuildRecordEvent
from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.creation import message_id, task_id
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.shared.dependencies import Dependencies
from onestory.shared.http.app import OpenRoute, Route
from onestory.shared.http.media_types import Format

# The API of BaRS has these: reads by id, and the catalogue of endpoints, which belongs to its proxy.
_NOT_SUPPORTED = (
    ("GET", "/Slot/{id}", "barsSlot"),
    ("GET", "/MessageDefinition/{id}", "barsMessageDefinition"),
    ("GET", "/Endpoint", "barsEndpoints"),
    ("POST", "/Endpoint", "barsCreateEndpoint"),
    ("GET", "/HealthcareService", "barsHealthcareServices"),
    ("POST", "/HealthcareService", "barsCreateHealthcareService"),
)


def bars_routes(
    dependencies: Dependencies,
    handler: ReferralHandler,
    audit: ReferralAudit,
    clocks: Clocks,
    build_event: BuildRecordEvent,
) -> Sequence[Route]:
    """The routes that need a token. Their errors have the error codes of the standard."""
    settings, database, keys = dependencies.settings, dependencies.database, dependencies.keys
    base_url, task_ids = settings.base_url.rstrip("/"), partial(task_id, keys)
    messages = (
        RequestMessages(clocks, task_ids),
        ResponseMessages(clocks, task_ids, partial(message_id, keys)),
        BookingMessages(keys, dependencies.codec, clocks),
    )
    bars_handler = BarsHandler(
        database,
        handler,
        keys,
        dependencies.codec,
        build_event,
        messages,
        settings.message_limit_s,
        dependencies.workers,
        settings.max_message_values,
    )
    process = ProcessMessage(bars_handler, base_url, settings.max_body_bytes).__call__
    requests, slots = ServiceRequestRoutes(handler, database, audit, keys, base_url), SlotRoutes(database, base_url)
    appointments = AppointmentRoutes(database, audit, keys, base_url)
    route = partial(Route, outcome_writer=bars_outcome)
    operation, search = "$process-message", "search-type"
    return [
        route("POST", "/$process-message", process, operation, "a BaRS message", description=metadata.PROCESS),
        route(
            "POST",
            "/fhir/$process-message",
            process,
            operation,
            "a BaRS message, below /fhir",
            description=metadata.PROCESS_FHIR,
        ),
        route(
            "GET",
            "/ServiceRequest/{id}",
            requests.read,
            "read",
            "a referral of the caller's organisation",
            description=metadata.REQUEST,
        ),
        route(
            "GET",
            "/ServiceRequest",
            requests.search,
            search,
            "the caller's referrals of a person",
            description=metadata.REQUESTS,
        ),
        route(
            "GET",
            "/Appointment/{id}",
            appointments.read,
            "read",
            "a booking of the caller's organisation",
            description=metadata.APPOINTMENT,
        ),
        route(
            "GET",
            "/Appointment",
            appointments.search,
            search,
            "the caller's bookings of a person",
            description=metadata.APPOINTMENTS,
        ),
        route("GET", "/Slot", slots.search, search, "times that a team offers", description=metadata.SLOTS),
        route(
            "GET",
            "/MessageDefinition",
            metadata.MessageDefinitionRoutes(database).search,
            search,
            "the supported messages",
            description=metadata.DEFINITIONS,
        ),
        *[
            route(
                method,
                path,
                metadata.not_supported,
                "not-supported",
                "an address of BaRS that this receiver does not support",
                description=metadata.describe_not_supported(name),
            )
            for method, path, name in _NOT_SUPPORTED
        ],
    ]


def bars_open_routes(dependencies: Dependencies) -> Sequence[OpenRoute]:
    """The routes that need no token."""
    metadata_endpoint = metadata.capability_endpoint(dependencies.settings.base_url.rstrip("/"))
    return [
        OpenRoute(
            "GET",
            "/metadata",
            metadata_endpoint,
            "what this server supports of BaRS",
            metadata.METADATA,
            formats=(Format.JSON,),
            outcome_writer=bars_outcome,
        )
    ]
