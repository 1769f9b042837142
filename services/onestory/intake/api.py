"""The HTTP routes of intake, with their OpenAPI descriptions.

To follow one Bundle from `POST /fhir` to Kafka, read these files once each, in this order: this one, `publish.py`,
`preparation.py`, and in `domain/` `parse.py`, `prepare.py`, `validate.py`, `owner.py`, `events.py`, `references.py`.
The values between them are in `domain/request.py` and `domain/item.py`, the rules of Bundles in `domain/bundle.py`.
`responses.py` writes the response.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from uuid_utils.compat import uuid7

from onestory.intake.domain.conditions import PRECONDITIONS
from onestory.intake.domain.request import Deployment, PublisherClaims, ReadEntry, RequestContext, Submission
from onestory.intake.publish import MAX_EVENT_IDS, PublishedSubmission, PublishHandler, PublishVisibility
from onestory.intake.responses import (
    DEFAULT_FOR_RESOURCE,
    DEFAULT_WAIT_S,
    MAX_WAIT_S,
    Preferences,
    PublishResponses,
    preferences,
)
from onestory.shared.errors import Malformed, Unavailable
from onestory.shared.http.app import Route
from onestory.shared.http.internal import InternalAnswer, InternalRead, InternalRequests
from onestory.shared.http.openapi import FHIR_JSON, BodyDescription, Parameter, ResponseDescription, RouteDescription
from onestory.shared.http.request import MAX_IDEMPOTENCY_KEY_LENGTH, MEDIA_TYPES, idempotency_key, read_body
from onestory.shared.policy import Caller
from onestory.shared.runtime import run_in_thread_if
from onestory.shared.worker_processes import LARGE_BODY

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# The OpenAPI descriptions of the routes.
_HEADERS = [
    Parameter(
        "Idempotency-Key",
        "header",
        f"1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters. Repeating the same content is harmless.",
    ),
    Parameter(
        "Prefer",
        "header",
        f"return=minimal, representation or OperationOutcome; wait=N: the answer comes when readers see it, or after N "
        f"seconds (at most {MAX_WAIT_S}). return=representation waits for {DEFAULT_WAIT_S} seconds. Without Prefer one "
        "resource is answered as with it, a Bundle in brief.",
    ),
    Parameter(
        "X-Source-System",
        "header",
        "The source system of the organisation. It takes precedence over the system in the token.",
    ),
    Parameter(
        "X-Sequence",
        "header",
        "A whole number from 0. Only for a source that has declared that it always sends a sequence.",
    ),
    Parameter(
        "X-Complete-Types", "header", "Resource types, separated by commas, for which this statement is the whole list."
    ),
    Parameter(
        "X-Replaces-System",
        "header",
        "Another system of your organisation, which this one replaces. Its statements about the person are retired, as "
        "far as X-Complete-Types names their types.",
    ),
    Parameter(
        "X-Dry-Run",
        "header",
        "true: the answer says what would be published and replaced. Nothing is published.",
        values=("true", "false"),
    ),
    Parameter("traceparent", "header", "W3C trace context. The events carry it."),
]
_CONTENT_ENCODING = Parameter("Content-Encoding", "header", "The compression of the body.", values=("identity", "gzip"))
_IF_NONE_EXIST = Parameter(
    "If-None-Exist",
    "header",
    "identifier=system|value: nothing is created if you have a current resource of this type with this identifier.",
)
_IF_MATCH = Parameter(
    "If-Match",
    "header",
    "The ETag of your resource as you read it, or *. The answer is 412 if another version is current, or none.",
)
_IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "*: the answer is 412 if you have a current resource with this id.", values=("*",)
)
_FORMAT = [
    Parameter("_format", "query", "json: the only supported format."),
    Parameter("_pretty", "query", "Ignored."),
]
_IDENTIFIER = Parameter("identifier", "query", "system|value: this identifier names the resource.", required=True)
_PATIENT = Parameter(
    "patient",
    "query",
    "The NHS number of the person, or the id of your own Patient. Required when the id is your own local id.",
)

_PUBLISH_HEADERS = {
    "X-OneStory-Event-Id": f"The ids of the first {MAX_EVENT_IDS} events, separated by commas.",
    "X-OneStory-Position": "The position token: a read with `?after=` waits until it sees the statement.",
    "X-OneStory-Superseded": "After a wait: the shared ids for which another statement of the source is current.",
    "Preference-Applied": "The wait, when readers saw the statement in time.",
}
_RESOURCE_HEADERS = {
    **_PUBLISH_HEADERS,
    "Location": "The URL of this version.",
    "ETag": "The version id of the resource.",
    "Last-Modified": "When the request was received.",
}
_OUTCOME_UNKNOWN = ResponseDescription(
    503,
    "The outcome is unknown. Repeat the request with the same Idempotency-Key.",
    FHIR_JSON,
    "OperationOutcome",
    {
        "Retry-After": "Seconds to wait before the repetition.",
        "X-OneStory-Event-Id": _PUBLISH_HEADERS["X-OneStory-Event-Id"],
    },
)


def _describe(
    name: str, answers: Sequence[ResponseDescription], parameters: Sequence[Parameter], schema: str = ""
) -> RouteDescription:
    body = BodyDescription(MEDIA_TYPES, schema, "FHIR R4, in UTF-8.") if schema else None
    sent = [*_HEADERS, _CONTENT_ENCODING] if schema else _HEADERS
    return RouteDescription(name, [*parameters, *_FORMAT, *sent], body, [*answers, _OUTCOME_UNKNOWN])


_CREATED = ResponseDescription(
    201,
    "Kafka has the statement. The body is the resource as it is stored, or as Prefer asks.",
    FHIR_JSON,
    "Resource",
    _RESOURCE_HEADERS,
)
_UPDATED = replace(
    _CREATED, status=200, description="Kafka has the statement, and readers saw an earlier version of the resource."
)
_EXISTS = replace(_CREATED, status=200, description="You have a resource with this identifier. Nothing was published.")
_PRECONDITION_FAILED = ResponseDescription(
    412,
    "The condition does not hold. Nothing was published.",
    FHIR_JSON,
    "OperationOutcome",
    {"ETag": "The version that is current, if there is one."},
)
_RETRACTED = ResponseDescription(204, "Kafka has the retraction.", headers=_RESOURCE_HEADERS)
_RETRACTED_WITH_OUTCOME = ResponseDescription(
    200,
    "Kafka has the retraction, and Prefer asked for an OperationOutcome.",
    FHIR_JSON,
    "OperationOutcome",
    _RESOURCE_HEADERS,
)
_BUNDLE_RESPONSE = ResponseDescription(
    200, "One response for each entry of a transaction or batch.", FHIR_JSON, "Bundle", _PUBLISH_HEADERS
)
_ACCEPTED = ResponseDescription(
    202, "Kafka has a Bundle of another type. One response for each entry.", FHIR_JSON, "Bundle", _PUBLISH_HEADERS
)

_POST_BUNDLE = _describe("publishBundle", [_BUNDLE_RESPONSE, _ACCEPTED], [], "Bundle")
_POST = _describe("create", [_CREATED, _EXISTS, _PRECONDITION_FAILED], [_IF_NONE_EXIST], "Resource")
_PUT = _describe("update", [_UPDATED, _CREATED, _PRECONDITION_FAILED], [_IF_MATCH, _IF_NONE_MATCH], "Resource")
_PUT_BY_IDENTIFIER = _describe(
    "updateByIdentifier", [_UPDATED, _CREATED, _PRECONDITION_FAILED], [_IDENTIFIER, _IF_MATCH], "Resource"
)
_DELETE = _describe("delete", [_RETRACTED, _RETRACTED_WITH_OUTCOME, _PRECONDITION_FAILED], [_PATIENT, _IF_MATCH])
_DELETE_MANY = RouteDescription("deleteBySearch")


class IntakeApi:
    """Reads requests and writes responses. The handler publishes."""

    def __init__(
        self, handler: PublishHandler, deployment: Deployment, max_body_bytes: int, internal: InternalRequests
    ) -> None:
        self._handler = handler
        self._deployment = deployment
        self._max_body_bytes = max_body_bytes
        self._internal = internal
        self._responses = PublishResponses(deployment.base_url)

    async def publish(self, request: Request, caller: Caller) -> Response:
        """Publish the submission of any route. Its method and path say which interaction it is."""
        context = self._request_context(request, caller)
        submission = await self._submission(request)
        claims = _claims_in_headers(request.headers)
        published = await self._handler.publish(submission, context, claims, _traceparent(request.headers), caller)
        if submission.dry_run:
            return self._responses.write_dry_run(published.prepared)
        is_bundle = bool(published.prepared.bundle_type)
        prefer = preferences(request.headers) or (Preferences() if is_bundle else DEFAULT_FOR_RESOURCE)
        visibility = await self._visibility(published, prefer)
        reads = await self._batch_reads(published, request)
        return await run_in_thread_if(
            len(submission.body) > LARGE_BODY,
            lambda: self._responses.write(published, context.received_at, prefer, visibility, reads),
        )

    async def _batch_reads(self, published: PublishedSubmission, request: Request) -> Sequence[InternalAnswer]:
        """The answers to the reads of a batch, in their order. They see what the batch has published after its wait."""
        reads = [outcome for outcome in published.prepared.outcomes if isinstance(outcome, ReadEntry)]
        if not reads:
            return ()
        targets = [InternalRead(f"/fhir/{read.url}", read.if_none_match) for read in reads]
        return await self._internal.answers(targets, request, self._max_body_bytes)

    async def _visibility(self, published: PublishedSubmission, prefer: Preferences) -> PublishVisibility:
        if prefer.wait_s == 0 or not published.positions:
            return PublishVisibility()
        try:
            return await self._handler.wait_until_visible(published, prefer.wait_s)
        except Unavailable:
            if prefer.wait_stated:
                raise
            # Kafka has the statement, and the caller did not ask for a wait.
            return PublishVisibility()

    def _request_context(self, request: Request, caller: Caller) -> RequestContext:
        return RequestContext(
            deployment=self._deployment,
            organisation=caller.organisation,
            system=caller.system,
            received_at=datetime.now(UTC),
            submission_id=uuid7(),
            correlation_id=request.state.correlation_id,
            idempotency_key=idempotency_key(request.headers),
            role=caller.role,
            is_system_fixed=caller.has_system_claim,
        )

    async def _submission(self, request: Request) -> Submission:
        return Submission(
            method=request.method,
            body=b"" if request.method == "DELETE" else await read_body(request, self._max_body_bytes),
            resource_type=request.path_params.get("resource_type", ""),
            resource_id=request.path_params.get("id", ""),
            search=_search(request.url.query),
            if_none_exist=request.headers.get("If-None-Exist"),
            preconditions={
                name: ", ".join(request.headers.getlist(name)) for name in PRECONDITIONS if name in request.headers
            },
            dry_run=_is_dry_run(request.headers),
        )


def _search(query: str) -> str:
    # _format and _pretty concern the response, not the submission.
    return "&".join(part for part in query.split("&") if part and not part.startswith(("_format=", "_pretty=")))


def _claims_in_headers(headers: Headers) -> PublisherClaims:
    types = tuple(part.strip() for part in ",".join(headers.getlist("X-Complete-Types")).split(",") if part.strip())
    return PublisherClaims(
        headers.get("X-Source-System"),
        headers.get("X-Sequence"),
        types or None,
        replaced_system=headers.get("X-Replaces-System", ""),
    )


def _is_dry_run(headers: Headers) -> bool:
    value = headers.get("X-Dry-Run", "false").lower()
    if value not in ("true", "false"):
        raise Malformed("X-Dry-Run must be true or false. Send one of them, or leave it out.", code="value")
    return value == "true"


def _traceparent(headers: Headers) -> str:
    """Return the W3C trace context of the request, or an empty string when it is absent or not valid."""
    traceparent = headers.get("traceparent", "")
    return traceparent if _TRACEPARENT.fullmatch(traceparent) else ""


def routes(api: IntakeApi) -> list[Route]:
    """Return the routes. A conditional delete has a route too, so that its refusal can say why."""
    publish = api.publish
    all_routes = [
        Route("POST", "/fhir", publish, "transaction", "publish a Bundle", description=_POST_BUNDLE),
        Route("POST", "/fhir/{resource_type}", publish, "create", "publish one resource", description=_POST),
        Route(
            "PUT",
            "/fhir/{resource_type}",
            publish,
            "update",
            "publish one resource by its identifier",
            description=_PUT_BY_IDENTIFIER,
        ),
        Route(
            "PUT", "/fhir/{resource_type}/{id}", publish, "update", "publish one resource by its id", description=_PUT
        ),
        Route(
            "DELETE",
            "/fhir/{resource_type}",
            publish,
            "delete",
            "refused: name the resource to delete",
            description=_DELETE_MANY,
        ),
        Route("DELETE", "/fhir/{resource_type}/{id}", publish, "delete", "retract one resource", description=_DELETE),
    ]
    return [replace(route, publish_headers=True) for route in all_routes]
