"""HTTP/1.1 to a door on this machine, for httpx.

There publisher and service share the cores, and most of a small request's cost was httpx's own transport: this one
costs a third of it. It speaks plain HTTP to one host; everywhere else httpx's transport, with TLS and proxies, is used.
"""

from __future__ import annotations

import asyncio

import httptools
import httpx

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0


class LoopbackTransport(httpx.AsyncBaseTransport):
    """At most `connections` connections, kept open between requests. Failures are those of httpx."""

    def __init__(self, connections: int) -> None:
        self._room = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._room:
            connection = await self._connection(request.url)
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    response = await connection.exchange(request)
            except TimeoutError as error:
                raise httpx.ReadTimeout("no answer in time") from error
            finally:
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.close()
            return response

    async def aclose(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _connection(self, url: httpx.URL) -> _Connection:
        while self._idle:
            if (connection := self._idle.pop()).reusable:
                return connection
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                return (await loop.create_connection(_Connection, url.host, url.port or 80))[1]
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpx.ConnectError("no connection") from error


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time. The `on_` methods are what httptools calls while it parses."""

    def __init__(self) -> None:
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[httpx.Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send the request and await its whole answer. Raises an `httpx.TransportError` when there will be none."""
        assert self._transport is not None
        self.reusable = False
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._body = [], []
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [b"%s: %s" % header for header in request.headers.raw]
        self._transport.writelines([b"\r\n".join(lines), b"\r\n\r\n", request.content])
        if self._transport.is_closing():
            raise httpx.WriteError("the connection was closed")
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(httpx.RemoteProtocolError("no HTTP"))

    def connection_lost(self, _error: Exception | None) -> None:
        self.reusable = False
        self._fail(httpx.ReadError("the connection was closed"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer: the real one follows.
            self._headers, self._body = [], []
        elif self._answer is not None and not self._answer.done():
            self.reusable = self._parser.should_keep_alive()
            self._answer.set_result(httpx.Response(status, headers=self._headers, content=b"".join(self._body)))

    def _fail(self, error: httpx.TransportError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
