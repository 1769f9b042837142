"""Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onestory.shared.http.openapi import EVENT_STREAM

# A client that reads nothing for so long is disconnected. It can reconnect with Last-Event-ID.
_SLOWEST_S = 30.0


def encode_event(name: str, data: Mapping[str, Any], event_id: str) -> bytes:
    """Return the bytes of one event."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event_id.encode(), name.encode(), orjson.dumps(data))


def encode_heartbeat(event_id: str) -> bytes:
    """Return a comment with an id. It is no event, but a client that reconnects continues after this id."""
    return b": heartbeat\nid: %s\n\n" % event_id.encode()


class EventStreamResponse(Response):
    """A response that sends events until there are no more, or the client disconnects. Then it calls `on_close`."""

    media_type = EVENT_STREAM

    def __init__(self, events: AsyncGenerator[bytes], on_close: Callable[[], None]) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._on_close = on_close
        self._is_head = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._is_head = scope.get("method") == "HEAD"
        try:
            async with aclosing(self._events) as events:
                sending = asyncio.create_task(self._send(events, send))
                disconnecting = asyncio.create_task(_wait_for_disconnect(receive))
                try:
                    await asyncio.wait((sending, disconnecting), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    disconnecting.cancel()
                    sending.cancel()
                    # A client that disconnects, or reads nothing, is no error.
                    with suppress(asyncio.CancelledError, TimeoutError):
                        await sending
        finally:
            self._on_close()

    async def _send(self, events: AsyncIterator[bytes], send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._is_head:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        async for event in events:
            async with asyncio.timeout(_SLOWEST_S):
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
