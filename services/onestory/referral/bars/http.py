"""What the headers of BaRS say: base64 of JSON, decoded and checked.

Sources: NHS Booking and Referral API 1.4.0, NHSD-* headers.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from onestory.referral.bars.matching import dos_id
from onestory.shared.errors import Forbidden, Issue, Malformed
from onestory.shared.fhir.outcome import outcome
from onestory.shared.identity import is_ods_code_system

REQUEST_ID = "X-Request-Id"
CORRELATION_ID = "X-Correlation-Id"
TARGET = "NHSD-Target-Identifier"
ORGANISATION = "NHSD-End-User-Organisation"
PRACTITIONER = "NHSD-Requesting-Practitioner"
SOFTWARE = "NHSD-Requesting-Software"
_KINDS: Mapping[str, tuple[str, ...]] = {
    ORGANISATION: ("Organization",),
    PRACTITIONER: ("PractitionerRole", "Practitioner"),
    SOFTWARE: ("Device",),
}
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class BarsHeaders:
    """What the headers said. `target` is the id of a service in the Directory of Services; empty: none was named."""

    request_id: UUID
    target: str


def read_headers(headers: Mapping[str, str], organisation: str) -> BarsHeaders:
    """What they say. `organisation` is the token's. Raises `Malformed`, or `Forbidden` for another organisation."""
    said = {name: _decoded(headers, name, *kinds) for name, kinds in _KINDS.items()}
    _refuse_other(said[ORGANISATION], organisation)
    if CORRELATION_ID in headers:
        _uuid(headers[CORRELATION_ID], CORRELATION_ID)
    return BarsHeaders(request_id(headers), target(headers))


def request_id(headers: Mapping[str, str]) -> UUID:
    """X-Request-Id. Raises `Malformed`."""
    if REQUEST_ID not in headers:
        says = f"Send {REQUEST_ID}, a UUID that is new for each message and the same when it is sent again."
        raise Malformed(says, code="required", expression=f"http.{REQUEST_ID}")
    return _uuid(headers[REQUEST_ID], REQUEST_ID)


def target(headers: Mapping[str, str]) -> str:
    """The service that NHSD-Target-Identifier names, or empty. Raises `Malformed`."""
    said = _decoded(headers, TARGET)
    if said is None:
        return ""
    named = dos_id(said)
    if not named.isascii() or not named.isprintable() or not named:
        says = (
            f"{TARGET} names a service: base64 of {{system, value}} with system https://fhir.nhs.uk/Id/dos-service-id."
        )
        raise Malformed(says, code="value", expression=f"http.{TARGET}")
    return named


def _uuid(value: str, name: str) -> UUID:
    if not _UUID.fullmatch(value):
        says = f"{name} is a UUID, such as 60e0b220-8136-4ca5-ae46-1d97ef59d068."
        raise Malformed(says, code="value", expression=f"http.{name}")
    return UUID(value)


def _decoded(headers: Mapping[str, str], name: str, *kinds: str) -> Mapping[str, Any] | None:
    """The JSON object in a header; None without it. `kinds` are the resource types that it may be."""
    if name not in headers:
        return None
    says = f"{name} is base64 of a JSON object{f', a FHIR {kinds[0]}' if kinds else ''}: send it so."
    refused = Malformed(says, code="value", expression=f"http.{name}")
    raw = headers[name].strip().replace("-", "+").replace("_", "/")
    if len(raw) > _LONGEST:
        raise refused
    try:
        said = json.loads(base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise refused from error
    if not isinstance(said, Mapping) or (kinds and said.get("resourceType") not in kinds):
        raise refused
    return said


def _refuse_other(said: Mapping[str, Any] | None, organisation: str) -> None:
    if said is None:
        return
    listed = said.get("identifier")
    identifiers = [each for each in (listed if isinstance(listed, list) else [listed]) if isinstance(each, Mapping)]
    named = [str(each.get("value", "")).upper() for each in identifiers if is_ods_code_system(each.get("system"))]
    if not named:
        says = f"{ORGANISATION} names no organisation: give an identifier with system and ODS code."
        raise Malformed(says, code="required", expression=f"http.{ORGANISATION}")
    if organisation not in named:
        says = f"{ORGANISATION} is another organisation than the token's: send the token of the one that sends."
        raise Forbidden(says, expression=f"http.{ORGANISATION}")


# How BaRS says an error: OperationOutcome with a code of its own beside each issue.
#
# Source: NHS Booking and Referral API 1.4.0, the published error bodies of receivers (REC_*).

CODES = "https://fhir.nhs.uk/CodeSystem/http-error-codes"
_BY_STATUS = {
    401: "REC_UNAUTHORIZED",
    403: "REC_FORBIDDEN",
    404: "REC_NOT_FOUND",
    405: "REC_METHOD_NOT_ALLOWED",
    406: "REC_NOT_ACCEPTABLE",
    408: "REC_TIMEOUT",
    409: "REC_CONFLICT",
    422: "REC_UNPROCESSABLE_ENTITY",
    425: "REC_TOO_EARLY",
    429: "REC_TOO_MANY_REQUESTS",
    500: "REC_SERVER_ERROR",
    501: "REC_NOT_IMPLEMENTED",
    503: "REC_SERVICE_UNAVAILABLE",
}


def code(status: int) -> str:
    """What a receiver calls this status."""
    return _BY_STATUS.get(status, "REC_BAD_REQUEST" if status < 500 else "REC_SERVER_ERROR")


def bars_outcome(issues: Sequence[Issue], contained: tuple[str, bytes] | None, status: int) -> bytes:
    """The OperationOutcome as a sender of BaRS expects it."""
    said: dict[str, Any] = orjson.loads(outcome(issues, contained))
    coding = {"system": CODES, "code": code(status)}
    told = [{**issue, "details": {"coding": [coding]}} for issue in said["issue"]]
    return orjson.dumps({**said, "issue": told})
