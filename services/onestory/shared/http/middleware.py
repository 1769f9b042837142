"""The outermost layer of every request: common headers, limits of body and answer, one log line and one metric."""

from __future__ import annotations

import asyncio
import re
import time
import traceback
from collections.abc import Mapping
from typing import Any

import structlog
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from onestory.shared.errors import OneStoryError, TimedOut
from onestory.shared.http.connection import LEAST_READ_BYTES, HttpConnection
from onestory.shared.http.error_response import error_response
from onestory.shared.http.limits import ByteBudget, count_limited
from onestory.shared.http.media_types import FHIR_JSON, JSON
from onestory.shared.http.settings import HttpSettings

CORRELATION_ID_HEADER = "X-Correlation-Id"
_UUID = re.compile(rb"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")
# FHIR R4 http.html#mime-type: the character encoding of an answer is always stated.
_WITH_CHARSET = {each.encode(): f"{each}; charset=utf-8".encode() for each in (FHIR_JSON, JSON)}

log = structlog.get_logger()

_duration = Histogram(
    "onestory_http_request_seconds",
    "Seconds from the request's headers to the last byte of the response.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)


class RequestMiddleware:
    """Handles what all requests share: correlation id, log line, metric, limits of bodies and answers, and headers.

    One slash at the end of a path is ignored, because FHIR clients send `[base]` with and without it.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._body_timeout_s = settings.body_timeout_s
        self._bodies = ByteBudget(
            "body-bytes",
            "Too many bytes of your requests are in memory.",
            settings.max_body_memory_per_caller,
            settings.max_body_memory,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(scope)
        state = scope.setdefault("state", {})
        state["correlation_id"], state["request_id"] = correlation_id, _uuid_header(scope, b"x-request-id")
        state["bodies"] = self._bodies
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        if scope["path"].endswith("/") and scope["path"] != "/":
            scope["path"] = scope["path"][:-1]
        started = time.perf_counter()
        answer = _Answer(send, state)
        try:
            await self._app(scope, _BodyReader(receive, self._body_timeout_s).receive, answer.send)
        except Exception as error:
            # The handler for Exception has already answered. The server would print an error that it sees.
            log.error("request_failed", error=type(error).__name__, at=_frames(error))
        finally:
            if held := state.get("held_body"):
                held.release()
            _log_request(scope, answer.status, time.perf_counter() - started)


class _BodyReader:
    """Reads the messages of a request body within a time limit. Raises `TimedOut`."""

    def __init__(self, receive: Receive, timeout_s: float) -> None:
        self._receive = receive
        self._timeout_s = timeout_s
        self._deadline = 0.0
        self._is_complete = False

    async def receive(self) -> Message:
        if self._is_complete:  # then this waits until the client disconnects
            return await self._receive()
        self._deadline = self._deadline or asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            count_limited("body-timeout")
            error = TimedOut(f"The body did not arrive within {self._timeout_s:g} s. Nothing was done. Send it again.")
            error.headers["Connection"] = "close"
            raise error from None
        self._is_complete = not message.get("more_body", False)
        return message


class _Answer:
    """Sends an answer with the headers that all answers have, or a refusal if its bytes do not fit in memory."""

    def __init__(self, send: Send, state: Mapping[str, Any]) -> None:
        self._send = send
        self._state = state
        self._is_replaced = False
        self.status = 0

    async def send(self, message: Message) -> None:
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            size = self._complete_headers(message["headers"])
            connection: HttpConnection | None = self._state.get("connection")
            if size > LEAST_READ_BYTES and connection is not None:
                try:
                    connection.require_room(size)
                except OneStoryError as error:
                    await self._replace(error)
                    return
            self.status = message["status"]
        await self._send(message)

    async def _replace(self, error: OneStoryError) -> None:
        self._is_replaced = True
        response = error_response(error, self._state.get("outcome_writer"))
        self._complete_headers(response.raw_headers)
        self.status = response.status_code
        await self._send(
            {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
        )
        await self._send({"type": "http.response.body", "body": response.body, "more_body": False})

    def _complete_headers(self, headers: list[tuple[bytes, bytes]]) -> int:
        """Add the common headers, and return Content-Length, or 0 without one."""
        size, cache_control = 0, False
        for place, (name, value) in enumerate(headers):
            if name == b"content-type":
                headers[place] = (name, _WITH_CHARSET.get(value, value))
            elif name == b"content-length":
                size = int(value)
            elif name == b"cache-control":
                cache_control = True
        if not cache_control:
            # An answer from a cache would leave no access event, and it would show a record to others.
            headers.append((b"cache-control", b"no-store"))
        headers.append((b"x-correlation-id", self._state["correlation_id"].encode()))
        if request_id := self._state["request_id"]:
            # A sender of BaRS that misses it sends its request again.
            headers.append((b"x-request-id", request_id.encode()))
        return size


def _correlation_id(scope: Scope) -> str:
    return _uuid_header(scope, b"x-correlation-id") or str(uuid4())


def _uuid_header(scope: Scope, wanted: bytes) -> str:
    """The UUID in a header; empty without one.

    Other text is not accepted: the value goes into logs, events and answers, and could hold a name or an NHS number.
    """
    values = (value for name, value in scope["headers"] if name == wanted and _UUID.fullmatch(value))
    return next(values, b"").decode()


def _frames(error: Exception) -> list[str]:
    # Code positions only: the message of an unexpected error may quote a record.
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    # The route's template, not the path, because a path holds ids of persons.
    template = getattr(scope.get("route"), "path", "unmatched")
    _duration.labels(scope["method"], template, status).observe(seconds)
    log.info("request", method=scope["method"], route=template, status=status, ms=round(seconds * 1000, 1))
