"""`GET /metadata`: what this server does of BaRS (http://hl7.org/fhir/R4/capabilitystatement.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.bars import api as bars_api
from onestory.referral.bars import http
from onestory.referral.bars.api import PATIENT
from onestory.referral.bars.definitions import Definition, definitions
from onestory.shared.http.app import OpenEndpoint
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON, Answer, Body, Parameter, RouteDescription
from onestory.shared.http.request import MEDIA_TYPES
from onestory.shared.identity import DOS_SERVICE_SYSTEM

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


# `GET /MessageDefinition`: which messages are taken, as the NHS has published them.

_EVENTS = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
_USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
_WORKFLOW = {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "workflow"}


async def search(request: Request, _caller: Caller) -> Response:
    """All of them; with `context`, an id of the Directory of Services, as of that service: each takes all."""
    service = bars_api.read_query(request, ["context"]).get("context", [""])[0].rpartition("|")[2]
    found = [(each.url, orjson.dumps(resource(each, service))) for each in definitions().values()]
    return bars_api.searchset(str(request.url.path), found)


def resource(definition: Definition, service: str) -> dict[str, Any]:
    """The MessageDefinition (http://hl7.org/fhir/R4/messagedefinition.html)."""
    said = definition.published
    codings = [{"system": _USE_CASES, "code": each} for each in said["use_cases"]]
    if service:
        codings.insert(0, {"system": DOS_SERVICE_SYSTEM, "code": service})
    return {
        "resourceType": "MessageDefinition",
        "id": definition.name,
        **{name: said[name] for name in ("url", "version", "name", "title")},
        "status": "active",
        "date": said["date"],
        "useContext": [{"code": _WORKFLOW, "valueCodeableConcept": {"coding": [each]}} for each in codings],
        "eventCoding": {"system": _EVENTS, "code": definition.event},
        "focus": said["focus"],
    }


# What the routes of BaRS take and answer, as the description of the API tells it.

_ENCODED = "base64 of JSON"
_PATIENT = Parameter(PATIENT, "query", "https://fhir.nhs.uk/Id/nhs-number|<NHS number>", required=True)
_FOUND = [Answer(200, "A searchset.", FHIR_JSON, "Bundle")]
_ONE = [Answer(200, "As it is now.", FHIR_JSON, "Resource", {"ETag": "Its version."})]
_SAID = [
    Parameter(http.REQUEST_ID, "header", "A UUID, new for each message, the same when it is repeated.", required=True),
    Parameter(http.TARGET, "header", f"The service that the message is for: {_ENCODED} {{system, value}}."),
    Parameter(http.ORGANISATION, "header", f"Who sends it, the token's organisation: {_ENCODED}, an Organization."),
    Parameter(http.PRACTITIONER, "header", f"{_ENCODED}, a PractitionerRole."),
    Parameter(http.SOFTWARE, "header", f"{_ENCODED}, a Device."),
]


def _process(name: str) -> RouteDescription:
    return RouteDescription(
        name,
        _SAID,
        Body(MEDIA_TYPES, "Bundle", "A message of the Booking and Referral Standard (GET /MessageDefinition)."),
        [
            Answer(200, "Everything is done: a message with response ok.", FHIR_JSON, "Bundle"),
            Answer(408, "It took too long: repeat with the same X-Request-Id.", FHIR_JSON, "OperationOutcome"),
            Answer(409, "It was processed before, or what it asks contradicts.", FHIR_JSON, "OperationOutcome"),
            Answer(425, "The same X-Request-Id is being processed.", FHIR_JSON, "OperationOutcome"),
        ],
    )


PROCESS = _process("processMessage")
PROCESS_FHIR = _process("processMessageFhir")
REQUEST = RouteDescription("barsServiceRequest", answers=_ONE)
REQUESTS = RouteDescription("barsServiceRequests", [_PATIENT], answers=_FOUND)
APPOINTMENT = RouteDescription("barsAppointment", answers=_ONE)
APPOINTMENTS = RouteDescription("barsAppointments", [_PATIENT], answers=_FOUND)
SLOTS = RouteDescription(
    "barsSlots",
    [
        Parameter("Schedule.actor:HealthcareService", "query", "The service's id.", required=True),
        Parameter("status", "query", "free, busy, or several, comma separated."),
        Parameter("start", "query", "ge or le and a moment; twice for both."),
    ],
    answers=_FOUND,
)
DEFINITIONS = RouteDescription(
    "barsMessageDefinitions", [Parameter("context", "query", "A DoS service id.")], answers=_FOUND
)
METADATA = RouteDescription("barsMetadata", answers=[Answer(200, "A CapabilityStatement.", FHIR_JSON, "Resource")])
