"""Answers on a connection that sends no valid HTTP request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from onestory.shared.http.connection import HttpConnection
from onestory.shared.http.limits import ConnectionTable
from onestory.shared.http.settings import HttpSettings


class Wire(asyncio.Transport):
    """A fake transport that keeps the bytes written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def write_eof(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def after(parts: Iterable[bytes]) -> Wire:
    """The transport after a client has sent these parts."""

    async def converse() -> Wire:
        wire = Wire()
        connection = HttpConnection(
            uvicorn.Config(app, log_config=None), ServerState(), {}, table=ConnectionTable(HttpSettings())
        )
        connection.connection_made(wire)
        for part in parts:
            if not wire.closed:
                connection.data_received(part)
                await asyncio.sleep(0)
        connection.connection_lost(None)
        return wire

    return asyncio.run(converse())


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01 hello\r\n\r\n", b"EAT /fhir HTTP/1.1\r\n\r\n", "GET /é HTTP/1.1\r\n\r\n".encode()]
)
def test_what_is_no_http_is_refused_in_fhir(sent: bytes) -> None:
    wire = after([sent])

    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"application/fhir+json" in head
    assert json.loads(body)["issue"][0]["code"] == "structure"
    assert wire.closed


def test_an_endless_head_is_not_read_to_its_end() -> None:
    wire = after([b"GET /fhir HTTP/1.1\r\nX: ", *[b"x" * 10_000] * 7])

    assert wire.written.startswith(b"HTTP/1.1 431 ")
    assert wire.closed


def test_a_long_body_is_no_long_head() -> None:
    body = [b"x" * 100_000] * 30

    wire = after(
        [b"POST /fhir HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n", *body, b"GET /fhir HTTP/1.1\r\nX: y\r\n\r\n"]
    )

    assert wire.written.count(b"HTTP/1.1 204 ") == 2
