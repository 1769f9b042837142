"""Routes of the conversation about a referral, and their OpenAPI text.

- `POST /fhir/Task/{id}/$message` sends a message.
- `GET /fhir/Task/{id}/$messages` reads all messages, page by page.
- `POST /fhir/Task/{id}/$convert` makes a referral of a request for advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.conversation.domain import (
    Category,
    ConversationMessage,
    attachment_bytes,
    refuse_too_large,
    refuse_too_long,
)
from onestory.referral.conversation.handler import ConversationHandler, ConversionHandler, MessagePage
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.api import CHANGE_REFUSALS, IDEMPOTENCY_KEY, IF_MATCH, RESOURCE_HEADERS
from onestory.referral.lifecycle.creation import parse_team_reference
from onestory.referral.lifecycle.model import Json
from onestory.referral.lifecycle.request import OperationParameters
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.definitions import resource_types
from onestory.shared.http.bodies import BodyReader
from onestory.shared.http.openapi import (
    FHIR_JSON,
    BodyDescription,
    Parameter,
    ResponseDescription,
    RouteDescription,
    count_schema,
)
from onestory.shared.http.request import MEDIA_TYPES
from onestory.shared.policy import Caller

MESSAGE_PARAMETERS = ("category", "text", "attachment", "about")
CONVERT_PARAMETERS = ("recipient", "priority")
MAX_PAGE_SIZE = 100
_CURSOR = "_cursor"
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_COMMUNICATION = "Communication"


class SendMessage:
    """Sends a message. Answers with the Communication; ETag is the Task's new version, for the next If-Match."""

    def __init__(self, conversation: ConversationHandler, audit: ReferralAudit, fhir: str, bodies: BodyReader) -> None:
        self._conversation = conversation
        self._audit = audit
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version = lifecycle_request.if_match(request)
        body = await self._bodies.read(request, caller)
        message = _parse_message(OperationParameters(body, MESSAGE_PARAMETERS))
        command_request, task_id = lifecycle_request.command_request(request, caller, body), request.path_params["id"]
        async with self._audit.record_refusal(caller, task_id, "$message", "Task", command_request.correlation_id):
            sent, outcome = await self._conversation.send(command_request, task_id, version, message)
        await self._audit.record_outcome(caller, outcome, "$message", command_request.correlation_id)
        headers = {"ETag": etag(outcome.referral.changed_by), **lifecycle_request.position_header(outcome)}
        if outcome.task.shared_id != task_id:
            # A question about a completed referral has made a request for advice.
            headers["Link"] = f'<{self._fhir}/Task/{outcome.task.shared_id}>; rel="related"'
        return lifecycle_request.resource_response(sent, self._fhir, headers=headers)


class ReadMessages:
    """Reads a page of messages. Answers with a Bundle of Communications, in the order in which they were sent."""

    def __init__(self, conversation: ConversationHandler, audit: ReferralAudit, fhir: str) -> None:
        self._conversation = conversation
        self._audit = audit
        self._fhir = fhir

    async def __call__(self, request: Request, caller: Caller) -> Response:
        task_id, (limit, after) = request.path_params["id"], _page_query(request)
        correlation_id = request.state.correlation_id
        async with self._audit.record_refusal(caller, task_id, "$messages", _COMMUNICATION, correlation_id):
            page = await self._conversation.page(caller, task_id, after, limit)
        await self._audit.record_read(caller, [task_id], "$messages", _COMMUNICATION, correlation_id)
        return Response(b"".join(self._bundle(page, task_id, limit, after)), 200, media_type=FHIR_JSON)

    def _bundle(self, page: MessagePage, task_id: str, limit: int, after: str) -> Iterator[bytes]:
        links = [{"relation": "self", "url": self._address(task_id, limit, after)}]
        if page.more:
            links.append({"relation": "next", "url": self._address(task_id, limit, page.messages[-1].shared_id)})
        front = {"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links}
        yield orjson.dumps(front)[:-1]
        for index, message in enumerate(page.messages):
            yield b',"entry":[' if index == 0 else b","
            url = orjson.dumps(f"{self._fhir}/{_COMMUNICATION}/{message.shared_id}")
            yield b'{"fullUrl":' + url + b',"resource":' + message.content + b',"search":{"mode":"match"}}'
        yield b"]}" if page.messages else b"}"

    def _address(self, task_id: str, limit: int, after: str) -> str:
        query = urlencode({"_count": limit, **({_CURSOR: after} if after else {})})
        return f"{self._fhir}/Task/{task_id}/$messages?{query}"


def _parse_message(parameters: OperationParameters) -> ConversationMessage:
    category, text = parameters.code("category"), parameters.text("text")
    if category not in list(Category):
        raise Unprocessable(
            "Send category: question (the other side has to reply), answer (to a question of the other side), or "
            "information (no reply is needed).",
            code="code-invalid" if category else "required",
            expression="Parameters.parameter.where(name='category')",
        )
    attachments = list(parameters.repeated("attachment", "Attachment"))
    refuse_too_large(sum(attachment_bytes(attachment, path) for path, attachment in attachments))
    refuse_too_long(text)
    payload: list[Json] = [{"contentString": text}] if text else []
    payload += [{"contentAttachment": attachment} for _, attachment in attachments]
    about = tuple(_require_known_type(path, reference) for path, reference in parameters.repeated("about", "Reference"))
    if not payload and not about:
        raise Unprocessable(
            "The message is empty: send text, attachment or about.",
            code="required",
            expression="Parameters.parameter.where(name='text')",
        )
    return ConversationMessage(Category(category), tuple(payload), about)


def _require_known_type(path: str, reference: Json) -> Json:
    """The Reference, if it names a FHIR resource type: the record refuses any other."""
    if str(reference.get("reference", "")).partition("/")[0] not in resource_types():
        raise Unprocessable(
            "Send a Reference to a resource on this person's record, such as Observation/<id>.",
            code="value",
            expression=path,
        )
    return reference


def _page_query(request: Request) -> tuple[int, str]:
    """`_count` and `_cursor` of a request; the cursor is empty for the first page."""
    query = dict(request.query_params)
    if query.keys() - {"_count", _CURSOR, "_format"}:
        raise Malformed("$messages takes _count and _cursor.", code="not-supported")
    count, after = query.get("_count", str(MAX_PAGE_SIZE)), query.get(_CURSOR, "")
    if not _COUNT.fullmatch(count):
        raise Malformed("_count must be a whole number from 1.", code="value")
    return min(int(count), MAX_PAGE_SIZE), after


class ConvertAdvice:
    """Makes a referral of advice. Answers with its ServiceRequest; Link has the address of its Task."""

    def __init__(self, conversions: ConversionHandler, audit: ReferralAudit, fhir: str, bodies: BodyReader) -> None:
        self._conversions = conversions
        self._audit = audit
        self._fhir = fhir
        self._bodies = bodies

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version = lifecycle_request.if_match(request)
        body = await self._bodies.read(request, caller, optional=True)
        parameters = OperationParameters(body, CONVERT_PARAMETERS)
        located = parameters.reference("recipient")
        team = parse_team_reference([located[1]], located[0]) if located else None
        command_request, task_id = lifecycle_request.command_request(request, caller, body), request.path_params["id"]
        async with self._audit.record_refusal(caller, task_id, "$convert", "Task", command_request.correlation_id):
            outcome = await self._conversions.convert(
                command_request, task_id, version, team, parameters.code("priority")
            )
        await self._audit.record_outcome(caller, outcome, "$convert", command_request.correlation_id)
        return lifecycle_request.resource_response(
            outcome.service_request, self._fhir, headers=lifecycle_request.creation_headers([outcome], self._fhir)
        )


MESSAGE_DESCRIPTION = RouteDescription(
    "taskMessage",
    [IF_MATCH, IDEMPOTENCY_KEY],
    BodyDescription(
        MEDIA_TYPES, "Parameters", "Parameters: category (question, answer or information), text, attachment, about."
    ),
    [
        ResponseDescription(
            200,
            "The message, a Communication.",
            FHIR_JSON,
            "Resource",
            {
                **RESOURCE_HEADERS,
                "ETag": "The current version of the Task, for If-Match of the next operation.",
            },
        ),
        *CHANGE_REFUSALS,
    ],
)

MESSAGES_DESCRIPTION = RouteDescription(
    "taskMessages",
    [
        Parameter("_count", "query", "Messages on a page.", limits=count_schema(1, MAX_PAGE_SIZE, MAX_PAGE_SIZE)),
        Parameter("_cursor", "query", "The cursor of a page, from a next link."),
    ],
    responses=[
        ResponseDescription(
            200, "The messages of the referral, in the order in which they were sent.", FHIR_JSON, "Resource"
        )
    ],
)

CONVERT_DESCRIPTION = RouteDescription(
    "taskConvert",
    [IF_MATCH, IDEMPOTENCY_KEY],
    BodyDescription(
        MEDIA_TYPES,
        "Parameters",
        "Parameters: recipient, priority. Without a body it goes to the team that was asked for advice.",
    ),
    [
        ResponseDescription(
            200,
            "The referral that the advice has become. Its Task, which the team works with, is in Link.",
            FHIR_JSON,
            "Resource",
            {**RESOURCE_HEADERS, "Location": "The ServiceRequest.", "Link": "The Task, as rel=related."},
        ),
        *CHANGE_REFUSALS,
    ],
)
