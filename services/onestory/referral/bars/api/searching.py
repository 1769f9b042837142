"""What searches of BaRS have in common: known parameters only, and searchset Bundles (http://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.shared.errors import Malformed
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier, is_nhs_number, is_nhs_number_system
from onestory.shared.openapi import FHIR_JSON

PATIENT = "patient:identifier"
_OF_THE_ANSWER = {"_format", "_pretty"}


def asked(request: Request, known: Collection[str]) -> dict[str, list[str]]:
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
    said = asked(request, {PATIENT, *known}).get(PATIENT, [])
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
