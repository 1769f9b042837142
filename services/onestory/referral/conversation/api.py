"""`POST /fhir/Task/{id}/$message`, `GET /fhir/Task/{id}/$messages`: what the sides of a referral say to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.conversation import domain as conversation_domain
from onestory.referral.conversation.domain import Category, ConversationMessage
from onestory.referral.conversation.handler import Conversation, Conversions, MessagePage
from onestory.referral.lifecycle import request as lifecycle_request
from onestory.referral.lifecycle.creation import team_named
from onestory.referral.lifecycle.model import Json
from onestory.referral.lifecycle.request import OperationParameters
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.definitions import resource_types
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.request import read_body

MESSAGE = ("category", "text", "attachment", "about")
"""The parameters of `$message`."""
MOST = 100
"""Messages on one page."""
_CURSOR = "_cursor"
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_COMMUNICATION = "Communication"


class Say:
    """Answers the Communication. Its ETag is that of the Task as it is then: what the next If-Match takes."""

    def __init__(self, conversation: Conversation, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._conversation = conversation
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known = lifecycle_request.if_match(request)
        body = await read_body(request, self._max_body_bytes)
        said = _message(OperationParameters(body, MESSAGE))
        asked, task_id = lifecycle_request.request(request, caller, body), request.path_params["id"]
        async with self._trace.stale(caller, task_id, "$message", asked.correlation_id):
            sent, outcome = await self._conversation.send(asked, task_id, known, said)
        await self._trace.again(caller, outcome, "$message", asked.correlation_id)
        return lifecycle_request.shown(sent, self._fhir, headers={"ETag": f'W/"{outcome.referral.changed_by}"'})


class ReadMessages:
    """Answers a Bundle of Communications, in the order in which they were sent."""

    def __init__(self, conversation: Conversation, trace: Trace, fhir: str) -> None:
        self._conversation = conversation
        self._trace = trace
        self._fhir = fhir

    async def __call__(self, request: Request, caller: Caller) -> Response:
        task_id, (most, after) = request.path_params["id"], _asked_page(request)
        page = await self._conversation.page(caller, task_id, after, most)
        await self._trace.read(caller, [task_id], "$messages", _COMMUNICATION, request.state.correlation_id)
        return Response(b"".join(self._bundle(page, task_id, most, after)), 200, media_type=FHIR_JSON)

    def _bundle(self, page: MessagePage, task_id: str, most: int, after: str) -> Iterator[bytes]:
        links = [{"relation": "self", "url": self._address(task_id, most, after)}]
        if page.more:
            links.append({"relation": "next", "url": self._address(task_id, most, page.messages[-1].shared_id)})
        front = {"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links}
        yield orjson.dumps(front)[:-1]
        for place, each in enumerate(page.messages):
            yield b',"entry":[' if place == 0 else b","
            url = orjson.dumps(f"{self._fhir}/{_COMMUNICATION}/{each.shared_id}")
            yield b'{"fullUrl":' + url + b',"resource":' + each.content + b',"search":{"mode":"match"}}'
        yield b"]}" if page.messages else b"}"

    def _address(self, task_id: str, most: int, after: str) -> str:
        query = urlencode({"_count": most, **({_CURSOR: after} if after else {})})
        return f"{self._fhir}/Task/{task_id}/$messages?{query}"


def _message(said: OperationParameters) -> ConversationMessage:
    word, text = said.word("category"), said.text("text")
    if word not in list(Category):
        raise Unprocessable(
            "Say what it is: category question (the other side has to reply), answer (to what was asked of you), or "
            "information (nobody has to act).",
            code="code-invalid" if word else "required",
            expression="Parameters.parameter.where(name='category')",
        )
    attachments = list(said.every("attachment", "Attachment"))
    conversation_domain.refuse_too_large(
        sum(conversation_domain.refuse_unfit(each, path) for path, each in attachments)
    )
    conversation_domain.refuse_too_long(text)
    payload: list[Json] = [{"contentString": text}] if text else []
    payload += [{"contentAttachment": each} for _, each in attachments]
    about = tuple(_known(path, each) for path, each in said.every("about", "Reference"))
    if not payload and not about:
        raise Unprocessable(
            "There is nothing in this message: send text, an attachment, or what on the record it is about.",
            code="required",
            expression="Parameters.parameter.where(name='text')",
        )
    return ConversationMessage(Category(word), tuple(payload), about)


def _known(path: str, reference: Json) -> Json:
    """A Reference to a type that FHIR has: the record refuses any other."""
    if str(reference.get("reference", "")).partition("/")[0] not in resource_types():
        raise Unprocessable(
            "Name something on this person's record as it is read here, such as Observation/<id>.",
            code="value",
            expression=path,
        )
    return reference


def _asked_page(request: Request) -> tuple[int, str]:
    asked = dict(request.query_params)
    if asked.keys() - {"_count", _CURSOR, "_format"}:
        raise Malformed("$messages takes _count and _cursor.", code="not-supported")
    count, after = asked.get("_count", str(MOST)), asked.get(_CURSOR, "")
    if not _COUNT.fullmatch(count):
        raise Malformed("_count is a number from 1.", code="value")
    return min(int(count), MOST), after


# `POST /fhir/Task/{id}/$convert`: advice becomes a referral.

CONVERT = ("recipient", "priority")
"""The parameters of `$convert`."""


class Convert:
    """Answers the ServiceRequest of the referral, with its ETag, and where its Task is."""

    def __init__(self, conversions: Conversions, trace: Trace, fhir: str, max_body_bytes: int) -> None:
        self._conversions = conversions
        self._trace = trace
        self._fhir = fhir
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request, caller: Caller) -> Response:
        known = lifecycle_request.if_match(request)
        body = await read_body(request, self._max_body_bytes, may_lack=True)
        said = OperationParameters(body, CONVERT)
        named = said.reference("recipient")
        team = team_named([named[1]], named[0]) if named else None
        asked, task_id = lifecycle_request.request(request, caller, body), request.path_params["id"]
        async with self._trace.stale(caller, task_id, "$convert", asked.correlation_id):
            made = await self._conversions.convert(asked, task_id, known, team, said.word("priority"))
        await self._trace.again(caller, made, "$convert", asked.correlation_id)
        return lifecycle_request.shown(
            made.service_request, self._fhir, headers=lifecycle_request.links(made, self._fhir)
        )
