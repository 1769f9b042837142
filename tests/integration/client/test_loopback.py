"""LoopbackTransport and the transport of httpx behave alike in front of the same server."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Awaitable, Callable

import httpx
import pytest

from onestory.client.loopback import LoopbackTransport

Exchange = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=["ours", "httpx"])
def transport(request: pytest.FixtureRequest) -> Callable[[], httpx.AsyncBaseTransport]:
    if request.param == "ours":
        return lambda: LoopbackTransport(2)
    return lambda: httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=2), trust_env=False)


class Server:
    """A server that gives each request the next of these answers; None closes the connection instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._answers = list(answers)
        self._serving: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(asyncio.create_task(self._converse(reader, writer)))
        await self._serving[-1]

    async def end(self) -> None:
        """Wait until every client has closed its connection."""
        await asyncio.gather(*self._serving)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await _head(reader):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            answer = self._answers.pop(0)
            if answer is None:
                break
            writer.write(answer)
            if b"cut" in answer or b"close" in answer:
                break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def post(transport: Callable[[], httpx.AsyncBaseTransport], server: Server, *bodies: bytes) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        try:
            async with listener, httpx.AsyncClient(transport=transport()) as client:
                return [await client.post(f"http://127.0.0.1:{port}/fhir/x%7Cy", content=body) for body in bodies]
        finally:
            await server.end()

    return asyncio.run(run())


def test_connections_are_kept(transport: Callable[[], httpx.AsyncBaseTransport]) -> None:
    server = Server(OK, OK, OK)

    answers = post(transport, server, b"a", b"b", b"c" * 7_000_000)

    assert [answer.content for answer in answers] == [b"ok"] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /fhir/x%7Cy HTTP/1.1\r\n")
    assert server.requests[0].endswith(b"\r\n\r\na")
    assert len(server.requests[2]) > 7_000_000


def test_a_connection_that_the_server_closes_is_not_used_again(
    transport: Callable[[], httpx.AsyncBaseTransport],
) -> None:
    server = Server(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK)

    post(transport, server, b"a", b"b")

    assert server.connections == 2


def test_chunked_compressed_and_interim_answers_are_read(transport: Callable[[], httpx.AsyncBaseTransport]) -> None:
    packed = gzip.compress(b"packed")
    server = Server(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed),
        b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" + OK,
    )

    answers = post(transport, server, b"a", b"b", b"c")

    assert [(answer.status_code, answer.content) for answer in answers] == [
        (200, b"abc"),
        (200, b"packed"),
        (200, b"ok"),
    ]
    assert "X" not in answers[2].headers


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", b"close, no HTTP\r\n\r\n"]
)
def test_an_answer_that_does_not_arrive_is_an_error_to_retry(
    transport: Callable[[], httpx.AsyncBaseTransport], answer: bytes | None
) -> None:
    with pytest.raises(httpx.TransportError):
        post(transport, Server(answer), b"a")


def test_a_door_that_is_not_there_is_an_error_to_retry(transport: Callable[[], httpx.AsyncBaseTransport]) -> None:
    async def run() -> None:
        listener = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        async with httpx.AsyncClient(transport=transport()) as client:
            await client.post(f"http://127.0.0.1:{port}/")

    with pytest.raises(httpx.ConnectError):
        asyncio.run(run())
