"""Answers that go on: Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onestory.shared.http.openapi import EVENTS

# Whoever takes nothing for so long is cut off, and comes back with Last-Event-ID.
_SLOWEST_S = 30.0


def event(name: str, data: Mapping[str, Any], event_id: str) -> bytes:
    """One event."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), name.encode(), orjson.dumps(data))


def heartbeat(event_id: str) -> bytes:
    """A sign of life: no event, but the place from which a reader who comes back goes on."""
    return b": heartbeat\nid: %s\n\n" % event_id.encode()


class EventStream(Response):
    """The answer: sent event by event until there are no more, or nobody listens; then `ended` is called."""

    media_type = EVENTS

    def __init__(self, events: AsyncGenerator[bytes], ended: Callable[[], None]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._events) as events:
                sending = asyncio.create_task(self._send(events, send))
                leaving = asyncio.create_task(_left(receive))
                try:
                    await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    leaving.cancel()
                    sending.cancel()
                    # Whoever left, or takes nothing, is no error of ours.
                    with suppress(asyncio.CancelledError, TimeoutError):
                        await sending
        finally:
            self._ended()

    async def _send(self, events: AsyncIterator[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for each in events:
            async with asyncio.timeout(_SLOWEST_S):
                await send({"type": "http.response.body", "body": each, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
