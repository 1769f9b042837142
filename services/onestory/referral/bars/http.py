"""Reads the HTTP headers of BaRS, which are base64 of JSON, and writes errors as BaRS senders expect them.

Source: NHS Booking and Referral API 1.4.0, the NHSD-* headers and the published error bodies of receivers (REC_*).
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

from onestory.referral.bars.matching import dos_service_id
from onestory.shared.errors import Forbidden, Issue, Malformed
from onestory.shared.fhir.json import objects
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.identity import is_ods_code_system

REQUEST_ID = "X-Request-Id"
CORRELATION_ID = "X-Correlation-Id"
TARGET = "NHSD-Target-Identifier"
ORGANISATION = "NHSD-End-User-Organisation"
PRACTITIONER = "NHSD-Requesting-Practitioner"
SOFTWARE = "NHSD-Requesting-Software"
_RESOURCE_TYPES: Mapping[str, tuple[str, ...]] = {
    ORGANISATION: ("Organization",),
    PRACTITIONER: ("PractitionerRole", "Practitioner"),
    SOFTWARE: ("Device",),
}
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_MAX_HEADER_LENGTH = 20_000
ERROR_CODE_SYSTEM = "https://fhir.nhs.uk/CodeSystem/http-error-codes"
_CODE_BY_STATUS = {
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


@dataclass(frozen=True, slots=True)
class BarsHeaders:
    """The values of the headers. `target` is the DoS id of a service; empty where the header names none."""

    request_id: UUID
    target: str


def read_headers(headers: Mapping[str, str], organisation: str) -> BarsHeaders:
    """Read and check the headers. Raises `Malformed`.

    Raises `Forbidden` where a header names another organisation than `organisation`, the ODS code of the token.
    """
    resources = {name: _decode_header(headers, name, *kinds) for name, kinds in _RESOURCE_TYPES.items()}
    _refuse_other_organisation(resources[ORGANISATION], organisation)
    request_id = read_request_id(headers)
    if CORRELATION_ID not in headers:
        text = f"Send {CORRELATION_ID}, a UUID that is the same for all that follows from one request."
        raise Malformed(text, code="required", expression=f"http.{CORRELATION_ID}")
    _parse_uuid(headers[CORRELATION_ID], CORRELATION_ID)
    return BarsHeaders(request_id, read_target(headers))


def read_request_id(headers: Mapping[str, str]) -> UUID:
    """Read X-Request-Id. Raises `Malformed`."""
    if REQUEST_ID not in headers:
        text = f"Send {REQUEST_ID}, a UUID that is new for each message and the same when it is sent again."
        raise Malformed(text, code="required", expression=f"http.{REQUEST_ID}")
    return _parse_uuid(headers[REQUEST_ID], REQUEST_ID)


def read_target(headers: Mapping[str, str]) -> str:
    """Read the DoS id in NHSD-Target-Identifier; empty without the header. Raises `Malformed`."""
    identifier = _decode_header(headers, TARGET)
    if identifier is None:
        return ""
    target = dos_service_id(identifier)
    if not target.isascii() or not target.isprintable() or not target:
        text = (
            f"{TARGET} names a service: base64 of {{system, value}} with system https://fhir.nhs.uk/Id/dos-service-id."
        )
        raise Malformed(text, code="value", expression=f"http.{TARGET}")
    return target


def _parse_uuid(value: str, name: str) -> UUID:
    if not _UUID.fullmatch(value):
        text = f"{name} is a UUID, such as 60e0b220-8136-4ca5-ae46-1d97ef59d068."
        raise Malformed(text, code="value", expression=f"http.{name}")
    return UUID(value)


def _decode_header(headers: Mapping[str, str], name: str, *types: str) -> Mapping[str, Any] | None:
    """Decode the JSON object in a header; None without it. `types` are the resource types that are allowed."""
    if name not in headers:
        return None
    text = f"{name}: send base64 of a JSON object{f', a FHIR {types[0]}' if types else ''}."
    refused = Malformed(text, code="value", expression=f"http.{name}")
    raw = headers[name].strip().replace("-", "+").replace("_", "/")
    if len(raw) > _MAX_HEADER_LENGTH:
        raise refused
    try:
        content = json.loads(base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise refused from error
    if not isinstance(content, Mapping) or (types and content.get("resourceType") not in types):
        raise refused
    return content


def _refuse_other_organisation(resource: Mapping[str, Any] | None, organisation: str) -> None:
    if resource is None:
        return
    ods_codes = [
        str(identifier.get("value", "")).upper()
        for identifier in objects(resource.get("identifier"))
        if is_ods_code_system(identifier.get("system"))
    ]
    if not ods_codes:
        text = f"{ORGANISATION} names no organisation: give an identifier with system and ODS code."
        raise Malformed(text, code="required", expression=f"http.{ORGANISATION}")
    if organisation not in ods_codes:
        text = f"{ORGANISATION} is another organisation than the token's: use a token of the sender."
        raise Forbidden(text, expression=f"http.{ORGANISATION}")


def error_code(status: int) -> str:
    """The BaRS error code of an HTTP status."""
    return _CODE_BY_STATUS.get(status, "REC_BAD_REQUEST" if status < 500 else "REC_SERVER_ERROR")


def bars_outcome(issues: Sequence[Issue], contained: tuple[str, bytes] | None, status: int) -> bytes:
    """The OperationOutcome with the BaRS error code in each issue."""
    outcome: dict[str, Any] = orjson.loads(operation_outcome(issues, contained))
    coding = {"system": ERROR_CODE_SYSTEM, "code": error_code(status)}
    bars_issues = [{**issue, "details": {"coding": [coding]}} for issue in outcome["issue"]]
    return orjson.dumps({**outcome, "issue": bars_issues})
