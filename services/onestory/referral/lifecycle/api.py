"""The operations on a Task: `POST /fhir/Task/{id}/$accept` and its kind (http://hl7.org/fhir/R4/operations.html)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.clocks.domain import Clocks
from onestory.referral.directory.api import WHAT_IS
from onestory.referral.lifecycle import creation
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.creation import team_named
from onestory.referral.lifecycle.decide import TaskIds, decide
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.machine import NEEDS_REASON, Action, Command, Doing, ReferralChange, Side
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.request import OperationParameters, takes
from onestory.shared.errors import Forbidden, Issue, NotFound, Unprocessable
from onestory.shared.fhir.validate import check, check_contained, validate
from onestory.shared.http.app import Declined
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON, Answer, Body, Parameter, RouteDescription
from onestory.shared.http.request import LONGEST_KEY, MEDIA_TYPES, read_body


class Operate:
    """One operation. Answers the Task as it is then, with its ETag."""

    def __init__(
        self,
        action: Action,
        handler: ReferralHandler,
        trace: Trace,
        clocks: Clocks,
        task_ids: TaskIds,
        fhir: str,
        max_body_bytes: int,
    ) -> None:
        self._action = action
        self._handler = handler
        self._trace = trace
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known = lifecycle_request.if_match(request)
        body = await read_body(request, self._max_body_bytes, may_lack=True)
        asked, command = lifecycle_request.request(request, caller, body), await self._command(body)

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
            return self._decide(referral, command, sides, doing)

        task_id = request.path_params["id"]
        async with self._trace.stale(caller, task_id, f"${self._action}", asked.correlation_id):
            outcome = await self._handler.act(asked, task_id, known, deciding)
        await self._trace.again(caller, outcome, f"${self._action}", asked.correlation_id)
        return lifecycle_request.shown(outcome.task, self._fhir)

    async def _command(self, body: bytes) -> Command:
        said = OperationParameters(body, takes(self._action))
        named = said.reference("recipient")
        recipient = await self._handler.recipient(team_named([named[1]], named[0])) if named else None
        return Command(
            action=self._action,
            reason=said.reason(),
            business_status=said.word("businessStatus"),
            outputs=said.outputs(),
            recipient=recipient,
            until=said.moment("until", datetime.now(UTC)) or said.moment("start", datetime.now(UTC)),
        )


# `POST /fhir/ServiceRequest`: somebody is referred (http://hl7.org/fhir/R4/http.html#create).

_TYPE = "ServiceRequest"


class Create:
    """Answers 201 with the ServiceRequest, and 200 where the same key made it before."""

    def __init__(self, handler: ReferralHandler, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._handler = handler
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        body = await read_body(request, self._max_body_bytes)
        asked, asks = creation.asked(resource_in(body)), lifecycle_request.request(request, caller, body)
        outcome = await self._handler.create(asks, asked)
        await self._trace.again(caller, outcome, "create", asks.correlation_id)
        status = 200 if outcome.repeated else 201
        return lifecycle_request.shown(
            outcome.service_request, self._fhir, status, lifecycle_request.links(outcome, self._fhir)
        )


def resource_in(body: bytes) -> dict[str, object]:
    """The valid ServiceRequest in a body. Raises `Malformed` and `Unprocessable`."""
    issues = validate(body)
    resource = {} if issues else orjson.loads(body)
    if not issues and resource["resourceType"] != _TYPE:
        issues = [Issue("structure", f"Only a {_TYPE} is posted here.", str(resource["resourceType"]))]
    if not issues:
        issues = check(body, _TYPE, _TYPE)
    if not issues and "contained" in resource:
        issues = check_contained(orjson.dumps(resource["contained"]), _TYPE)
    if issues:
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    return dict(resource)


# `GET /fhir/Task/{id}`, `GET /fhir/ServiceRequest/{id}`: as they are at this moment, for who is party to the referral.
#
# Everybody else is answered by the record, under its own policy (http://hl7.org/fhir/R4/http.html#read).


class ReadReferral:
    """Reads one resource of a referral."""

    def __init__(self, resource_type: str, handler: ReferralHandler, trace: Trace, fhir: str) -> None:
        self._resource_type = resource_type
        self._handler = handler
        self._trace = trace
        self._fhir = fhir

    async def __call__(self, request: Request, caller: Caller) -> Response:
        if request.query_params.keys() - {"_format", "_pretty"}:
            raise Declined
        try:
            found = await self._handler.read(caller, request.path_params["id"])
        except (NotFound, Forbidden) as error:
            raise Declined from error
        if found.resource_type != self._resource_type:
            raise Declined
        await self._trace.read(caller, [found.shared_id], "read", self._resource_type, request.state.correlation_id)
        if request.headers.get("If-None-Match") == f'W/"{found.event_id}"':
            return Response(status_code=304, headers={"ETag": f'W/"{found.event_id}"'})
        return lifecycle_request.shown(found, self._fhir)


# What the routes of the referral API take and answer, as its description tells it.

_KEY = Parameter("Idempotency-Key", "header", f"1 to {LONGEST_KEY} printable ASCII characters. Repeating is harmless.")
_IF_MATCH = Parameter("If-Match", "header", "The ETag of the Task as the caller knows it.", required=True)
_TAGGED = {"ETag": "Its version.", "Last-Modified": "When it was changed.", "Content-Location": "Where it is."}
_UNKNOWN = Answer(503, "The outcome is unknown: repeat with the same key.", FHIR_JSON, "OperationOutcome")

CREATE = RouteDescription(
    "refer",
    [_KEY],
    Body(MEDIA_TYPES, "Resource", "A ServiceRequest whose performer is a team of the directory."),
    [
        Answer(
            201,
            "The referral as it was sent. Its Task, which the team works with, is in Link.",
            FHIR_JSON,
            "Resource",
            {**_TAGGED, "Location": "The ServiceRequest.", "Link": "The Task, as rel=related."},
        ),
        Answer(200, "The same key made it before: as it is now.", FHIR_JSON, "Resource", _TAGGED),
        _UNKNOWN,
    ],
)

_REFUSED = [
    Answer(412, "It was changed meanwhile: the Task as it is now is contained.", FHIR_JSON, "OperationOutcome"),
    Answer(428, "Send If-Match.", FHIR_JSON, "OperationOutcome"),
    _UNKNOWN,
]

MESSAGE = RouteDescription(
    "taskMessage",
    [_IF_MATCH, _KEY],
    Body(MEDIA_TYPES, "Parameters", "Parameters: category (question, answer or information), text, attachment, about."),
    [
        Answer(
            200,
            "The message, a Communication.",
            FHIR_JSON,
            "Resource",
            {**_TAGGED, "ETag": "The version of the Task as it is now: what the next operation sends in If-Match."},
        ),
        *_REFUSED,
    ],
)

MESSAGES = RouteDescription(
    "taskMessages",
    [
        Parameter("_count", "query", "At most so many messages on a page; 100 where nothing is said."),
        Parameter("_cursor", "query", "Where a page begins: taken from a next link as it is."),
    ],
    answers=[Answer(200, "The messages of the referral, in the order in which they were sent.", FHIR_JSON, "Resource")],
)

CONVERT = RouteDescription(
    "taskConvert",
    [_IF_MATCH, _KEY],
    Body(MEDIA_TYPES, "Parameters", "Parameters: recipient, priority. Nothing: to the team that was asked for advice."),
    [
        Answer(
            200,
            "The referral that the advice has become. Its Task, which the team works with, is in Link.",
            FHIR_JSON,
            "Resource",
            {**_TAGGED, "Location": "The ServiceRequest.", "Link": "The Task, as rel=related."},
        ),
        *_REFUSED,
    ],
)


TEAMS = RouteDescription(
    "findTeams",
    [Parameter(name, "query", says) for name, says in WHAT_IS.items()],
    answers=[Answer(200, "A page of teams, in the order of their names.", FHIR_JSON, "Bundle")],
)


def operation(action: Action) -> RouteDescription:
    """Of one operation of the state machine."""
    return change(action, takes(action), needs_reason=action in NEEDS_REASON)


def change(action: str, takes: Collection[str], *, needs_reason: bool = False) -> RouteDescription:
    """Of one operation on a Task, which takes these parameters."""
    says = f"Parameters: {', '.join(takes)}." if takes else "Nothing, or empty Parameters."
    if needs_reason:
        says += " reason is required."
    return RouteDescription(
        f"task{action.capitalize()}",
        [_IF_MATCH, _KEY],
        Body(MEDIA_TYPES, "Parameters", says),
        [
            Answer(200, "The Task as it is now.", FHIR_JSON, "Resource", _TAGGED),
            *_REFUSED,
        ],
    )


def read(resource_type: str) -> RouteDescription:
    """Of reading one resource of a referral."""
    return RouteDescription(
        f"read{resource_type}",
        [Parameter("If-None-Match", "header", "The ETag that the caller has: 304 while nothing has changed.")],
        answers=[Answer(200, "As it is now.", FHIR_JSON, "Resource", _TAGGED), Answer(304, "Nothing has changed.")],
    )
