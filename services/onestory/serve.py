"""`onestory serve [room...]`: the HTTP APIs of one or several rooms under one base URL, in one process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import asyncpg
import httpx
import uvicorn
import uvloop

from onestory.intake.main import intake_routes, intake_statements
from onestory.record.api.main import record_open_routes, record_routes
from onestory.referral.api.main import referral_routes
from onestory.referral.bars.main import bars_open_routes
from onestory.shared import logs, memory, settings
from onestory.shared.audit import AuditTrail
from onestory.shared.caller import Tokens
from onestory.shared.connection import Connection
from onestory.shared.contracts.codec import codec
from onestory.shared.database import Database, create_pool
from onestory.shared.errors import Misconfigured
from onestory.shared.identity import Keys
from onestory.shared.producer import Producer
from onestory.shared.resources import Resources
from onestory.shared.settings import Settings
from onestory.shared.visibility import VisiblePositions
from onestory.shared.web import OpenRoute, Route, create_app

# The first route that fits answers: those of the referral room name types, the others take any.
ROOMS: dict[str, Callable[[Resources], Sequence[Route]]] = {
    "referral": lambda resources: referral_routes(resources, intake_statements(resources)),
    "intake": intake_routes,
    "record": record_routes,
}
OPEN: dict[str, Callable[[Resources], Sequence[OpenRoute]]] = {
    "referral": bars_open_routes,
    "record": record_open_routes,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The rooms to serve; none means all."""
    parser.add_argument("room", nargs="*", help=f"of {', '.join(ROOMS)}; all when none is named")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT: then no new request is taken and those in flight are answered."""
    if unknown := set(arguments.room) - set(ROOMS):
        raise Misconfigured(f"No such room: {', '.join(sorted(unknown))}. There is {', '.join(ROOMS)}.")
    configured = settings.read()
    settings.require(configured, "key_secret", "oidc_issuer", "oidc_jwks_url")
    logs.configure(configured.log_level, configured.log_format)
    memory.settle()
    uvloop.run(_serve(configured, arguments.room or list(ROOMS)))
    return 0


async def _serve(configured: Settings, rooms: Sequence[str]) -> None:
    async with httpx.AsyncClient() as http:
        pool = create_pool(configured.postgres)
        resources = _resources(configured, pool)
        app = create_app(
            [route for room in ROOMS if room in rooms for route in ROOMS[room](resources)],
            [route for room in rooms if room in OPEN for route in OPEN[room](resources)],
            Tokens(configured.oidc_issuer, configured.oidc_audience, configured.oidc_jwks_url, http),
            {"Kafka": resources.producer.ready, "PostgreSQL": resources.postgres_ready},
            lambda: _open(resources, pool),
        )
        await Server(_uvicorn(app, configured), resources.stopping).serve()


def _resources(configured: Settings, pool: asyncpg.Pool) -> Resources:
    database = Database(pool)
    producer = Producer(
        configured.kafka,
        timeout_s=configured.publish_timeout_s,
        client_id="onestory-serve",
        prefix=configured.topic_prefix,
    )
    contract = codec(configured.schema_registry_url)
    return Resources(
        settings=configured,
        keys=Keys(configured.key_secret.encode()),
        codec=contract,
        producer=producer,
        audit=AuditTrail(producer, contract),
        database=database,
        visible=VisiblePositions(database),
    )


@contextlib.asynccontextmanager
async def _open(resources: Resources, pool: asyncpg.Pool) -> AsyncIterator[None]:
    async with pool, contextlib.AsyncExitStack() as beside:
        for each in resources.beside:
            await beside.enter_async_context(each())
        yield
    await asyncio.to_thread(resources.producer.close)


def _uvicorn(app: object, configured: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=configured.host,
        port=configured.port,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=15,
    )


class Server(uvicorn.Server):
    """uvicorn's server, except that a stop that was asked for is a success: exit code 0.

    `stopping` is set before it waits for the answers that are under way.
    """

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping.set()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
