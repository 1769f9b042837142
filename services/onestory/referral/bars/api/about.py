"""What the routes of BaRS take and answer, as the description of the API tells it."""

from __future__ import annotations

from onestory.referral.bars.api.searching import PATIENT
from onestory.referral.bars.domain import headers
from onestory.shared.body import MEDIA_TYPES
from onestory.shared.openapi import FHIR_JSON, About, Answer, Body, Parameter

_ENCODED = "base64 of JSON"
_PATIENT = Parameter(PATIENT, "query", "https://fhir.nhs.uk/Id/nhs-number|<NHS number>", required=True)
_FOUND = [Answer(200, "A searchset.", FHIR_JSON, "Bundle")]
_ONE = [Answer(200, "As it is now.", FHIR_JSON, "Resource", {"ETag": "Its version."})]
_SAID = [
    Parameter(
        headers.REQUEST_ID, "header", "A UUID, new for each message, the same when it is repeated.", required=True
    ),
    Parameter(headers.TARGET, "header", f"The service that the message is for: {_ENCODED} {{system, value}}."),
    Parameter(headers.ORGANISATION, "header", f"Who sends it, the token's organisation: {_ENCODED}, an Organization."),
    Parameter(headers.PRACTITIONER, "header", f"{_ENCODED}, a PractitionerRole."),
    Parameter(headers.SOFTWARE, "header", f"{_ENCODED}, a Device."),
]


def _process(name: str) -> About:
    return About(
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
REQUEST = About("barsServiceRequest", answers=_ONE)
REQUESTS = About("barsServiceRequests", [_PATIENT], answers=_FOUND)
APPOINTMENT = About("barsAppointment", answers=_ONE)
APPOINTMENTS = About("barsAppointments", [_PATIENT], answers=_FOUND)
SLOTS = About(
    "barsSlots",
    [
        Parameter("Schedule.actor:HealthcareService", "query", "The service's id.", required=True),
        Parameter("status", "query", "free, busy, or several, comma separated."),
        Parameter("start", "query", "ge or le and a moment; twice for both."),
    ],
    answers=_FOUND,
)
DEFINITIONS = About("barsMessageDefinitions", [Parameter("context", "query", "A DoS service id.")], answers=_FOUND)
METADATA = About("barsMetadata", answers=[Answer(200, "A CapabilityStatement.", FHIR_JSON, "Resource")])
