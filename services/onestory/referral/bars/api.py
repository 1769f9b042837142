"""`POST /$process-message`: a message is taken and answered (http://hl7.org/fhir/R4/messageheader-operation-process-message.html)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.bars import store as bars_store
from onestory.referral.bars.booking import of_ones_own
from onestory.referral.bars.handler import Bars
from onestory.referral.bars.http import REQUEST_ID, read_headers
from onestory.referral.bars.store import MOST_SLOTS, Slot
from onestory.referral.bars.work import Arrived, answer
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.errors import Forbidden, Malformed, NotFound, Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.request import read_body
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_keepable,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
)
from onestory.shared.postgres.database import Database


class Process:
    """Answers 200 with a message that has the response, once everything is done."""

    def __init__(self, bars: Bars, base_url: str, max_body_bytes: int) -> None:
        self._bars = bars
        self._base_url = base_url
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        said = read_headers(request.headers, caller.organisation)
        body = await read_body(request, self._max_body_bytes)
        arrived = Arrived(body, said, caller, request.state.correlation_id, datetime.now(UTC))
        work, done = await self._bars.process(arrived)
        headers = {REQUEST_ID: str(said.request_id)}
        return Response(answer(work, done, self._base_url), 200, headers, FHIR_JSON)


# What searches of BaRS have in common: known parameters only, and searchset Bundles (http://hl7.org/fhir/R4/search.html).

PATIENT = "patient:identifier"
_OF_THE_ANSWER = {"_format", "_pretty"}


def read_query(request: Request, known: Collection[str]) -> dict[str, list[str]]:
    """The parameters of a search, by name. Raises `Malformed` for one that is not understood."""
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name in _OF_THE_ANSWER:
            continue
        if name not in known:
            says = f"This search understands {', '.join(sorted(known))}: leave out what else there is."
            raise Malformed(says, code="not-supported", expression="http.query")
        found.setdefault(name, []).append(value)
    return found


def person(request: Request, known: Collection[str] = ()) -> PersonIdentifier:
    """Whom `patient:identifier` names. Raises `Malformed`."""
    said = read_query(request, {PATIENT, *known}).get(PATIENT, [])
    if len(said) != 1:
        says = f"Say of whom: {PATIENT}={NHS_NUMBER_SYSTEM}|<NHS number>."
        raise Malformed(says, code="required", expression=f"http.{PATIENT}")
    system, _, number = said[0].rpartition("|")
    if (system and not is_nhs_number_system(system)) or not is_nhs_number(number):
        says = f"{PATIENT} is {NHS_NUMBER_SYSTEM}| and an NHS number with a right check digit."
        raise Malformed(says, code="value", expression=f"http.{PATIENT}")
    return PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def searchset(url: str, matches: Sequence[tuple[str, bytes]], included: Sequence[tuple[str, bytes]] = ()) -> Response:
    """The answer to a search: (fullUrl, resource) of what matches, and of what comes along with it."""
    entries = [_entry(*each, b"match") for each in matches] + [_entry(*each, b"include") for each in included]
    body = b'{"resourceType":"Bundle","type":"searchset","total":%d,"link":[{"relation":"self","url":%b}]%b}' % (
        len(matches),
        orjson.dumps(url),
        b',"entry":[%b]' % b",".join(entries) if entries else b"",
    )
    return Response(body, 200, media_type=FHIR_JSON)


def _entry(full_url: str, content: bytes, mode: bytes) -> bytes:
    return b'{"fullUrl":%b,"resource":%b,"search":{"mode":"%b"}}' % (orjson.dumps(full_url), content, mode)


# `GET /ServiceRequest`: the referrals of a person to which the caller is party.

_TYPE = "ServiceRequest"


class Requests:
    """Reads referrals as BaRS does."""

    def __init__(self, handler: ReferralHandler, database: Database, trace: Trace, keys: Keys, base_url: str) -> None:
        self._handler = handler
        self._database = database
        self._trace = trace
        self._keys = keys
        self._base_url = base_url

    async def read(self, request: Request, caller: Caller) -> Response:
        """One of them."""
        read_query(request, ())
        found = await self._handler.read(caller, request.path_params["id"])
        if found.resource_type != _TYPE:
            raise NotFound("There is nothing here that you may read.")
        await self._trace.read(caller, [found.shared_id], "read", _TYPE, request.state.correlation_id)
        return lifecycle_request.shown(found, self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Those of one person."""
        person_key = self._keys.person_key(person(request))
        found = await lifecycle_store.requests(self._database, person_key)
        shown = [each for each in found if await self._is_party(caller, each)]
        if shown:
            ids = [each.shared_id for each in shown]
            await self._trace.read(caller, ids, "search-type", _TYPE, request.state.correlation_id)
        return searchset(
            f"{self._base_url}/{_TYPE}",
            [(f"{self._base_url}/{_TYPE}/{each.shared_id}", each.content) for each in shown],
        )

    async def _is_party(self, caller: Caller, request: ReferralResource) -> bool:
        try:
            await self._handler.read(caller, request.shared_id)
        except (NotFound, Forbidden):
            return False
        return True


# `GET /Appointment`: the bookings of a person to which the caller is party.

_APPOINTMENT_TYPE = "Appointment"


class Appointments:
    """Reads bookings as BaRS does."""

    def __init__(self, database: Database, trace: Trace, keys: Keys, base_url: str) -> None:
        self._database = database
        self._trace = trace
        self._keys = keys
        self._base_url = base_url

    async def read(self, request: Request, caller: Caller) -> Response:
        """One of them."""
        read_query(request, ())
        name = request.path_params["id"]
        made = await bars_store.booking(self._database, name) if parse_shared_id(name) else None
        found = next(iter(await of_ones_own(self._database, caller, [made] if made else [])), None)
        if found is None:
            raise NotFound("There is nothing here that you may read.")
        await self._trace.read(caller, [name], "read", _APPOINTMENT_TYPE, request.state.correlation_id)
        shown = ReferralResource(
            _APPOINTMENT_TYPE, name, found.referral_id, found.event_id, found.changed_at, found.content
        )
        return lifecycle_request.shown(shown, self._base_url)

    async def search(self, request: Request, caller: Caller) -> Response:
        """Those of one person."""
        person_key = self._keys.person_key(person(request))
        found = await of_ones_own(self._database, caller, await bars_store.bookings(self._database, person_key))
        if found:
            ids = [each.appointment_id for each in found]
            await self._trace.read(caller, ids, "search-type", _APPOINTMENT_TYPE, request.state.correlation_id)
        url = f"{self._base_url}/{_APPOINTMENT_TYPE}"
        return searchset(url, [(f"{url}/{each.appointment_id}", each.content) for each in found])


# `GET /Slot`: the times that a team offers (http://hl7.org/fhir/R4/slot.html).

_SERVICE = "Schedule.actor:HealthcareService"
_KNOWN = (_SERVICE, "status", "start", "_include", "_include:iterate")
_STATUSES = ("busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error")


class Slots:
    """Answers with slots and the Schedules that they are of."""

    def __init__(self, database: Database, base_url: str) -> None:
        self._database = database
        self._base_url = base_url

    async def search(self, request: Request, _caller: Caller) -> Response:
        """A team's slots. What a team offers is no secret: it is what the directory says, and nothing of people."""
        asked = read_query(request, _KNOWN)
        earliest, latest = _within(asked.get("start", []))
        service = _service(asked)
        await self._refuse_several(service)
        found = await bars_store.slots(self._database, service, _statuses(asked), earliest, latest)
        if len(found) > MOST_SLOTS:
            says = f"There are more than {MOST_SLOTS} slots within these times: ask for fewer days."
            raise Unprocessable(says, code="too-costly", expression="http.start")
        schedules = {each.schedule_id: each.schedule_content for each in found}
        return searchset(
            f"{self._base_url}/Slot",
            [(f"{self._base_url}/Slot/{each.slot_id}", _content(each)) for each in found],
            [(f"{self._base_url}/Schedule/{name}", content) for name, content in schedules.items()],
        )

    async def _refuse_several(self, service: str) -> None:
        """A slot among another team's would be booked as that team's."""
        if sum(each.active for each in await directory_store.team_by_dos_id(self._database, service)) > 1:
            says = "Several teams have this service id: ask by the id of the team in the directory."
            raise Unprocessable(says, code="business-rule", expression=f"http.{_SERVICE}")


def _service(asked: dict[str, list[str]]) -> str:
    said = asked.get(_SERVICE, [])
    if len(said) != 1 or not said[0] or not is_keepable(said[0]):
        says = f"Say whose slots: {_SERVICE}=<id of the service, in the directory or in the Directory of Services>."
        raise Malformed(says, code="required", expression=f"http.{_SERVICE}")
    # A literal reference or system|value: the service's id is what stands last.
    return said[0].rpartition("/")[2].rpartition("|")[2]


def _statuses(asked: dict[str, list[str]]) -> list[str]:
    wanted = [status for said in asked.get("status", []) for status in said.split(",")]
    if any(status not in _STATUSES for status in wanted):
        raise Malformed(f"status is of {', '.join(_STATUSES)}.", code="value", expression="http.status")
    return wanted


def _within(said: Sequence[str]) -> tuple[datetime | None, datetime | None]:
    earliest = latest = None
    for each in said:
        try:
            moment = parse_instant(each[2:])
        except ValueError as error:
            raise _no_time() from error
        if each.startswith("ge"):
            earliest = max(earliest, moment) if earliest else moment
        elif each.startswith("le"):
            latest = min(latest, moment) if latest else moment
        else:
            raise _no_time()
    return earliest, latest


def _no_time() -> Malformed:
    says = "start is ge or le and a moment with time zone, such as ge2026-12-01T09:00:00Z (%2B for +)."
    return Malformed(says, code="value", expression="http.start")


def _content(slot: Slot) -> bytes:
    return orjson.dumps({**orjson.loads(slot.content), "status": slot.status})
