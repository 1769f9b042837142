"""The outermost layers of every request: the uvicorn connection, and the middleware with log line and metric."""

from __future__ import annotations

import re
import time
import traceback
from http import HTTPStatus

import structlog
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from onestory.shared.errors import Issue
from onestory.shared.fhir.outcome import operation_outcome

CORRELATION_ID_HEADER = "X-Correlation-Id"

_UUID = re.compile(rb"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")

MAX_HEAD_BYTES = 1 << 20
"""Limit for the URL and the headers. The parser holds them in memory before the token is checked. Body bytes that
arrive in the same read count too. A real client needs far less."""

log = structlog.get_logger()

_duration = Histogram(
    "onestory_http_request_seconds",
    "Seconds from the request's headers to the last byte of the response.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)


class RequestMiddleware:
    """Handles the correlation id, writes one log line and one metric for each request, and hides tracebacks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(scope)
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # An answer from an HTTP cache would leave no access event.
                message["headers"].append((b"cache-control", b"private, no-cache"))
                message["headers"].append((CORRELATION_ID_HEADER.lower().encode(), correlation_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # The handler for Exception has already answered. The server would print an error that it sees.
            log.error("request_failed", error=type(error).__name__, at=_frames(error))
        finally:
            _log_request(scope, status, time.perf_counter() - started)


def _correlation_id(scope: Scope) -> str:
    # Accept a UUID only. The value goes into logs and events, and other text could hold a name or an NHS number.
    for name, value in scope["headers"]:
        if name == b"x-correlation-id" and _UUID.fullmatch(value):
            return str(value.decode())
    return str(uuid4())


def _frames(error: Exception) -> list[str]:
    # Code positions only: the message of an unexpected error may quote a record.
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    # The route's template, not the path, because a path holds ids of persons.
    template = getattr(scope.get("route"), "path", "unmatched")
    _duration.labels(scope["method"], template, status).observe(seconds)
    log.info("request", method=scope["method"], route=template, status=status, ms=round(seconds * 1000, 1))


class HttpConnection(HttpToolsProtocol):
    """A uvicorn connection that answers bad requests with an OperationOutcome and limits the size of the head."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "too-long",
                    "The URL and the headers are too long together. Send less than 1 MB.",
                )

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP. uvicorn calls this; its own answer would be plain text."""
        self._refuse(HTTPStatus.BAD_REQUEST, "structure", "The request is not valid HTTP.")

    def _refuse(self, status: HTTPStatus, code: str, diagnostics: str) -> None:
        body = operation_outcome([Issue(code, diagnostics)])
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/fhir+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
