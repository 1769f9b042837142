"""Limits of connections over real sockets: time-outs, connections, and bytes in memory, for callers and strangers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import pytest
import uvicorn
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.server import ServerState

from onestory.shared.errors import Unauthenticated
from onestory.shared.http import limits
from onestory.shared.http.app import OpenRoute, Route, create_app
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.connection import HttpConnection
from onestory.shared.http.limits import ConnectionTable, owner_of_address
from onestory.shared.http.request import read_body
from onestory.shared.http.settings import HttpSettings
from onestory.shared.http.sse import EventStreamResponse, encode_heartbeat
from onestory.shared.policy import Caller

LARGE = b"x" * 8_000_000


class NamedCallers(TokenVerifier):
    """A fake token verifier: the token is the name of the caller."""

    def __init__(self) -> None:
        pass

    async def caller(self, authorization: str | None) -> Caller:
        if authorization is None:
            raise Unauthenticated("No.")
        return Caller("A81001", "emis-web", authorization, "R8000", "north", "TREAT")


async def small(_request: Request, _caller: Caller) -> Response:
    return Response("small")


async def large(_request: Request, _caller: Caller) -> Response:
    return Response(LARGE)


async def open_large(_request: Request) -> Response:
    return Response(LARGE)


async def publish(request: Request, _caller: Caller) -> Response:
    return Response(str(len(await read_body(request, 10_000_000))))


async def events(_request: Request, _caller: Caller) -> Response:
    async def stream() -> AsyncGenerator[bytes]:
        yield encode_heartbeat("1")
        await asyncio.sleep(1.0)
        yield encode_heartbeat("2")

    return EventStreamResponse(stream(), lambda: None)


async def wait(_request: Request, _caller: Caller) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


ROUTES = [
    Route("GET", "/small", small, "read"),
    Route("GET", "/large", large, "read"),
    Route("POST", "/publish", publish, "create"),
    Route("GET", "/events", events, "events", event_stream=True),
    Route("GET", "/wait", wait, "read"),
]


@contextlib.asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


class Client(NamedTuple):
    """One connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, method: str, path: str, *, token: str = "", body_length: int = 0, body: bytes = b"") -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Type: application/fhir+json"]
        lines += [f"Authorization: {token}"] if token else []
        lines += [f"Content-Length: {body_length or len(body)}"] if method == "POST" else []
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    async def status(self) -> int:
        """Read one answer, and return its status."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length: "):
                await self.reader.readexactly(int(line.partition(b" ")[2]))
        return int(head.split()[1])

    async def is_disconnected(self) -> bool:
        """Read to the end of the connection. Returns False when it stays open."""
        try:
            async with asyncio.timeout(1.0):
                while await self.reader.read(1 << 20):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True


class Server:
    """A server with limits, on a port of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        connected = socket.socket()
        # The system holds little, so that the rest of a large answer waits in the server.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", self._port))
        self._clients.append(Client(*await asyncio.open_connection(sock=connected)))
        return self._clients[-1]

    def disconnect(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()

    async def ask(self, path: str = "/small", user: str = "gp") -> tuple[Client, int]:
        """Send a request on a connection of its own, and return the connection with the status of the answer."""
        client = await self.connect()
        client.send("GET", path, token=user)
        return client, await client.status()


def serve(scenario: Callable[[Server], Awaitable[None]], monkeypatch: pytest.MonkeyPatch, **changed: Any) -> None:
    """Run a scenario with a server that has these settings, and otherwise the usual ones."""
    settings = HttpSettings(**changed)
    monkeypatch.setattr(limits, "_SWEEP_S", 0.02)

    async def run() -> None:
        app = create_app(ROUTES, [OpenRoute("GET", "/open", open_large)], NamedCallers(), {}, nothing, settings)
        config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
        table, state = ConnectionTable(settings), ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: HttpConnection(config, state, {}, table=table), "127.0.0.1", 0
        )
        listening = Server(server.sockets[0].getsockname()[1])
        try:
            async with asyncio.timeout(20.0):
                await scenario(listening)
        finally:
            listening.disconnect()
            server.close()
            for task in state.tasks:
                task.cancel()
            await asyncio.sleep(0.05)

    uvloop.run(run())


def test_a_head_that_does_not_end_is_answered_with_408(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.writer.write(b"GET /small HTTP/1.1\r\nX: ")

        assert await client.status() == 408
        assert await client.is_disconnected()

    serve(scenario, monkeypatch, head_timeout_s=0.1)


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    async def scenario(server: Server) -> None:
        client, _ = await server.ask()
        fresh = await server.connect()
        for each in (client, fresh):
            each.writer.write(sent)

        assert await fresh.is_disconnected()
        assert await client.is_disconnected() is bool(sent)

    serve(scenario, monkeypatch, head_timeout_s=0.1)


def test_a_client_that_goes_on_sending_a_large_head_reads_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.writer.write(b"GET /small HTTP/1.1\r\nX: " + b"x" * 1_000_000)
        await client.writer.drain()

        assert await client.status() == 431

    serve(scenario, monkeypatch)


@pytest.mark.parametrize("head", [b"X: " + b"x" * 70_000, b"x: y\r\n" * 12_000])
def test_a_large_head_is_refused_though_it_comes_at_once(monkeypatch: pytest.MonkeyPatch, head: bytes) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.writer.write(b"GET /small HTTP/1.1\r\nAuthorization: gp\r\n" + head + b"\r\n\r\n")

        assert await client.status() == 431

    serve(scenario, monkeypatch)


def test_a_head_of_60_kb_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        headers = b"".join(b"X-%d: %b\r\n" % (index, b"x" * 7_500) for index in range(8))
        for _ in range(2):
            client.writer.write(b"GET /small HTTP/1.1\r\nAuthorization: gp\r\n" + headers + b"\r\n")
            assert await client.status() == 200

    serve(scenario, monkeypatch)


def test_a_body_that_does_not_end_is_answered_with_408(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("POST", "/publish", token="gp", body_length=9, body=b"{")

        assert await client.status() == 408
        assert await client.is_disconnected()

    serve(scenario, monkeypatch, body_timeout_s=0.1)


def test_a_body_that_goes_on_after_its_answer_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("POST", "/publish", body_length=9_000_000, body=b"{")

        assert await client.status() == 401
        assert await client.is_disconnected()

    serve(scenario, monkeypatch, body_timeout_s=0.1)


def test_a_connection_is_kept_after_a_body_that_ended_after_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("POST", "/publish", body_length=2, body=b"{")
        assert await client.status() == 401
        client.writer.write(b"}")
        client.send("GET", "/small", token="gp")

        assert await client.status() == 200

    serve(scenario, monkeypatch)


def test_a_client_that_reads_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("GET", "/large", token="gp")
        await asyncio.sleep(0.5)

        assert await client.is_disconnected()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.reader.readexactly(len(LARGE))

    serve(scenario, monkeypatch, write_timeout_s=0.1)


def test_a_client_that_reads_slowly_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("GET", "/large", token="gp")
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(16):
            await client.reader.readexactly(len(LARGE) // 16)
            await asyncio.sleep(0.1)

    serve(scenario, monkeypatch, write_timeout_s=1.5)


@pytest.mark.parametrize(("token", "path"), [("gp", "/large"), ("", "/open")])
def test_unread_answers_have_a_limit_for_each_client(monkeypatch: pytest.MonkeyPatch, token: str, path: str) -> None:
    async def scenario(server: Server) -> None:
        unread = await server.connect()
        unread.send("GET", path, token=token)
        await asyncio.sleep(0.1)

        assert (await server.ask(path, token))[1] == 429
        assert (await server.ask("/large", "nurse"))[1] == 200
        if token:
            assert (await server.ask("/small", token))[1] == 200
        unread.writer.close()
        await asyncio.sleep(0.1)
        assert (await server.ask(path, token))[1] == 200

    serve(scenario, monkeypatch, max_unread_memory_per_caller=1_000_000)


def test_unread_answers_have_a_limit_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        unread = await server.connect()
        unread.send("GET", "/large", token="gp")
        await asyncio.sleep(0.1)

        assert (await server.ask("/large", "nurse"))[1] == 503

    serve(scenario, monkeypatch, max_unread_memory=1_000_000)


@pytest.mark.parametrize(("limit", "nurse"), [("max_body_memory_per_caller", 200), ("max_body_memory", 503)])
def test_unfinished_bodies_have_a_limit(monkeypatch: pytest.MonkeyPatch, limit: str, nurse: int) -> None:
    async def publish_small(server: Server, token: str) -> int:
        client = await server.connect()
        client.send("POST", "/publish", token=token, body=b"x" * 200_000)
        return await client.status()

    async def scenario(server: Server) -> None:
        unfinished = await server.connect()
        unfinished.send("POST", "/publish", token="gp", body_length=9_000_000, body=b"x" * 8_000_000)
        await unfinished.writer.drain()
        await asyncio.sleep(0.1)

        assert await publish_small(server, "gp") == (429 if nurse == 200 else 503)
        assert await publish_small(server, "nurse") == nurse
        unfinished.writer.close()
        await asyncio.sleep(0.1)
        assert await publish_small(server, "gp") == 200

    serve(scenario, monkeypatch, **{limit: 1_000_000})


def test_a_flood_of_unfinished_heads_closes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        flood = []
        for _ in range(8):
            flood.append(await server.connect())
            flood[-1].writer.write(b"GET /small HTTP/1.1\r\nX: ")
            await asyncio.sleep(0.01)

        assert (await server.ask())[1] == 200
        assert [await each.is_disconnected() for each in (flood[0], flood[4])] == [True, True]
        assert not await flood[-1].is_disconnected()

    serve(scenario, monkeypatch, max_connections_per_address=4)


def test_connections_of_a_caller_do_not_count_for_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        asked = [await server.ask(user=f"user-{number % 2}") for number in range(8)]

        assert not any([await client.is_disconnected() for client, _ in asked[-2:]])
        assert [status for _, status in asked] == [200] * 8

    serve(scenario, monkeypatch, max_connections_per_address=2)


def test_a_caller_with_too_many_idle_connections_loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        first, second, third = [(await server.ask())[0] for _ in range(3)]

        assert await first.is_disconnected()
        for each in (second, third):
            each.send("GET", "/small", token="gp")
            assert await each.status() == 200

    serve(scenario, monkeypatch, max_connections_per_caller=2)


def test_a_caller_whose_connections_are_all_busy_is_answered_with_429(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        for _ in range(2):
            (await server.connect()).send("GET", "/wait", token="gp")
        await asyncio.sleep(0.1)

        assert (await server.ask(user="gp"))[1] == 429
        assert (await server.ask(user="nurse"))[1] == 200

    serve(scenario, monkeypatch, max_connections_per_caller=2)


def test_a_server_that_is_full_closes_idle_connections_and_then_refuses_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario(server: Server) -> None:
        idle, _ = await server.ask(user="idle")
        for name in ("first", "second"):
            (await server.connect()).send("GET", "/wait", token=name)
            await asyncio.sleep(0.05)
        assert await idle.is_disconnected()

        refused = await server.connect()
        assert await refused.status() == 503

    serve(scenario, monkeypatch, max_connections=2)


def test_a_quiet_event_stream_is_not_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("GET", "/events", token="gp")

        assert await client.reader.readuntil(b"id: 2\n\n")

    serve(scenario, monkeypatch, head_timeout_s=0.1, body_timeout_s=0.1, write_timeout_s=0.1, keep_alive_s=0.1)


def test_head_of_an_event_stream_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("HEAD", "/events", token="gp")
        client.send("GET", "/small", token="gp")

        assert await client.status() == 200
        async with asyncio.timeout(0.5):
            assert await client.status() == 200

    serve(scenario, monkeypatch)


def test_too_many_requests_before_the_first_answer_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.send("GET", "/wait", token="gp")
        client.writer.write(b"GET /small HTTP/1.1\r\n\r\n" * 1000)

        assert await client.is_disconnected()

    serve(scenario, monkeypatch)


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_one_address(address: str, owner: str) -> None:
    assert owner_of_address(address) == (owner,)


def test_a_refusal_is_an_operation_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: Server) -> None:
        client = await server.connect()
        client.writer.write(b"GET /small HTTP/1.1\r\nX: " + b"x" * 70_000)
        head = await client.reader.readuntil(b"\r\n\r\n")
        body = json.loads(await client.reader.read())

        assert b"application/fhir+json; charset=utf-8" in head
        assert "65536 bytes" in body["issue"][0]["diagnostics"]

    serve(scenario, monkeypatch)
