"""What every change of a referral has in common as HTTP: who asks, under which keys, knowing which version."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from onestory.referral.handler import Outcome, Request
from onestory.referral.store.referrals import Resource
from onestory.shared.caller import Caller
from onestory.shared.errors import Malformed, PreconditionRequired
from onestory.shared.headers import idempotency_key
from onestory.shared.openapi import FHIR_JSON

_TAG = re.compile(r'(?:W/)?"(?P<version>[^"]+)"')


def request(http: HttpRequest, caller: Caller, body: bytes) -> Request:
    """Who asks for what. Raises `Malformed` for a key that cannot be one."""
    address = f"{http.method} {http.url.path}".encode()
    digest = hashlib.sha256(address + b"\0" + body).digest()
    return Request(caller, str(http.state.correlation_id), idempotency_key(http.headers), digest)


def if_match(http: HttpRequest) -> UUID:
    """The version that the caller knows. Raises `PreconditionRequired` without one, `Malformed` for what is none."""
    given = http.headers.get("If-Match", "").strip()
    if not given:
        raise PreconditionRequired(
            "Send If-Match with the ETag of the Task as you know it, so that nobody's change is overwritten unseen."
        )
    match = _TAG.fullmatch(given)
    try:
        return UUID(match["version"] if match else "")
    except ValueError as error:
        raise Malformed('If-Match must be the ETag that the Task came with, such as W/"...".', code="value") from error


def shown(resource: Resource, fhir: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A resource as the answer, with its ETag and where it is."""
    said = {
        "ETag": f'W/"{resource.event_id}"',
        "Last-Modified": resource.changed_at.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Content-Location": f"{fhir}/{resource.resource_type}/{resource.shared_id}",
    }
    return Response(resource.content, status, {**said, **(headers or {})}, FHIR_JSON)


def links(outcome: Outcome, fhir: str) -> dict[str, str]:
    """Where the Task of a new referral is, beside the referral itself."""
    return {
        "Location": f"{fhir}/ServiceRequest/{outcome.service_request.shared_id}",
        "Link": f'<{fhir}/Task/{outcome.task.shared_id}>; rel="related"',
    }
