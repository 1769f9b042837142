"""Routes of BaRS: process a message, and read referrals, bookings and slots.

Searches take known parameters only (http://hl7.org/fhir/R4/search.html). The operation is `$process-message`
(http://hl7.org/fhir/R4/messageheader-operation-process-message.html).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.appointments import store as appointments_store
from onestory.referral.audit import ReferralAudit
from onestory.referral.bars import identified, view
from onestory.referral.bars.booking import visible_bookings
from onestory.referral.bars.handler import BarsHandler
from onestory.referral.bars.http import read_headers
from onestory.referral.bars.work import IncomingMessage, response_bundle
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import ReferralResource
from onestory.referral.worklist import store as worklist_store
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.request import read_body
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
)
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

PATIENT_PARAMETER = "patient:identifier"
_FORMAT_PARAMETERS = {"_format", "_pretty"}
_REQUEST_TYPE = "ServiceRequest"
_APPOINTMENT_TYPE = "Appointment"


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
        return Response(response_bundle(work, result, self._base_url), 200, media_type=FHIR_JSON)


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
            resource, referral = await self._handler.read_with_referral(caller, shared_id)
            if resource.resource_type != _REQUEST_TYPE:
                raise NotFound("There is nothing here that you may read.")
        await self._audit.record_read(caller, [resource.shared_id], "read", _REQUEST_TYPE, correlation_id)
        person = await identified.identified_person(self._database, referral.referral_id)
        return lifecycle_request.resource_response(_as_shown(resource, referral, person), self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Answer those of one person."""
        person_key = self._keys.person_key(read_person(request))
        keys = [person_key, *await identified.former_keys(self._database, person_key)]
        visible = [each for key in keys for each in await self._handler.service_requests(caller, key)]
        await self._audit.record_search(caller, person_key, visible, _REQUEST_TYPE, request.state.correlation_id)
        ids = [resource.referral_id for resource in visible]
        referrals = {each.referral_id: each for each in await worklist_store.referrals_by_ids(self._database, ids)}
        url = f"{self._base_url}/{_REQUEST_TYPE}"
        people = await identified.identified_people(self._database, ids)
        shown = [_as_shown(each, referrals[each.referral_id], people.get(each.referral_id)) for each in visible]
        return searchset(url, [(f"{url}/{resource.shared_id}", resource.content) for resource in shown])


def _as_shown(resource: ReferralResource, referral: Referral, person: PersonIdentifier | None) -> ReferralResource:
    """The ServiceRequest with the state of its Task; then its version is that of the referral.

    `person`: its person, where the NHS number became known later.
    """
    if not view.differs(referral, person):
        return resource
    return replace(
        resource,
        content=view.request_for_sender(resource.content, referral, person),
        event_id=referral.changed_by,
        changed_at=referral.changed_at,
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
