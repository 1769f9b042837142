"""`GET /fhir/HealthcareService`: whom somebody could be referred to (http://hl7.org/fhir/R4/healthcareservice.html)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.store import START, Sought, TeamCursor
from onestory.shared.errors import Malformed
from onestory.shared.fhir import bundle
from onestory.shared.http.app import Declined
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.identity import is_directory_id, is_dos_service_system, is_ods_code_system
from onestory.shared.postgres.database import Database

_TYPE = "HealthcareService"
MOST = 100
WHAT_IS: Mapping[str, str] = {
    "name": "Words of the team's name, in any order.",
    "organization": "The ODS code of who provides it.",
    "service-category": "Its kind, such as community-nursing.",
    "identifier": "Its DoS service id, with or without the system.",
    "serves": "The ODS code of a practice that it serves. Ours, not FHIR's.",
    "active": "true or false; without it, those that take referrals.",
    "_count": f"Teams on a page, 1 to {MOST}.",
    "_cursor": "Where a page begins: taken from a next link as it is.",
}
_OF_A_PERSON = ("patient", "subject", "_id")


class FindTeams:
    """Searches the teams of the directory. What a person's record brought with it is for the record to answer."""

    def __init__(self, database: Database, fhir: str) -> None:
        self._database = database
        self._fhir = fhir

    async def __call__(self, request: Request, _caller: Caller) -> Response:
        asked = request.query_params
        if any(name.partition(":")[0] in _OF_A_PERSON for name in asked):
            raise Declined
        if unknown := sorted(set(asked) - {*WHAT_IS, "_format", "_pretty"}):
            raise Malformed(f"{unknown[0]} is not known here; known are {', '.join(WHAT_IS)}.", code="not-supported")
        sought, after, most = _sought(asked), _place(asked.get("_cursor", "")), _count(asked.get("_count", str(MOST)))
        found = await directory_store.page(self._database, sought, after, most + 1)
        total = await directory_store.total(self._database, sought)
        address = f"{self._fhir}/{_TYPE}"
        next_url = _url(address, {**asked, "_cursor": _cursor(found[most - 1][0])}) if len(found) > most else None
        entries = [bundle.match(f"{address}/{place.team_id}", content) for place, content in found[:most]]
        body = bundle.searchset(total, _url(address, asked), next_url, entries)
        return Response(body, media_type=FHIR_JSON)


def _sought(asked: Mapping[str, str]) -> Sought:
    active = asked.get("active", "true")
    if active not in ("true", "false"):
        raise Malformed("active is true or false.", code="value")
    return Sought(
        names=tuple(asked.get("name", "").split()),
        organisation=_value(asked.get("organization", ""), is_ods_code_system).upper(),
        kind=asked.get("service-category", "").rpartition("|")[2],
        dos_service_id=_value(asked.get("identifier", ""), is_dos_service_system),
        serves=asked.get("serves", "").upper(),
        active=active == "true",
    )


def _value(token: str, is_system: Callable[[object], bool]) -> str:
    """What stands behind `system|`, of this system or none."""
    system, bar, value = token.rpartition("|")
    if bar and system and not is_system(system):
        raise Malformed("This system is not one that teams are found by.", code="value")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MOST:
        raise Malformed(f"_count is a whole number from 1 to {MOST}.", code="value")
    return int(text)


def _cursor(place: TeamCursor) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([place.name, place.team_id])).decode().rstrip("=")


def _place(cursor: str) -> TeamCursor:
    if not cursor:
        return START
    try:
        name, team_id = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if "\0" not in name and is_directory_id(team_id):
            return TeamCursor(name, team_id)
    except (ValueError, TypeError) as error:
        raise _no_cursor() from error
    raise _no_cursor()


def _no_cursor() -> Malformed:
    return Malformed("Not a cursor: follow the next link as it is.", code="value")


def _url(address: str, parameters: Mapping[str, str]) -> str:
    return f"{address}?{urlencode(dict(parameters))}" if parameters else address
