"""A uvicorn connection with limits: bytes and time of the head, time of the body, and answers that are not read."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from onestory.shared.errors import Issue
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.http.limits import ConnectionTable, Owner, count_limited, owner_of_address

LEAST_READ_BYTES = 65_536
"""A client must read so much of a waiting answer within the write time-out."""
_MAX_PIPELINED = 50
_HEADER_SEPARATORS = len(": \r\n")
_NO_LINGER = struct.pack("ii", 1, 0)
_LINGER_S = 2.0
"""A refused client may send for so long before it is disconnected, so that it reads the refusal."""


class HttpConnection(HttpToolsProtocol):
    """Answers bad requests with an OperationOutcome, and keeps the limits of a `ConnectionTable`.

    Bodies that a route reads have their time-out in `RequestMiddleware`, so that its answer is logged as any other.
    """

    def __init__(self, *arguments: Any, table: ConnectionTable, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._table = table
        self._limits = table.settings
        self.owner: Owner = ()
        self.unread = 0
        # The part of a request that is being read: "head", "body", or "" between requests.
        self._reading = ""
        self._reading_since = 0.0
        self._head_bytes = 0
        self._unparsed_head_bytes = 0
        self._is_head_too_large = False
        self._is_message_complete = False
        self._is_refused = False
        # The unread bytes at the last check of a client that reads slowly.
        self._unread_before = 0
        self._unread_since = 0.0
        self._closing_since = 0.0

    @property
    def is_waiting(self) -> bool:
        """Whether no request is being answered: the connection waits for one, or for the rest of its head."""
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline and not self.unread

    @property
    def is_disconnected(self) -> bool:
        """Whether the client can read no answer any more."""
        return self.transport.is_closing()

    def identify(self, owner: Owner) -> None:
        """Count this connection for the caller of a verified token. Raises `TooManyRequests`."""
        self._table.identify(self, owner)

    def require_room(self, size: int) -> None:
        """Check that an answer of `size` bytes may wait in memory. Raises `TooManyRequests` or `Unavailable`."""
        self._table.unread.require(self.owner, size)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.owner = owner_of_address(self.client[0] if self.client else "")
        self._begin("head")
        if not self._table.add(self):
            count_limited("connections")
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "throttled", "The server has too many connections. Try again.")
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        super().connection_lost(exc)

    def abort(self, limit: str) -> None:
        """Disconnect at once, without the rest of an answer."""
        count_limited(limit)
        self._disconnect()

    def _disconnect(self) -> None:
        self._table.remove(self)
        if self.cycle is not None:
            self.cycle.disconnected = True  # the application may write before the event loop reports the end
        if connected := self.transport.get_extra_info("socket"):
            # The system forgets the unread bytes too, and the client sees at once that the connection has ended.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _begin(self, part: str) -> None:
        self._reading, self._reading_since = part, self.loop.time()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if not self._reading:  # blank lines before a request count too
            self._begin("head")
        self._is_message_complete = False
        super().data_received(data)
        if self._reading == "head" and not self._is_message_complete and not self._is_refused:
            self._unparsed_head_bytes += len(data)
            if self._unparsed_head_bytes > self._limits.max_head_bytes:
                self._refuse_head()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("too many requests before the first answer")
        if self._reading != "head":
            self._begin("head")
        self._head_bytes = 0
        super().on_message_begin()
        self.scope["state"]["connection"] = self

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers after a chunked body come here too.
        self._count_head(len(name) + len(value) + _HEADER_SEPARATORS)
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.max_head_bytes:
            self._is_head_too_large = True
            raise ValueError("the head is too large")

    def on_headers_complete(self) -> None:
        self._begin("body")
        self._unparsed_head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._begin("")
        self._is_message_complete = True
        super().on_message_complete()

    # Writing

    def pause_writing(self) -> None:
        """The client does not read as fast as the answer is written."""
        super().pause_writing()
        self._unread_since = self.loop.time()
        self._unread_before = self.transport.get_write_buffer_size()
        self._table.set_unread(self, self._unread_before)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._table.set_unread(self, 0)

    # Time limits

    def check(self, now: float) -> None:
        """Disconnect a client that has taken too long. `now` is the time of the event loop."""
        if self.unread:
            self._check_reader(now)
        elif self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > self._limits.write_timeout_s:
                self.abort("write-timeout")
        elif not self.is_waiting or self._is_refused:
            return
        elif self._reading == "head" and now - self._reading_since > self._limits.head_timeout_s:
            self._end_head()
        elif self._reading == "body" and now - self._reading_since > self._limits.body_timeout_s:
            self.abort("body-timeout")  # the answer was sent before the end of the body
        elif self._is_idle_without_timer() and now - self._reading_since > self._limits.keep_alive_s:
            self.transport.close()

    def _is_idle_without_timer(self) -> bool:
        # uvicorn starts no timer when the body ends after its answer.
        return not self._reading and self.timeout_keep_alive_task is None

    def _check_reader(self, now: float) -> None:
        size = self.transport.get_write_buffer_size()
        self._table.set_unread(self, size)
        if now - self._unread_since > self._limits.write_timeout_s:
            if self._unread_before - size < LEAST_READ_BYTES:
                self.abort("write-timeout")
            self._unread_since, self._unread_before = now, size

    def _end_head(self) -> None:
        count_limited("head-timeout")
        if not self._unparsed_head_bytes:
            self.transport.close()
            return
        self._refuse(
            HTTPStatus.REQUEST_TIMEOUT, "timeout", "The URL and the headers did not arrive in time. Send them again."
        )

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP. uvicorn calls this; its own answer would be plain text."""
        if self._is_head_too_large:
            self._refuse_head()
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "structure", "The request is not valid HTTP.")

    def _refuse_head(self) -> None:
        count_limited("head-bytes")
        self._refuse(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too-long",
            f"The URL and the headers are too long together. Send at most {self._limits.max_head_bytes} bytes.",
        )

    def _refuse(self, status: HTTPStatus, code: str, diagnostics: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            if self._reading != "body" or self.cycle.response_started or self.pipeline:
                # An earlier request is being answered, so this refusal cannot be told apart from its answer.
                self._disconnect()
                return
            # The body of this request is no HTTP. The application gets no more of it, and its answer is not sent.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = operation_outcome([Issue(code, diagnostics)])
        retry = "retry-after: 2\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/fhir+json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\ncache-control: no-store\r\n{retry}connection: close\r\n\r\n"
        )
        self._is_refused = True
        self.transport.write(head.encode() + body)
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)
