"""The embedded stack's one directory: where it is, what lies in it, and who may change it just now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

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
