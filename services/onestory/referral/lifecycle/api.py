"""Routes that create, change and read a referral, and their OpenAPI text.

- `POST /fhir/ServiceRequest` creates a referral (http://hl7.org/fhir/R4/http.html#create).
- `POST /fhir/Task/{id}/$accept`, and one such operation for each `Action`, changes it
  (http://hl7.org/fhir/R4/operations.html).
- `GET /fhir/Task/{id}` and `GET /fhir/ServiceRequest/{id}` read it (http://hl7.org/fhir/R4/http.html#read).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.clocks.domain import Clocks
from onestory.referral.directory.api import MAX_PAGE_SIZE, TEAM_PARAMETERS
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.creation import parse_service_requests, parse_team_reference
from onestory.referral.lifecycle.decide import TaskIds, decide
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.machine import NEEDS_REASON
from onestory.referral.lifecycle.model import Action, ChangeContext, Command, Referral, ReferralChange, Side
from onestory.referral.lifecycle.request import OperationParameters, accepted_parameters
from onestory.shared.errors import Forbidden, Issue, NotFound, Unprocessable
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.validate import check_contained, check_resource, validate
from onestory.shared.http.app import TryNextRoute
from onestory.shared.http.bodies import BodyReader
from onestory.shared.http.openapi import (
    FHIR_JSON,
    BodyDescription,
    Parameter,
    ResponseDescription,
    RouteDescription,
    count_schema,
)
from onestory.shared.http.request import MAX_IDEMPOTENCY_KEY_LENGTH, MEDIA_TYPES, has_version
from onestory.shared.policy import Caller

_SERVICE_REQUEST = "ServiceRequest"


class CreateReferral:
    """Creates a referral, and answers with its ServiceRequest: 201, or 200 for a repetition with the same key."""

    def __init__(self, handler: ReferralHandler, audit: ReferralAudit, fhir: str, bodies: BodyReader) -> None:
        self._handler = handler
        self._audit = audit
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        body = await self._bodies.read(request, caller)
        requests = parse_service_requests(parse_body(body), base_url=self._fhir)
        command_request = lifecycle_request.command_request(request, caller, body)
        outcomes = await self._handler.create_for_teams(command_request, requests)
        outcome = outcomes[0]
        if outcome.repeated:
            await self._audit.record_outcome(caller, outcome, "create", command_request.correlation_id)
        status = 200 if outcome.repeated else 201
        return lifecycle_request.resource_response(
            outcome.service_request, self._fhir, status, lifecycle_request.creation_headers(outcomes, self._fhir)
        )


def parse_body(body: bytes) -> dict[str, object]:
    """The valid ServiceRequest in a body. Raises `Malformed` and `Unprocessable`."""
    issues = validate(body)
    resource = {} if issues else orjson.loads(body)
    if not issues and resource["resourceType"] != _SERVICE_REQUEST:
        issues = [Issue("structure", f"Send a {_SERVICE_REQUEST} here.", str(resource["resourceType"]))]
    if not issues:
        issues = check_resource(body, _SERVICE_REQUEST, _SERVICE_REQUEST)
    if not issues and "contained" in resource:
        issues = check_contained(orjson.dumps(resource["contained"]), _SERVICE_REQUEST)
    if issues:
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    return dict(resource)


class TaskOperation:
    """The FHIR operation of one action. Answers with the Task after it, and its ETag."""

    def __init__(
        self,
        action: Action,
        handler: ReferralHandler,
        audit: ReferralAudit,
        clocks: Clocks,
        task_ids: TaskIds,
        fhir: str,
        bodies: BodyReader,
    ) -> None:
        self._action = action
        self._handler = handler
        self._audit = audit
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version = lifecycle_request.if_match(request)
        body = await self._bodies.read(request, caller, optional=True)
        command_request, command = lifecycle_request.command_request(request, caller, body), await self._command(body)

        def decide_command(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            return self._decide(referral, command, sides, context)

        task_id = request.path_params["id"]
        async with self._audit.record_refusal(
            caller, task_id, f"${self._action}", "Task", command_request.correlation_id
        ):
            outcome = await self._handler.change(command_request, task_id, version, decide_command)
        await self._audit.record_outcome(caller, outcome, f"${self._action}", command_request.correlation_id)
        headers = lifecycle_request.position_header(outcome)
        return lifecycle_request.resource_response(outcome.task, self._fhir, headers=headers)

    async def _command(self, body: bytes) -> Command:
        parameters = OperationParameters(body, accepted_parameters(self._action))
        recipient = None
        if located := parameters.reference("recipient"):
            path, reference = located
            recipient = await self._handler.find_recipient(parse_team_reference([reference], path))
        now = datetime.now(UTC)
        return Command(
            action=self._action,
            reason=parameters.reason(),
            business_status=parameters.code("businessStatus"),
            outputs=parameters.outputs(),
            recipient=recipient,
            until=parameters.instant("until", now),
            starts_at=parameters.instant("start", now),
            appointment_id=parameters.code("appointment"),
            appointments=parameters.code("appointments"),
        )


class ReadReferral:
    """Reads the current version of one resource of a referral, for a party to it.

    Any other caller is answered by the record, under its own policy.
    """

    def __init__(self, resource_type: str, handler: ReferralHandler, audit: ReferralAudit, fhir: str) -> None:
        self._resource_type = resource_type
        self._handler = handler
        self._audit = audit
        self._fhir = fhir

    async def __call__(self, request: Request, caller: Caller) -> Response:
        if request.query_params.keys() - {"_format", "_pretty"}:
            raise TryNextRoute
        try:
            resource = await self._handler.read(caller, request.path_params["id"])
        except (NotFound, Forbidden) as error:
            raise TryNextRoute from error
        if resource.resource_type != self._resource_type:
            raise TryNextRoute
        await self._audit.record_read(
            caller, [resource.shared_id], "read", self._resource_type, request.state.correlation_id
        )
        if has_version(request, etag(resource.event_id)):
            return Response(status_code=304, headers={"ETag": etag(resource.event_id)})
        return lifecycle_request.resource_response(resource, self._fhir)


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    f"1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters. A repetition with the same key changes nothing.",
)
IF_MATCH = Parameter("If-Match", "header", "The ETag of the Task that the caller read.", required=True)
POSITION = {"X-OneStory-Position": "The position token: a read of the record with `?after=` waits until it sees it."}
RESOURCE_HEADERS = {
    "ETag": "The version.",
    "Last-Modified": "The time of the change.",
    "Content-Location": "The address.",
}
_OUTCOME_UNKNOWN = ResponseDescription(
    503, "The outcome is unknown: repeat with the same key.", FHIR_JSON, "OperationOutcome"
)

CREATE = RouteDescription(
    "refer",
    [IDEMPOTENCY_KEY],
    BodyDescription(MEDIA_TYPES, "Resource", "A ServiceRequest whose performer is a team of the directory."),
    [
        ResponseDescription(
            201,
            "The referral as it was sent. Its Task, which the team works with, is in Link; one for each team asked.",
            FHIR_JSON,
            "Resource",
            {
                **RESOURCE_HEADERS,
                "Location": "The ServiceRequest.",
                "Link": "The Task, as rel=related.",
                "Warning": "What to know.",
                **POSITION,
            },
        ),
        ResponseDescription(
            200,
            "An earlier request with this key created it: its current version.",
            FHIR_JSON,
            "Resource",
            RESOURCE_HEADERS,
        ),
        _OUTCOME_UNKNOWN,
    ],
)

CHANGE_REFUSALS = [
    ResponseDescription(
        412, "The referral has changed meanwhile: the current Task is contained.", FHIR_JSON, "OperationOutcome"
    ),
    ResponseDescription(428, "Send If-Match.", FHIR_JSON, "OperationOutcome"),
    _OUTCOME_UNKNOWN,
]

_TEAM_LIMITS = {
    "_count": count_schema(1, MAX_PAGE_SIZE, MAX_PAGE_SIZE),
    "active": {"type": "string", "enum": ["true", "false"]},
}
TEAMS = RouteDescription(
    "findTeams",
    [
        Parameter(name, "query", description, limits=_TEAM_LIMITS.get(name))
        for name, description in TEAM_PARAMETERS.items()
    ],
    responses=[ResponseDescription(200, "A page of teams, in the order of their names.", FHIR_JSON, "Bundle")],
)


def describe_action(action: Action) -> RouteDescription:
    """OpenAPI text of the operation of one action."""
    return describe_task_operation(action, accepted_parameters(action), needs_reason=action in NEEDS_REASON)


def describe_task_operation(
    action: str, parameters: Collection[str], *, needs_reason: bool = False
) -> RouteDescription:
    """OpenAPI text of an operation on a Task that accepts these parameters."""
    body = f"Parameters: {', '.join(parameters)}." if parameters else "No body, or empty Parameters."
    if needs_reason:
        body += " reason is required."
    return RouteDescription(
        f"task{action.capitalize()}",
        [IF_MATCH, IDEMPOTENCY_KEY],
        BodyDescription(MEDIA_TYPES, "Parameters", body),
        [
            ResponseDescription(200, "The current Task.", FHIR_JSON, "Resource", {**RESOURCE_HEADERS, **POSITION}),
            *CHANGE_REFUSALS,
        ],
    )


def describe_read(resource_type: str) -> RouteDescription:
    """OpenAPI text of a read of one resource of a referral."""
    return RouteDescription(
        f"read{resource_type}",
        [
            Parameter(
                "If-None-Match",
                "header",
                "The ETag of the version that the caller has: the answer is 304 while it is current.",
            )
        ],
        responses=[
            ResponseDescription(200, "The current version.", FHIR_JSON, "Resource", RESOURCE_HEADERS),
            ResponseDescription(304, "Nothing has changed."),
        ],
    )
