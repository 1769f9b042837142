"""`GET /metadata`: what this server does of BaRS (http://hl7.org/fhir/R4/capabilitystatement.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.bars.api.searching import PATIENT
from onestory.referral.bars.definitions import definitions
from onestory.shared.openapi import FHIR_JSON
from onestory.shared.web import OpenEndpoint

_PUBLISHED = "2026-11-27"
_OPERATION = {
    "name": "process-message",
    "definition": "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
}
_SEARCHES: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "Appointment": (["read", "search-type"], {PATIENT: "token"}),
    "MessageDefinition": (["search-type"], {"context": "token"}),
    "ServiceRequest": (["read", "search-type"], {PATIENT: "token"}),
    "Slot": (["search-type"], {"Schedule.actor:HealthcareService": "token", "status": "token", "start": "date"}),
}


def endpoint(base_url: str) -> OpenEndpoint:
    """The CapabilityStatement, written once."""
    written = orjson.dumps(statement(base_url))

    async def metadata(_request: Request) -> Response:
        return Response(written, 200, media_type=FHIR_JSON)

    return metadata


def statement(base_url: str) -> dict[str, Any]:
    """The CapabilityStatement of the server at this address."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _PUBLISHED,
        "kind": "instance",
        "software": {"name": "OneStory", "version": version("onestory")},
        "implementation": {"description": "A receiver of the Booking and Referral Standard", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": kind,
                        "interaction": [{"code": each} for each in interactions],
                        "searchParam": [{"name": name, "type": of} for name, of in parameters.items()],
                    }
                    for kind, (interactions, parameters) in _SEARCHES.items()
                ],
                "operation": [_OPERATION],
            }
        ],
        "messaging": [
            {
                "endpoint": [
                    {
                        "protocol": {
                            "system": "http://terminology.hl7.org/CodeSystem/message-transport",
                            "code": "http",
                        },
                        "address": f"{base_url}/$process-message",
                    }
                ],
                "supportedMessage": [{"mode": "receiver", "definition": each.url} for each in definitions().values()],
            }
        ],
    }
