"""`GET /metadata` and `GET /MessageDefinition`, and the OpenAPI descriptions of all routes of BaRS.

The CapabilityStatement says which parts of BaRS this server supports
(http://hl7.org/fhir/R4/capabilitystatement.html). The MessageDefinitions are those that the NHS has published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.bars import api as bars_api
from onestory.referral.bars import http
from onestory.referral.bars.api import PATIENT_PARAMETER
from onestory.referral.bars.definitions import BarsDefinition, definitions, supported_use_cases
from onestory.referral.bars.slots import INCLUDES
from onestory.referral.directory import store as directory_store
from onestory.shared.errors import Malformed, NotFound, NotSupported
from onestory.shared.http.app import OpenEndpoint
from onestory.shared.http.openapi import FHIR_JSON, BodyDescription, Parameter, ResponseDescription, RouteDescription
from onestory.shared.http.request import MEDIA_TYPES
from onestory.shared.http.static_document import StaticDocument
from onestory.shared.identity import DOS_SERVICE_SYSTEM, is_storable
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database

_STATEMENT_DATE = "2026-11-27"
_EVENT_SYSTEM = "https://fhir.nhs.uk/CodeSystem/message-events-bars"
_USE_CASES = "https://fhir.nhs.uk/CodeSystem/usecases-categories-bars"
_WORKFLOW = {"system": "http://terminology.hl7.org/CodeSystem/usage-context-type", "code": "workflow"}
_OPERATION = {
    "name": "process-message",
    "definition": "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
}
_SEARCHES: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "Appointment": (["read", "search-type"], {PATIENT_PARAMETER: "token"}),
    "MessageDefinition": (["search-type"], {"context": "token"}),
    "ServiceRequest": (["read", "search-type"], {PATIENT_PARAMETER: "token"}),
    "Slot": (["search-type"], {"Schedule.actor:HealthcareService": "token", "status": "token", "start": "date"}),
}


def capability_endpoint(base_url: str) -> OpenEndpoint:
    """The endpoint that answers the CapabilityStatement, which is encoded once."""
    document = StaticDocument(orjson.dumps(capability_statement(base_url)), FHIR_JSON)

    async def metadata(request: Request) -> Response:
        return document.answer(request)

    return metadata


def capability_statement(base_url: str) -> dict[str, Any]:
    """The CapabilityStatement of the server at this address."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _STATEMENT_DATE,
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
                        "interaction": [{"code": interaction} for interaction in interactions],
                        "searchParam": [{"name": name, "type": value_type} for name, value_type in parameters.items()],
                        **({"searchInclude": list(INCLUDES)} if kind == "Slot" else {}),
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
                "supportedMessage": [
                    {"mode": "receiver", "definition": definition.url} for definition in definitions().values()
                ],
            }
        ],
    }


class MessageDefinitionRoutes:
    """`GET /MessageDefinition`: the messages that a service takes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(self, request: Request, _caller: Caller) -> Response:
        """Answer all MessageDefinitions: every service takes them. `context` is the DoS id or directory id of one.

        Raises `Malformed` without a service, `NotFound` for one that the directory does not have.
        """
        values = bars_api.read_query(request, ["context"]).get("context", [])
        service = values[0].rpartition("|")[2] if len(values) == 1 else ""
        if not service:
            text = f"Name the service: context={DOS_SERVICE_SYSTEM}|<id of the service>."
            raise Malformed(text, code="required", expression="http.context")
        if not is_storable(service) or not await self._is_known(service):
            text = "The directory has no active service with this id: check the id."
            raise NotFound(text, expression="http.context")
        resources = [
            (definition.url, orjson.dumps(message_definition(definition, service)))
            for definition in definitions().values()
        ]
        return bars_api.searchset(str(request.url.path), resources)

    async def _is_known(self, service: str) -> bool:
        teams = await directory_store.teams_by_dos_id(self._database, service)
        by_id = await directory_store.find_team(self._database, service)
        return any(team.active for team in [*teams, *([by_id] if by_id else [])])


def message_definition(definition: BarsDefinition, service: str) -> dict[str, Any]:
    """The MessageDefinition (http://hl7.org/fhir/R4/messagedefinition.html).

    `service` is the DoS id that its useContext names, or empty.
    """
    published = definition.published
    kind = "validation" if definition.is_validation else "referral"
    taken = dict.fromkeys([*published["use_cases"], *supported_use_cases(kind)])
    codings = [{"system": _USE_CASES, "code": code} for code in taken]
    if service:
        codings.insert(0, {"system": DOS_SERVICE_SYSTEM, "code": service})
    return {
        "resourceType": "MessageDefinition",
        "id": definition.name,
        **{name: published[name] for name in ("url", "version", "name", "title")},
        "status": "active",
        "date": published["date"],
        "useContext": [{"code": _WORKFLOW, "valueCodeableConcept": {"coding": [coding]}} for coding in codings],
        "eventCoding": {"system": _EVENT_SYSTEM, "code": definition.event},
        "focus": published["focus"],
    }


_HEADER_FORMAT = "base64 of JSON"
_PATIENT_QUERY = Parameter(PATIENT_PARAMETER, "query", "https://fhir.nhs.uk/Id/nhs-number|<NHS number>", required=True)
_SEARCH_ANSWER = [ResponseDescription(200, "A searchset.", FHIR_JSON, "Bundle")]
_READ_ANSWER = [ResponseDescription(200, "The current version.", FHIR_JSON, "Resource", {"ETag": "Its version."})]
_MESSAGE_HEADERS = [
    Parameter(http.REQUEST_ID, "header", "A UUID, new for each message, the same when it is repeated.", required=True),
    Parameter(http.CORRELATION_ID, "header", "A UUID, the same for all that follows from one request.", required=True),
    Parameter(http.TARGET, "header", f"The service that the message is for: {_HEADER_FORMAT} {{system, value}}."),
    Parameter(
        http.ORGANISATION,
        "header",
        f"The sender, which is the token's organisation: {_HEADER_FORMAT}, an Organization.",
    ),
    Parameter(http.PRACTITIONER, "header", f"{_HEADER_FORMAT}, a PractitionerRole."),
    Parameter(http.SOFTWARE, "header", f"{_HEADER_FORMAT}, a Device."),
]


def _describe_process(name: str) -> RouteDescription:
    return RouteDescription(
        name,
        _MESSAGE_HEADERS,
        BodyDescription(
            MEDIA_TYPES, "Bundle", "A message of the Booking and Referral Standard (GET /MessageDefinition)."
        ),
        [
            ResponseDescription(200, "The message is processed: a response message with code ok.", FHIR_JSON, "Bundle"),
            ResponseDescription(
                408,
                "Processing took too long: send the message again with the same X-Request-Id.",
                FHIR_JSON,
                "OperationOutcome",
            ),
            ResponseDescription(
                409,
                "The message was processed before, or contradicts the current state.",
                FHIR_JSON,
                "OperationOutcome",
            ),
            ResponseDescription(425, "The same X-Request-Id is being processed.", FHIR_JSON, "OperationOutcome"),
        ],
    )


PROCESS = _describe_process("processMessage")
PROCESS_FHIR = _describe_process("processMessageFhir")
REQUEST = RouteDescription("barsServiceRequest", responses=_READ_ANSWER)
REQUESTS = RouteDescription("barsServiceRequests", [_PATIENT_QUERY], responses=_SEARCH_ANSWER)
APPOINTMENT = RouteDescription("barsAppointment", responses=_READ_ANSWER)
APPOINTMENTS = RouteDescription("barsAppointments", [_PATIENT_QUERY], responses=_SEARCH_ANSWER)
SLOTS = RouteDescription(
    "barsSlots",
    [
        Parameter(
            "Schedule.actor:HealthcareService",
            "query",
            "The directory id or DoS service id of the team.",
            required=True,
        ),
        Parameter("status", "query", "free, busy, or several, comma separated."),
        Parameter("start", "query", "ge or le and an instant; twice for both."),
        Parameter(
            "_include",
            "query",
            "Slot:schedule, or Schedule:actor: and HealthcareService, Practitioner, PractitionerRole or Location. Also "
            "as _include:iterate.",
        ),
    ],
    responses=_SEARCH_ANSWER,
)
DEFINITIONS = RouteDescription(
    "barsMessageDefinitions",
    [Parameter("context", "query", f"The service: {DOS_SERVICE_SYSTEM}|<id>, or its directory id.", required=True)],
    responses=_SEARCH_ANSWER,
)


async def not_supported(request: Request, _caller: Caller) -> Response:
    """Refuse an address that the API of BaRS has and this receiver does not support."""
    name = request.url.path.split("/")[1]
    raise NotSupported(f"{name}: this receiver does not support this address. GET /metadata lists those that it has.")


def describe_not_supported(name: str) -> RouteDescription:
    """The OpenAPI text of such an address."""
    answer = ResponseDescription(501, "This receiver does not support it.", FHIR_JSON, "OperationOutcome")
    return RouteDescription(name, responses=[answer])


METADATA = RouteDescription(
    "barsMetadata", responses=[ResponseDescription(200, "A CapabilityStatement.", FHIR_JSON, "Resource")]
)
