"""An httpx transport for a server on the same machine: plain HTTP/1.1 to one host.

On one machine, client and server share the cores, and httpx's own transport was most of the cost of a small request.
This one costs a third of that. For other hosts `publisher.py` uses httpx's transport, with TLS and proxies.
"""

from __future__ import annotations

import asyncio

import httptools
import httpx

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0


class LoopbackTransport(httpx.AsyncBaseTransport):
    """Keeps at most `connections` connections open between requests. Raises the errors of httpx."""

    def __init__(self, connections: int) -> None:
        self._free = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async with self._free:
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
    """One connection with one exchange at a time. The parser of httptools calls the `on_` methods."""

    def __init__(self) -> None:
        self.reusable = False
        self._transport: asyncio.Transport | None = None
        self._response: asyncio.Future[httpx.Response] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the whole response. Raises `httpx.TransportError` when there is none."""
        assert self._transport is not None
        self.reusable = False
        self._response = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._headers, self._body = [], []
        lines = [b"%s %s HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
        lines += [b"%s: %s" % header for header in request.headers.raw]
        self._transport.writelines([b"\r\n".join(lines), b"\r\n\r\n", request.content])
        if self._transport.is_closing():
            raise httpx.WriteError("the connection was closed")
        return await self._response

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
            # An interim response: the final one follows.
            self._headers, self._body = [], []
        elif self._response is not None and not self._response.done():
            self.reusable = self._parser.should_keep_alive()
            self._response.set_result(httpx.Response(status, headers=self._headers, content=b"".join(self._body)))

    def _fail(self, error: httpx.TransportError) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(error)
