"""`GET /Slot`: the times that a team offers, with their Schedules and, where asked for, the actors of these.

Slot search and `_include`: http://hl7.org/fhir/R4/slot.html, http://hl7.org/fhir/R4/search.html#include.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.appointments import store as appointments_store
from onestory.referral.appointments.store import MAX_SLOTS, Slot
from onestory.referral.bars import api as bars_api
from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import id_in_reference
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.identity import is_storable
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

_ACTOR_TYPES = ("HealthcareService", "Practitioner", "PractitionerRole", "Location")
_SERVICE_PARAMETER = "Schedule.actor:HealthcareService"
_INCLUDE_PARAMETERS = ("_include", "_include:iterate", "_include:recurse")
_SLOT_PARAMETERS = (_SERVICE_PARAMETER, "status", "start", *_INCLUDE_PARAMETERS)
# The actor types that each value of _include asks for. The Schedules are in every answer.
_INCLUDED_ACTORS = {
    "Slot:schedule": (),
    "Slot:schedule:Schedule": (),
    **{f"Schedule:actor:{kind}": (kind,) for kind in _ACTOR_TYPES},
    "Schedule:actor": _ACTOR_TYPES,
}
INCLUDES = tuple(_INCLUDED_ACTORS)
"""The values that `_include` takes."""
_SLOT_STATUSES = ("busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error")


class SlotRoutes:
    """`GET /Slot`: the times that a team offers, and their Schedules (http://hl7.org/fhir/R4/slot.html)."""

    def __init__(self, database: Database, base_url: str) -> None:
        self._database = database
        self._base_url = base_url

    async def search(self, request: Request, _caller: Caller) -> Response:
        """Answer a team's slots. Any caller may see them: they are directory data, and name no person."""
        parameters = bars_api.read_query(request, _SLOT_PARAMETERS)
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
        actors = await self._actors(slots, _read_includes(parameters))
        return bars_api.searchset(
            f"{self._base_url}/Slot",
            [(f"{self._base_url}/Slot/{slot.slot_id}", _slot_bytes(slot)) for slot in slots],
            [
                *[(f"{self._base_url}/Schedule/{schedule_id}", content) for schedule_id, content in schedules.items()],
                *[(f"{self._base_url}/{kind}/{shared_id}", content) for shared_id, (kind, content) in actors.items()],
            ],
        )

    async def _actors(self, slots: Sequence[Slot], kinds: Sequence[str]) -> Mapping[str, tuple[str, bytes]]:
        """The actors of these types of the Schedules, by id: the type and the FHIR JSON of each."""
        ids = {slot.team_id for slot in slots} if "HealthcareService" in kinds else set()
        for content in {slot.schedule_id: slot.schedule_content for slot in slots}.values():
            named = orjson.loads(content).get("actor", ())
            ids |= {name for kind in kinds for actor in named if (name := id_in_reference(actor, kind))}
        return await directory_store.resources_by_ids(self._database, ids) if ids else {}

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


def _read_includes(parameters: Mapping[str, Sequence[str]]) -> list[str]:
    """The types of the actors that are asked for. Raises `Malformed` for another value of `_include`."""
    values = [(name, value) for name in _INCLUDE_PARAMETERS for value in parameters.get(name, ())]
    for name, value in values:
        if value not in _INCLUDED_ACTORS:
            text = f"{name}: send one of {', '.join(_INCLUDED_ACTORS)}."
            raise Malformed(text, code="not-supported", expression=f"http.{name}")
    return sorted({kind for _, value in values for kind in _INCLUDED_ACTORS[value]})
