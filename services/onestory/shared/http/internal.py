"""Reads that one request sends to the routes of its own process, such as the GET entries of a batch.

Each passes through the whole application: authentication, policy, access event, log line and metric. So a read inside a
batch is treated as the same read alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message

from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.turns import Turns

_TIMEOUT_S = 30.0
_AT_ONCE = 4
"""So many reads of one caller are in progress at a time, in all its batches together."""


class InternalRead(NamedTuple):
    """A GET of this server: the path with its query, below the root, and If-None-Match or an empty text."""

    target: str
    if_none_match: str


@dataclass(frozen=True, slots=True)
class InternalAnswer:
    """The answer to a read."""

    status: int
    headers: Headers
    body: bytes


class InternalRequests:
    """Sends reads to the application of this process. `serve` sets `app` before the process takes requests."""

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self._turns = Turns(_AT_ONCE)

    async def answers(self, reads: Sequence[InternalRead], request: Request, max_bytes: int) -> list[InternalAnswer]:
        """The answers in the order of the reads, for the caller of `request`; a few are read at a time.

        Once the answers have more than `max_bytes` together, each further one is 413 without a body.
        """
        answers: list[InternalAnswer] = []
        size = 0
        for start in range(0, len(reads), _AT_ONCE):
            group = reads[start : start + _AT_ONCE]
            if size > max_bytes:
                answers += [InternalAnswer(413, Headers(), b"") for _ in group]
                continue
            # `gather` makes a task of each read, so each has log variables of its own.
            answers += await asyncio.gather(*[self._answer(read, request) for read in group])
            size = sum(len(answer.body) for answer in answers)
        return answers

    async def _answer(self, read: InternalRead, request: Request) -> InternalAnswer:
        assert self.app is not None
        status, headers, body = 503, Headers(), bytearray()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], Headers(raw=message["headers"])
            else:
                body.extend(message.get("body", b""))

        turn = await self._turns.take(request.scope["state"].get("owner"))
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self.app(_scope(read, request), receive, send)
        except TimeoutError:
            return InternalAnswer(503, Headers(), b"")
        finally:
            turn.end()
        return InternalAnswer(status, headers, bytes(body))


def _scope(read: InternalRead, request: Request) -> dict[str, object]:
    path, _, query = read.target.partition("?")
    headers = {
        "authorization": request.headers.get("Authorization", ""),
        "accept": FHIR_JSON,
        "x-correlation-id": str(request.state.correlation_id),
        "host": request.headers.get("Host", ""),
        **({"if-none-match": read.if_none_match} if read.if_none_match else {}),
    }
    return {
        **{name: request.scope[name] for name in ("type", "asgi", "http_version", "scheme", "client", "server")},
        "method": "GET",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()],
        "state": {"is_internal": True},
    }
