"""Routes of BaRS: process a message, and read referrals, bookings and slots.

Searches take known parameters only (http://hl7.org/fhir/R4/search.html). The operation is `$process-message`
(http://hl7.org/fhir/R4/messageheader-operation-process-message.html).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.appointments import store as appointments_store
from onestory.referral.appointments.store import MAX_SLOTS, Slot
from onestory.referral.audit import ReferralAudit
from onestory.referral.bars.booking import visible_bookings
from onestory.referral.bars.handler import BarsHandler
from onestory.referral.bars.http import REQUEST_ID, read_headers
from onestory.referral.bars.work import IncomingMessage, response_bundle
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.errors import Malformed, NotFound, Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.request import read_body
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    is_storable,
    parse_shared_id,
)
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

PATIENT_PARAMETER = "patient:identifier"
_FORMAT_PARAMETERS = {"_format", "_pretty"}
_REQUEST_TYPE = "ServiceRequest"
_APPOINTMENT_TYPE = "Appointment"
_SERVICE_PARAMETER = "Schedule.actor:HealthcareService"
_SLOT_PARAMETERS = (_SERVICE_PARAMETER, "status", "start", "_include", "_include:iterate")
_SLOT_STATUSES = ("busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error")


class ProcessMessage:
    """`POST /$process-message`: answers 200 with the response message, once everything is done."""

    def __init__(self, bars: BarsHandler, base_url: str, max_body_bytes: int) -> None:
        self._bars = bars
        self._base_url = base_url
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        bars_headers = read_headers(request.headers, caller.organisation)
        body = await read_body(request, self._max_body_bytes)
        incoming = IncomingMessage(body, bars_headers, caller, request.state.correlation_id, datetime.now(UTC))
        work, result = await self._bars.process(incoming)
        headers = {REQUEST_ID: str(bars_headers.request_id)}
        return Response(response_bundle(work, result, self._base_url), 200, headers, FHIR_JSON)


def read_query(request: Request, known: Collection[str]) -> dict[str, list[str]]:
    """Return the values of each query parameter by name. Raises `Malformed` for an unknown parameter."""
    parameters: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name in _FORMAT_PARAMETERS:
            continue
        if name not in known:
            text = f"Unknown parameter. Send one of {', '.join(sorted(known))}."
            raise Malformed(text, code="not-supported", expression="http.query")
        parameters.setdefault(name, []).append(value)
    return parameters


def read_person(request: Request, known: Collection[str] = ()) -> PersonIdentifier:
    """Return the person that `patient:identifier` names. Raises `Malformed`."""
    values = read_query(request, {PATIENT_PARAMETER, *known}).get(PATIENT_PARAMETER, [])
    if len(values) != 1:
        text = f"Name the person: {PATIENT_PARAMETER}={NHS_NUMBER_SYSTEM}|<NHS number>."
        raise Malformed(text, code="required", expression=f"http.{PATIENT_PARAMETER}")
    system, _, number = values[0].rpartition("|")
    if (system and not is_nhs_number_system(system)) or not is_nhs_number(number):
        text = f"{PATIENT_PARAMETER}: send {NHS_NUMBER_SYSTEM}| and an NHS number with a correct check digit."
        raise Malformed(text, code="value", expression=f"http.{PATIENT_PARAMETER}")
    return PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def searchset(url: str, matches: Sequence[tuple[str, bytes]], included: Sequence[tuple[str, bytes]] = ()) -> Response:
    """Answer with a searchset Bundle of the matches and the included resources, given as (fullUrl, FHIR JSON)."""
    entries = [_entry(*entry, b"match") for entry in matches] + [_entry(*entry, b"include") for entry in included]
    body = b'{"resourceType":"Bundle","type":"searchset","total":%d,"link":[{"relation":"self","url":%b}]%b}' % (
        len(matches),
        orjson.dumps(url),
        b',"entry":[%b]' % b",".join(entries) if entries else b"",
    )
    return Response(body, 200, media_type=FHIR_JSON)


def _entry(full_url: str, content: bytes, mode: bytes) -> bytes:
    return b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}' % (orjson.dumps(full_url), content, mode)


class ServiceRequestRoutes:
    """`GET /ServiceRequest`: the referrals to which the caller is party, as BaRS reads them."""

    def __init__(
        self, handler: ReferralHandler, database: Database, audit: ReferralAudit, keys: Keys, base_url: str
    ) -> None:
        self._handler = handler
        self._database = database
        self._audit = audit
        self._keys = keys
        self._base_url = base_url

    async def read(self, request: Request, caller: Caller) -> Response:
        """Answer one resource."""
        read_query(request, ())
        shared_id, correlation_id = request.path_params["id"], request.state.correlation_id
        async with self._audit.record_refusal(caller, shared_id, "read", _REQUEST_TYPE, correlation_id):
            resource = await self._handler.read(caller, shared_id)
            if resource.resource_type != _REQUEST_TYPE:
                raise NotFound("There is nothing here that you may read.")
        await self._audit.record_read(caller, [resource.shared_id], "read", _REQUEST_TYPE, correlation_id)
        return lifecycle_request.resource_response(resource, self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Answer those of one person."""
        person_key = self._keys.person_key(read_person(request))
        visible = await self._handler.service_requests(caller, person_key)
        await self._audit.record_search(caller, person_key, visible, _REQUEST_TYPE, request.state.correlation_id)
        return searchset(
            f"{self._base_url}/{_REQUEST_TYPE}",
            [(f"{self._base_url}/{_REQUEST_TYPE}/{resource.shared_id}", resource.content) for resource in visible],
        )


class AppointmentRoutes:
    """`GET /Appointment`: the bookings to which the caller is party, as BaRS reads them."""

    def __init__(self, database: Database, audit: ReferralAudit, keys: Keys, base_url: str) -> None:
        self._database = database
        self._audit = audit
        self._keys = keys
        self._base_url = base_url

    async def read(self, request: Request, caller: Caller) -> Response:
        """Answer one resource."""
        read_query(request, ())
        appointment_id = request.path_params["id"]
        is_id = parse_shared_id(appointment_id) is not None
        stored = await appointments_store.find_booking(self._database, appointment_id) if is_id else None
        correlation_id = request.state.correlation_id
        async with self._audit.record_refusal(caller, appointment_id, "read", _APPOINTMENT_TYPE, correlation_id):
            booking = next(iter(await visible_bookings(self._database, caller, [stored] if stored else [])), None)
            if booking is None:
                raise NotFound("There is nothing here that you may read.")
        await self._audit.record_read(caller, [appointment_id], "read", _APPOINTMENT_TYPE, correlation_id)
        resource = ReferralResource(
            _APPOINTMENT_TYPE,
            appointment_id,
            booking.referral_id,
            booking.event_id,
            booking.changed_at,
            booking.content,
        )
        return lifecycle_request.resource_response(resource, self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Answer those of one person."""
        person_key = self._keys.person_key(read_person(request))
        bookings = await visible_bookings(
            self._database, caller, await appointments_store.bookings_of_person(self._database, person_key)
        )
        await self._audit.record_search(caller, person_key, bookings, _APPOINTMENT_TYPE, request.state.correlation_id)
        url = f"{self._base_url}/{_APPOINTMENT_TYPE}"
        return searchset(url, [(f"{url}/{booking.appointment_id}", booking.content) for booking in bookings])


class SlotRoutes:
    """`GET /Slot`: the times that a team offers, and their Schedules (http://hl7.org/fhir/R4/slot.html)."""

    def __init__(self, database: Database, base_url: str) -> None:
        self._database = database
        self._base_url = base_url

    async def search(self, request: Request, _caller: Caller) -> Response:
        """Answer a team's slots. Any caller may see them: they are directory data, and name no person."""
        parameters = read_query(request, _SLOT_PARAMETERS)
        earliest, latest = _read_start(parameters.get("start", []))
        service = _read_service(parameters)
        await self._refuse_shared_id(service)
        slots = await appointments_store.find_slots(
            self._database, service, _read_statuses(parameters), earliest, latest, datetime.now(UTC)
        )
        if len(slots) > MAX_SLOTS:
            text = f"There are more than {MAX_SLOTS} slots within these times: ask for fewer days."
            raise Unprocessable(text, code="too-costly", expression="http.start")
        schedules = {slot.schedule_id: slot.schedule_content for slot in slots}
        return searchset(
            f"{self._base_url}/Slot",
            [(f"{self._base_url}/Slot/{slot.slot_id}", _slot_bytes(slot)) for slot in slots],
            [(f"{self._base_url}/Schedule/{schedule_id}", content) for schedule_id, content in schedules.items()],
        )

    async def _refuse_shared_id(self, service: str) -> None:
        """Raise `Unprocessable` for a DoS id of several teams: a slot would be booked as another team's."""
        if sum(team.active for team in await directory_store.teams_by_dos_id(self._database, service)) > 1:
            text = "Several teams have this service id: send the directory id of the team."
            raise Unprocessable(text, code="business-rule", expression=f"http.{_SERVICE_PARAMETER}")


def _read_service(parameters: dict[str, list[str]]) -> str:
    values = parameters.get(_SERVICE_PARAMETER, [])
    if len(values) != 1 or not values[0] or not is_storable(values[0]):
        text = (
            f"Name the team: {_SERVICE_PARAMETER}="
            "<id of the service, in the directory or in the Directory of Services>."
        )
        raise Malformed(text, code="required", expression=f"http.{_SERVICE_PARAMETER}")
    # The value may be a reference or system|value: the service's id is the last part.
    return values[0].rpartition("/")[2].rpartition("|")[2]


def _read_statuses(parameters: dict[str, list[str]]) -> list[str]:
    wanted = [status for value in parameters.get("status", []) for status in value.split(",")]
    if any(status not in _SLOT_STATUSES for status in wanted):
        raise Malformed(
            f"status: send one or more of {', '.join(_SLOT_STATUSES)}.", code="value", expression="http.status"
        )
    return wanted


def _read_start(values: Sequence[str]) -> tuple[datetime | None, datetime | None]:
    earliest = latest = None
    for value in values:
        try:
            moment = parse_instant(value[2:])
        except ValueError as error:
            raise _bad_start() from error
        if value.startswith("ge"):
            earliest = max(earliest, moment) if earliest else moment
        elif value.startswith("le"):
            latest = min(latest, moment) if latest else moment
        else:
            raise _bad_start()
    return earliest, latest


def _bad_start() -> Malformed:
    text = "start: send ge or le and an instant with time zone, such as ge2026-12-01T09:00:00Z (%2B for +)."
    return Malformed(text, code="value", expression="http.start")


def _slot_bytes(slot: Slot) -> bytes:
    return orjson.dumps({**orjson.loads(slot.content), "status": slot.status})
