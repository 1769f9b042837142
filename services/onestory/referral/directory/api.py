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
from onestory.shared.http.request_limits import refuse_many_words
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
    "_count": "Teams on a page, at least 1.",
    "_cursor": "The cursor from a next link, unchanged.",
}
_BAD_CURSOR = "_cursor: not a cursor of this search. Follow the next link unchanged."
_IGNORED = {"_format", "_pretty", "_total", "_totalMethod"}
# The record service searches the whole directory by these, also for teams that take no referrals.
_DIRECTORY_PARAMETERS = {
    *("_id", "_lastUpdated", "_since", "_profile", "_security", "_source", "_tag", "after"),
    *("_sort", "_summary", "_elements", "_include", "_revinclude"),
}
_PERSON_PARAMETERS = {"patient", "subject"}


class SearchTeams:
    """Answers a searchset of the directory's teams.

    A search with FHIR's general parameters or with modifiers goes on to the record service, which searches the whole
    directory.
    """

    def __init__(self, database: Database, fhir: str) -> None:
        self._database = database
        self._fhir = fhir

    async def __call__(self, request: Request, _caller: Caller) -> Response:
        parameters = request.query_params
        if _is_for_directory(parameters):
            raise TryNextRoute
        if unknown := sorted(set(parameters) - {*TEAM_PARAMETERS, *_IGNORED}):
            known = sorted({*TEAM_PARAMETERS, *_DIRECTORY_PARAMETERS, *_IGNORED})
            raise Malformed(f"{unknown[0]}: unknown parameter. Send one of {', '.join(known)}.", code="not-supported")
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


def _is_for_directory(parameters: Mapping[str, str]) -> bool:
    """Whether the record service answers this search. Raises `Malformed` for `serves`, which only this one knows."""
    names = {name.partition(":")[0].partition(".")[0] for name in parameters}
    modified = any(name not in TEAM_PARAMETERS and name.partition(":")[0] in TEAM_PARAMETERS for name in parameters)
    general = sorted(names & _DIRECTORY_PARAMETERS)
    is_general = modified or bool(general) or "/" in parameters.get("organization", "").partition("|")[0]
    if is_general and "serves" in names:
        raise Malformed(
            f"serves: it cannot be sent with modifiers or with {', '.join(sorted(_DIRECTORY_PARAMETERS))}. Send it "
            f"with {', '.join(TEAM_PARAMETERS)} only.",
            code="not-supported",
        )
    return is_general or bool(names & _PERSON_PARAMETERS)


def _read_search(parameters: Mapping[str, str]) -> TeamSearch:
    active = parameters.get("active", "true")
    if active not in ("true", "false"):
        raise Malformed("active: send true or false.", code="value")
    names = tuple(parameters.get("name", "").split())
    refuse_many_words("name", names)
    return TeamSearch(
        names=names,
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
    if not text.isascii() or not text.isdecimal() or int(text[:9]) < 1:
        raise Malformed("_count: send a whole number from 1.", code="value")
    return min(int(text[:9]), MAX_PAGE_SIZE)


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
