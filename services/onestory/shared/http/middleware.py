"""The outermost layer of every request: correlation id, one log line, one metric."""

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
from onestory.shared.fhir.outcome import outcome

CORRELATION_ID = "X-Correlation-Id"

_UUID = re.compile(rb"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")

log = structlog.get_logger()

_duration = Histogram(
    "onestory_http_request_seconds",
    "Time from the request's headers to the answer's last byte.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)


class RequestMiddleware:
    """Correlation id in and out, one log line and one metric a request, and no traceback out."""

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
                # An answer that a cache gives again has no trace.
                message["headers"].append((b"cache-control", b"private, no-cache"))
                message["headers"].append((CORRELATION_ID.lower().encode(), correlation_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # The answer has gone out by the handler for Exception; a server that sees the error would print it.
            log.error("request_failed", error=type(error).__name__, at=_frames(error))
        finally:
            _record(scope, status, time.perf_counter() - started)


def _correlation_id(scope: Scope) -> str:
    # Only what cannot hold a name or an NHS number: it goes into logs and events.
    for name, value in scope["headers"]:
        if name == b"x-correlation-id" and _UUID.fullmatch(value):
            return str(value.decode())
    return str(uuid4())


def _frames(error: Exception) -> list[str]:
    # Where, and never what: the message of an unexpected error may quote a record.
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]


def _record(scope: Scope, status: int, seconds: float) -> None:
    # The route's template, never the path: a path holds ids of people.
    template = getattr(scope.get("route"), "path", "unmatched")
    _duration.labels(scope["method"], template, status).observe(seconds)
    log.info("request", method=scope["method"], route=template, status=status, ms=round(seconds * 1000, 1))


# HTTP connections: uvicorn's, which refuse as FHIR does, and hold no more of a request's head than anybody needs.

MOST_HEAD_BYTES = 1 << 20
"""The parser gathers a head before anybody is asked for a token, so that it may not be endless. What came with it in
the same read counts too: far fewer bytes would do for the longest head of a well-meaning client."""


class Connection(HttpToolsProtocol):
    """One connection."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(
                    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too-long", "The URL or the headers are too long."
                )

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for what is no HTTP. Its own words would be text."""
        self._refuse(HTTPStatus.BAD_REQUEST, "structure", "This is no HTTP request that can be read.")

    def _refuse(self, status: HTTPStatus, code: str, diagnostics: str) -> None:
        said = outcome([Issue(code, diagnostics)])
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/fhir+json\r\n"
            f"content-length: {len(said)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + said)
        self.transport.close()
