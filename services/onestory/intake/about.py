"""What the door's routes take and answer, as its description tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onestory.intake.handler import MOST_NAMED
from onestory.intake.headers import LONGEST_WAIT_S
from onestory.shared.body import MEDIA_TYPES
from onestory.shared.headers import LONGEST_KEY
from onestory.shared.openapi import FHIR_JSON, About, Answer, Body, Parameter

_TAKEN = [
    Parameter("Idempotency-Key", "header", f"1 to {LONGEST_KEY} printable ASCII characters. Repeating is harmless."),
    Parameter(
        "Prefer",
        "header",
        f"return=minimal, representation or OperationOutcome; wait=N, to be answered once readers see it, or after N "
        f"seconds (at most {LONGEST_WAIT_S}). Without it one resource comes back as it is here, and a Bundle in brief.",
    ),
    Parameter("X-Source-System", "header", "Which of the organisation's systems speaks, before what the token says."),
    Parameter("X-Sequence", "header", "A whole number from 0, of a source that has declared that it always sends one."),
    Parameter("X-Complete-Types", "header", "Resource types, separated by commas, of which this is the whole list."),
    Parameter("traceparent", "header", "W3C trace context: it goes along with the events."),
]
_PACKED = Parameter("Content-Encoding", "header", "How the body is packed.", values=("identity", "gzip"))
_IF_NONE = Parameter("If-None-Exist", "header", "identifier=system|value: the resource is named by it.")
_FORMAT = [
    Parameter("_format", "query", "json: nothing else is written."),
    Parameter("_pretty", "query", "Passed over."),
]
_IDENTIFIER = Parameter("identifier", "query", "system|value: the resource is named by it.", required=True)
_PERSON = Parameter("patient", "query", "Of whom it was said: an NHS number. It is needed with an id of your own.")

_PUBLISHED = {
    "X-OneStory-Event-Id": f"The events, separated by commas: the first {MOST_NAMED}.",
    "X-OneStory-Position": "What a read takes as `after`, to see this.",
    "X-OneStory-Superseded": "The ids for which another statement of the same source stands, where readers see it.",
    "Preference-Applied": "The wait, where readers see it.",
}
_OF_RESOURCE = {
    **_PUBLISHED,
    "Location": "The version that this is.",
    "ETag": "Its version.",
    "Last-Modified": "When it was received.",
}
_UNKNOWN = Answer(
    503,
    "The outcome is unknown: repeat with the same key.",
    FHIR_JSON,
    "OperationOutcome",
    {"Retry-After": "Seconds.", "X-OneStory-Event-Id": _PUBLISHED["X-OneStory-Event-Id"]},
)


def _about(name: str, answers: Sequence[Answer], parameters: Sequence[Parameter], schema: str = "") -> About:
    body = Body(MEDIA_TYPES, schema, "FHIR R4, in UTF-8.") if schema else None
    sent = [*_TAKEN, _PACKED] if schema else _TAKEN
    return About(name, [*parameters, *_FORMAT, *sent], body, [*answers, _UNKNOWN])


_CREATED = Answer(
    201, "Kafka has it: the resource as it is here, or what Prefer asks for.", FHIR_JSON, "Resource", _OF_RESOURCE
)
_UPDATED = replace(_CREATED, status=200)
_WITHDRAWN = Answer(204, "Kafka has it.", headers=_OF_RESOURCE)
_WITHDRAWN_TOLD = Answer(200, "The same, to who prefers an outcome.", FHIR_JSON, "OperationOutcome", _OF_RESOURCE)
_ANSWERED = Answer(200, "One answer to each entry of a transaction or batch.", FHIR_JSON, "Bundle", _PUBLISHED)
_ACCEPTED = Answer(202, "Kafka has a Bundle of another kind.", FHIR_JSON, "OperationOutcome", _PUBLISHED)

BUNDLE = _about("publishBundle", [_ANSWERED, _ACCEPTED], [], "Bundle")
CREATE = _about("create", [_CREATED], [_IF_NONE], "Resource")
UPDATE = _about("update", [_UPDATED], [], "Resource")
NAMED = _about("updateByIdentifier", [_UPDATED], [_IDENTIFIER], "Resource")
DELETE = _about("delete", [_WITHDRAWN, _WITHDRAWN_TOLD], [_PERSON])
REFUSED = About("deleteBySearch")
