"""Which ports the embedded stack uses: those that the environment fixes, those of last time, or free ones."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from onestory.local.state import Stack
from onestory.shared.errors import Misconfigured

LOOPBACK = "127.0.0.1"


def choose(home: Path, before: Stack | None, environment: Mapping[str, str], alive: Callable[[str], bool]) -> Stack:
    """The addresses for a start.

    `alive(name)` tells whether that process of this stack runs, so that it is itself who holds its port. Raises
    `Misconfigured` when a port that the environment fixes is in use by somebody else.
    """
    taken: set[int] = set()
    last = before or Stack("", "", "", "", "", "", {})

    def port(name: str, earlier: str | None, variable: str = "") -> int:
        found = _fixed(environment, variable, name, alive) or _again(earlier, alive(name), taken) or free_port(taken)
        taken.add(found)
        return found

    def at(name: str, earlier: str | None, variable: str = "") -> str:
        return f"{LOOPBACK}:{port(name, earlier, variable)}"

    kafka = at("kafka", last.kafka, "ONESTORY_KAFKA")
    controller = at("kafka", last.controller)
    postgres = at("postgres", last.postgres, "ONESTORY_POSTGRES")
    issuer = at("issuer", last.issuer)
    serve = port("serve", last.health.get("serve"), "ONESTORY_PORT")
    project = at("project", last.health.get("project"), "ONESTORY_HEALTH_PORT")
    refer = at("refer", last.health.get("refer"))
    summarise = at("summarise", last.health.get("summarise"))
    return Stack(
        home=str(home),
        base_url=environment.get("ONESTORY_BASE_URL") or f"http://{LOOPBACK}:{serve}",
        kafka=kafka,
        controller=controller,
        postgres=f"postgresql://postgres@{postgres}/onestory",
        issuer=f"http://{issuer}",
        health={
            "issuer": f"http://{issuer}",
            "serve": f"http://{LOOPBACK}:{serve}",
            "project": f"http://{project}",
            "refer": f"http://{refer}",
            "summarise": f"http://{summarise}",
        },
    )


def port_of(address: str) -> int:
    """The port of `host:port`, of a URL or of a PostgreSQL connection URL. Raises `ValueError` when there is none."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    if parts.port is None:
        raise ValueError(address)
    return parts.port


def is_free(port: int) -> bool:
    """Whether we could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A port of the loopback address that nobody uses, and that is not in `taken`."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _fixed(environment: Mapping[str, str], variable: str, name: str, alive: Callable[[str], bool]) -> int | None:
    value = environment.get(variable) if variable else None
    if not value:
        return None
    try:
        port = int(value) if value.isdigit() else port_of(value)
        local = value.isdigit() or urlsplit(value if "//" in value else f"//{value}").hostname in (
            LOOPBACK,
            "localhost",
        )
    except ValueError:
        port, local = 0, False
    if not local or port == 0:
        raise Misconfigured(
            f"{variable} must be a port of {LOOPBACK}: the embedded stack starts a {name} of its own there."
        )
    if not alive(name) and not is_free(port):
        raise Misconfigured(f"Port {port}, which {variable} asks for, is in use by another process.")
    return port


def _again(address: str | None, holds_it: bool, taken: set[int]) -> int | None:
    if not address:
        return None
    port = port_of(address)
    return port if port not in taken and (holds_it or is_free(port)) else None
