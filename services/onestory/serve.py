"""`onestory serve [service...]`: the HTTP APIs of one or several services under one base URL, in one process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import asyncpg
import structlog
import uvicorn
import uvloop

from onestory.intake.main import intake_routes, record_event_builder
from onestory.record.main import may_read_person, record_open_routes, record_routes
from onestory.record.medicines.dmd import loaded_release
from onestory.record.review import require_review
from onestory.referral.bars.main import bars_open_routes
from onestory.referral.routes import referral_routes
from onestory.shared import logs, runtime, settings
from onestory.shared.audit import AuditTrail
from onestory.shared.dependencies import Dependencies
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.http.app import OpenRoute, Route, create_app
from onestory.shared.http.caller import TokenVerifier, create_http_client
from onestory.shared.http.connection import HttpConnection
from onestory.shared.http.limits import ConnectionTable
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import Producer
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import Settings
from onestory.shared.visible_positions import VisiblePositions
from onestory.shared.worker_processes import WorkerLimits, WorkerProcesses

log = structlog.get_logger()

_OTHER_FILES = 200
"""Open files other than connections of callers: Kafka, PostgreSQL, and connections that are being closed."""
# The first matching route answers. The referral routes name resource types, so they come before routes for any type.
ROUTES: dict[str, Callable[[Dependencies], Sequence[Route]]] = {
    "referral": lambda dependencies: referral_routes(
        dependencies, record_event_builder(dependencies, may_read_person(dependencies))
    ),
    "intake": lambda dependencies: intake_routes(dependencies, may_read_person(dependencies)),
    "record": record_routes,
}
OPEN_ROUTES: dict[str, Callable[[Dependencies], Sequence[OpenRoute]]] = {
    "referral": bars_open_routes,
    "record": record_open_routes,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the names of the services to serve. Without a name the process serves all."""
    parser.add_argument(
        "service", metavar="service", nargs="*", help=f"services to serve: {', '.join(ROUTES)}; all when none is given"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Then take no new request, and answer the open ones."""
    if unknown := set(arguments.service) - set(ROUTES):
        raise Misconfigured(f"Unknown service: {', '.join(sorted(unknown))}. The services are {', '.join(ROUTES)}.")
    configured = settings.read()
    settings.require(configured, "key_secret", "oidc_issuer", "oidc_jwks_url")
    if "record" in (arguments.service or ROUTES):
        require_review(configured.accept_unreviewed)
        loaded_release()
    logs.configure(configured.log_level, configured.log_format)
    runtime.tune_gc()
    runtime.tune_threads()
    uvloop.run(_serve(configured, arguments.service or list(ROUTES)))
    return 0


async def _serve(configured: Settings, services: Sequence[str]) -> None:
    async with create_http_client() as http_client:
        tokens = TokenVerifier(configured.oidc_issuer, configured.oidc_audience, configured.oidc_jwks_url, http_client)
        pool = create_pool(configured.postgres, "record")
        dependencies = _dependencies(configured, pool)
        app = create_app(
            [route for name in ROUTES if name in services for route in ROUTES[name](dependencies)],
            [route for name in services if name in OPEN_ROUTES for route in OPEN_ROUTES[name](dependencies)],
            tokens,
            {
                "Kafka": dependencies.producer.ready,
                "PostgreSQL": partial(_postgres_ready, dependencies.database),
                "the token issuer": tokens.ready,
            },
            lambda: _open(dependencies, pool),
            configured,
        )
        dependencies.internal.app = app
        await Server(_uvicorn(app, configured), dependencies.stopping).serve()


def _dependencies(configured: Settings, pool: asyncpg.Pool) -> Dependencies:
    database = Database(pool)
    producer = Producer(
        configured.kafka,
        timeout_s=configured.publish_timeout_s,
        client_id="onestory-serve",
        prefix=configured.topic_prefix,
    )
    codec = create_codec(configured.schema_registry_url)
    return Dependencies(
        settings=configured,
        keys=Keys(configured.key_secret.encode()),
        codec=codec,
        producer=producer,
        audit=AuditTrail(producer, codec),
        database=database,
        visible_positions=VisiblePositions(database, "record"),
        workers=WorkerProcesses(
            WorkerLimits(
                configured.large_body_processes,
                configured.large_body_limit_s,
                configured.large_body_waiting,
                configured.large_body_memory_mb,
            )
        ),
    )


async def _postgres_ready(database: Database) -> bool:
    """Return whether PostgreSQL answers and has the record's tables."""
    try:
        async with asyncio.timeout(2.0):
            return await database.fetchval("select count(*) >= 0 from record.visible_position") is True
    except (Unavailable, TimeoutError, asyncpg.UndefinedTableError):
        return False


@contextlib.asynccontextmanager
async def _open(dependencies: Dependencies, pool: asyncpg.Pool) -> AsyncIterator[None]:
    """Keep the pool and the background work open while the process serves; close the producer at the end."""
    async with pool, dependencies.workers.running(), contextlib.AsyncExitStack() as background:
        for context in dependencies.background:
            await background.enter_async_context(context())
        yield
    await asyncio.to_thread(dependencies.producer.close)


def _uvicorn(app: object, configured: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=configured.host,
        port=configured.port,
        http=partial(HttpConnection, table=ConnectionTable(_fit_open_files(configured))),  # type: ignore[arg-type]
        timeout_keep_alive=configured.keep_alive_s,  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=15,
    )


def _fit_open_files(configured: Settings) -> Settings:
    """Return the settings with no more connections than the process may have open files."""
    most = runtime.raise_open_files(configured.max_connections + _OTHER_FILES) - _OTHER_FILES
    if most >= configured.max_connections:
        return configured
    log.warning("connections_lowered", max_connections=max(most, 1), setting=configured.max_connections)
    return replace(configured, max_connections=max(most, 1))


class Server(uvicorn.Server):
    """A uvicorn server that treats a stop by signal as a success: exit code 0.

    It sets `stopping` before it waits for open answers.
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
