"""A streamed answer ends with its events, when its reader leaves, or when its reader takes no bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message

from onestory.shared.http import sse
from onestory.shared.http.sse import EventStreamResponse, encode_event, encode_heartbeat


class Connection:
    """A fake server connection of the application: it keeps what is sent."""

    def __init__(self, *, takes: bool = True) -> None:
        self.sent: list[Message] = []
        self.left = asyncio.Event()
        self.took = asyncio.Event()
        self.ended = False
        self.closed = False
        self._takes = takes

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.took.set()
            if not self._takes:
                await asyncio.Event().wait()

    async def answer(self, *events: bytes, endless: bool = False) -> None:
        async def told() -> AsyncGenerator[bytes]:
            try:
                for each in events:
                    yield each
                if endless:
                    await asyncio.Event().wait()
            finally:
                self.closed = True

        stream = EventStreamResponse(told(), self._end)
        async with asyncio.timeout(10):
            await stream({"type": "http"}, self.receive, self.send)

    def _end(self) -> None:
        self.ended = True


def test_events_are_sent_as_they_come_and_then_it_ends() -> None:
    async def within() -> Connection:
        connection = Connection()
        await connection.answer(encode_event("changed", {"a": 1}, "7"), encode_heartbeat("8"))
        return connection

    connection = asyncio.run(within())

    start, *bodies = connection.sent
    headers = dict(start["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert b"content-length" not in headers
    assert [each["body"] for each in bodies] == [
        b'id: 7\nevent: changed\ndata: {"a":1}\n\n',
        b": heartbeat\nid: 8\n\n",
        b"",
    ]
    assert connection.ended


def test_it_ends_when_the_reader_leaves() -> None:
    async def within() -> Connection:
        connection = Connection()
        answering = asyncio.create_task(connection.answer(encode_heartbeat("1"), endless=True))
        await connection.took.wait()
        connection.left.set()
        await answering
        return connection

    connection = asyncio.run(within())

    assert (connection.ended, connection.closed) == (True, True)


def test_a_reader_who_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_SLOWEST_S", 0.01)

    async def within() -> Connection:
        connection = Connection(takes=False)
        await connection.answer(encode_heartbeat("1"), encode_heartbeat("2"), endless=True)
        return connection

    connection = asyncio.run(within())

    assert len(connection.sent) == 2
    assert (connection.ended, connection.closed) == (True, True)


def test_it_ends_too_where_something_goes_wrong() -> None:
    async def within() -> None:
        async def fails() -> AsyncGenerator[bytes]:
            yield encode_heartbeat("1")
            raise ArithmeticError

        ended = list[bool]()
        connection = Connection()
        with pytest.raises(ArithmeticError):
            await EventStreamResponse(fails(), lambda: ended.append(True))(
                {"type": "http"}, connection.receive, connection.send
            )
        assert ended == [True]

    asyncio.run(within())
