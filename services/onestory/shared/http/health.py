"""Serves `/health/live`, `/health/ready` and `/metrics` for processes that have no other HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from onestory.shared.errors import Misconfigured

HealthResponse = tuple[int, str, bytes]
"""Status, media type and body."""


def process_registry() -> CollectorRegistry:
    """Return a registry with metrics of the process itself: memory, processor time, open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


@contextmanager
def serve_health(
    host: str, port: int, registry: CollectorRegistry, live: Callable[[], bool], ready: Callable[[], bool]
) -> Iterator[int]:
    """Serve health and metrics in a thread while the block runs, and yield the port. Port 0 serves nothing.

    Raises `Misconfigured` when the port is taken.
    """
    if port == 0:
        yield 0
        return
    routes: dict[str, Callable[[], HealthResponse]] = {
        "/health/live": lambda: _health(live()),
        "/health/ready": lambda: _health(ready()),
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
    }
    try:
        server = _Server((host, port), routes)
    except OSError as error:
        raise Misconfigured(
            f"Port {port} on {host} is already in use. Set another port in ONESTORY_HEALTH_PORT."
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _health(is_healthy: bool) -> HealthResponse:
    return (200, "text/plain", b"ok\n") if is_healthy else (503, "text/plain", b"not ready\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], routes: dict[str, Callable[[], HealthResponse]]) -> None:
        self.routes = routes
        super().__init__(address, _Request)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0
    """Seconds in which a client must send its request, and read the answer."""

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path)
        status, content_type, body = route() if route else (404, "text/plain", b"not found\n")
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because probes would fill the log."""
