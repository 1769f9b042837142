"""The routes of the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from onestory.intake import responses
from onestory.intake.domain.request import Door, RequestContext, Submission
from onestory.intake.publish import MOST_NAMED, PublishedSubmission, PublishHandler, Seen
from onestory.intake.responses import LONGEST_WAIT_S, UNSTATED, Answers, Preferences
from onestory.shared.errors import Unavailable
from onestory.shared.http.app import Route
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON, Answer, Body, Parameter, RouteDescription
from onestory.shared.http.request import LONGEST_KEY, MEDIA_TYPES, idempotency_key, read_body

# What the door's routes take and answer, as its description tells it.

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


def _about(name: str, answers: Sequence[Answer], parameters: Sequence[Parameter], schema: str = "") -> RouteDescription:
    body = Body(MEDIA_TYPES, schema, "FHIR R4, in UTF-8.") if schema else None
    sent = [*_TAKEN, _PACKED] if schema else _TAKEN
    return RouteDescription(name, [*parameters, *_FORMAT, *sent], body, [*answers, _UNKNOWN])


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
REFUSED = RouteDescription("deleteBySearch")


class Api:
    """HTTP in and out."""

    def __init__(self, handler: PublishHandler, door: Door, max_body_bytes: int) -> None:
        self._handler = handler
        self._door = door
        self._max_body_bytes = max_body_bytes
        self._answers = Answers(door.base_url)

    async def publish(self, request: Request, caller: Caller) -> Response:
        """Any of the routes: what is meant is in the method and the path."""
        arrival = self._arrival(request, caller)
        published = await self._handler.publish(
            await self._submission(request),
            arrival,
            responses.said(request.headers),
            responses.traceparent(request.headers),
        )
        of_bundle = bool(published.prepared.bundle_type)
        prefer = responses.preferences(request.headers) or (Preferences() if of_bundle else UNSTATED)
        return self._answers.to(published, arrival.received_at, prefer, await self._seen(published, prefer))

    async def _seen(self, published: PublishedSubmission, prefer: Preferences) -> Seen:
        if prefer.wait_s == 0 or not published.positions:
            return Seen()
        try:
            return await self._handler.seen(published, prefer.wait_s)
        except Unavailable:
            if prefer.stated:
                raise
            # Kafka has it, and nobody asked whether readers see it.
            return Seen()

    def _arrival(self, request: Request, caller: Caller) -> RequestContext:
        return RequestContext(
            door=self._door,
            organisation=caller.organisation,
            system=caller.system,
            received_at=datetime.now(UTC),
            submission_id=uuid7(),
            correlation_id=request.state.correlation_id,
            idempotency_key=idempotency_key(request.headers),
            role=caller.role,
        )

    async def _submission(self, request: Request) -> Submission:
        return Submission(
            method=request.method,
            body=b"" if request.method == "DELETE" else await read_body(request, self._max_body_bytes),
            resource_type=request.path_params.get("resource_type", ""),
            resource_id=request.path_params.get("id", ""),
            search=_search(request.url.query),
            if_none_exist=request.headers.get("If-None-Exist", ""),
            preconditions=responses.preconditions(request.headers),
        )


def _search(query: str) -> str:
    # How the answer is written has nothing to do with what is published.
    return "&".join(part for part in query.split("&") if part and not part.startswith(("_format=", "_pretty=")))


def routes(api: Api) -> list[Route]:
    """What the door offers. Conditional forms that it cannot keep have a route too: their refusal says why."""
    publish = api.publish
    return [
        Route("POST", "/fhir", publish, "transaction", "publish a Bundle", about=BUNDLE),
        Route("POST", "/fhir/{resource_type}", publish, "create", "publish one resource", about=CREATE),
        Route("PUT", "/fhir/{resource_type}", publish, "update", "publish one by its identifier", about=NAMED),
        Route("PUT", "/fhir/{resource_type}/{id}", publish, "update", "publish one by its id", about=UPDATE),
        Route("DELETE", "/fhir/{resource_type}", publish, "delete", "refused: say what to delete", about=REFUSED),
        Route("DELETE", "/fhir/{resource_type}/{id}", publish, "delete", "retract one resource", about=DELETE),
    ]
