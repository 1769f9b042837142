"""`GET /fhir/HealthcareService`: find a team to refer to (http://hl7.org/fhir/R4/healthcareservice.html)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.store import FIRST_PAGE, TeamCursor, TeamSearch
from onestory.shared.errors import Malformed
from onestory.shared.fhir import bundle
from onestory.shared.http.app import TryNextRoute
from onestory.shared.http.cursor import decode_cursor, encode_cursor
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.identity import is_directory_id, is_dos_service_system, is_ods_code_system
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

_RESOURCE_TYPE = "HealthcareService"
MAX_PAGE_SIZE = 100
TEAM_PARAMETERS: Mapping[str, str] = {
    "name": "Words of the team's name, in any order.",
    "organization": "ODS code of the organisation that provides the team.",
    "service-category": "The kind of team, such as community-nursing.",
    "identifier": "DoS service id of the team, with or without the system.",
    "serves": "ODS code of a practice that the team serves. OneStory adds this parameter to FHIR.",
    "active": "true or false; the default is true: teams that take referrals.",
    "_count": "Teams on a page.",
    "_cursor": "The cursor from a next link, unchanged.",
}
_BAD_CURSOR = "_cursor: not a cursor of this search. Follow the next link unchanged."
_PERSON_PARAMETERS = ("patient", "subject", "_id")


class SearchTeams:
    """Answers a searchset of the directory's teams. A search by person or by `_id` goes on to the record service."""

    def __init__(self, database: Database, fhir: str) -> None:
        self._database = database
        self._fhir = fhir

    async def __call__(self, request: Request, _caller: Caller) -> Response:
        parameters = request.query_params
        if any(name.partition(":")[0] in _PERSON_PARAMETERS for name in parameters):
            raise TryNextRoute
        if unknown := sorted(set(parameters) - {*TEAM_PARAMETERS, "_format", "_pretty"}):
            raise Malformed(
                f"{unknown[0]}: unknown parameter. Send one of {', '.join(TEAM_PARAMETERS)}.", code="not-supported"
            )
        search, cursor = _read_search(parameters), _parse_cursor(parameters.get("_cursor", ""))
        page_size = _read_page_size(parameters.get("_count", str(MAX_PAGE_SIZE)))
        teams = await directory_store.search_teams(self._database, search, cursor, page_size + 1)
        total = await directory_store.count_teams(self._database, search)
        address = f"{self._fhir}/{_RESOURCE_TYPE}"
        next_url = None
        if len(teams) > page_size:
            next_url = _with_query(address, {**parameters, "_cursor": _encode_cursor(teams[page_size - 1][0])})
        entries = [bundle.match_entry(f"{address}/{team.team_id}", content) for team, content in teams[:page_size]]
        body = bundle.searchset_bundle(total, _with_query(address, parameters), next_url, entries)
        return Response(body, media_type=FHIR_JSON)


def _read_search(parameters: Mapping[str, str]) -> TeamSearch:
    active = parameters.get("active", "true")
    if active not in ("true", "false"):
        raise Malformed("active: send true or false.", code="value")
    return TeamSearch(
        names=tuple(parameters.get("name", "").split()),
        organisation=_token_value(parameters.get("organization", ""), is_ods_code_system).upper(),
        kind=parameters.get("service-category", "").rpartition("|")[2],
        dos_service_id=_token_value(parameters.get("identifier", ""), is_dos_service_system),
        serves=parameters.get("serves", "").upper(),
        active=active == "true",
    )


def _token_value(token: str, is_system: Callable[[object], bool]) -> str:
    """Return the value of a token `system|value`. Raises `Malformed` for another system than the expected one."""
    system, bar, value = token.rpartition("|")
    if bar and system and not is_system(system):
        raise Malformed(
            "The token has an unknown system: send an ODS code or DoS service id, or leave the system out.",
            code="value",
        )
    return value


def _read_page_size(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MAX_PAGE_SIZE:
        raise Malformed(f"_count: send a whole number from 1 to {MAX_PAGE_SIZE}.", code="value")
    return int(text)


def _encode_cursor(cursor: TeamCursor) -> str:
    return encode_cursor(orjson.dumps([cursor.name, cursor.team_id]))


def _parse_cursor(text: str) -> TeamCursor:
    return decode_cursor(text, _read_cursor, _BAD_CURSOR) if text else FIRST_PAGE


def _read_cursor(content: bytes) -> TeamCursor:
    name, team_id = orjson.loads(content)
    if not isinstance(name, str) or "\0" in name or not is_directory_id(team_id):
        raise ValueError("not a team")
    return TeamCursor(name, team_id)


def _with_query(address: str, parameters: Mapping[str, str]) -> str:
    return f"{address}?{urlencode(dict(parameters))}" if parameters else address
