"""An HTTP client that uses little CPU, so that a bench measures the service and not the client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import httptools


@dataclass(slots=True)
class Answered:
    """The results of a load run: seconds for each request, statuses, seconds in all, values of the kept header."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    headers: list[str] = field(default_factory=list)


async def load(host: str, port: int, requests: Iterable[bytes], connections: int, keep: bytes = b"") -> Answered:
    """Send every request over this many connections, each waiting for its answer; `keep` names a header to collect."""
    seen, queue = Answered(), iter(requests)
    opened = [await _Connection.open(host, port, keep) for _ in range(connections)]
    started = time.perf_counter()
    await asyncio.gather(*[_drain(connection, queue, seen) for connection in opened])
    seen.seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return seen


async def converse(
    host: str, port: int, conversations: Iterable[Generator[bytes, str, None]], connections: int, keep: bytes
) -> Answered:
    """Hold every conversation, one per connection at a time. It receives the header `keep` of its previous answer."""
    seen, queue = Answered(), iter(conversations)
    opened = [await _Connection.open(host, port, keep) for _ in range(connections)]
    started = time.perf_counter()
    await asyncio.gather(*[_hold(connection, queue, seen) for connection in opened])
    seen.seconds = time.perf_counter() - started
    for connection in opened:
        connection.close()
    return seen


def request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of one HTTP/1.1 request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _drain(connection: _Connection, queue: Iterator[bytes], seen: Answered) -> None:
    for each in queue:
        if kept := await _exchange(connection, each, seen):
            seen.headers.append(kept)


async def _hold(connection: _Connection, queue: Iterator[Generator[bytes, str, None]], seen: Answered) -> None:
    for conversation in queue:
        said = next(conversation)
        with suppress(StopIteration):
            while True:
                said = conversation.send(await _exchange(connection, said, seen))


async def _exchange(connection: _Connection, each: bytes, seen: Answered) -> str:
    started = time.perf_counter()
    status, kept = await connection.exchange(each)
    seen.latencies.append(time.perf_counter() - started)
    seen.statuses[status] = seen.statuses.get(status, 0) + 1
    return kept


class _Connection(asyncio.Protocol):
    """One connection. httptools calls the `on_` methods while it parses."""

    def __init__(self, keep: bytes) -> None:
        self._keep = keep.lower()

    @classmethod
    async def open(cls, host: str, port: int, keep: bytes) -> _Connection:
        return (await asyncio.get_running_loop().create_connection(lambda: cls(keep), host, port))[1]

    async def exchange(self, request: bytes) -> tuple[int, str]:
        self._answer: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._kept = ""
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the connection was closed"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == self._keep:
            self._kept = value.decode()

    def on_message_complete(self) -> None:
        self._answer.set_result((self._parser.get_status_code(), self._kept))
