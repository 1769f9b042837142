"""`onestory up`: start what of the embedded stack does not run, and return when all of it is ready."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from onestory.local import kafka, postgres, processes, state
from onestory.local.down import stop_all
from onestory.local.state import LOOPBACK, Stack, find_home, port_of, read_stack, secret
from onestory.sample.network import DEMOGRAPHIC_AUTHORITIES, NETWORKS
from onestory.shared import settings
from onestory.shared.errors import Unavailable
from onestory.shared.settings import PREFIX, Settings

# What each process of the embedded stack is told through its environment.


def of(name: str, home: Path, stack: Stack) -> dict[str, str]:
    """The environment of one process: the caller's own, with the stack's addresses; the caller's other settings win."""
    own_port = port_of(stack.health[name]) if name in stack.health else 0
    return {
        "ONESTORY_HOST": LOOPBACK,
        "ONESTORY_LOG_LEVEL": "info",
        "ONESTORY_BASE_URL": stack.base_url,
        "ONESTORY_OIDC_ISSUER": stack.issuer,
        "ONESTORY_OIDC_JWKS_URL": f"{stack.issuer}/jwks",
        "ONESTORY_KEY_SECRET": secret(home, "key-secret"),
        **_network(),
        **os.environ,
        "ONESTORY_HOME": str(home),
        "ONESTORY_KAFKA": stack.kafka,
        "ONESTORY_POSTGRES": stack.postgres,
        "ONESTORY_PORT": str(own_port),
        "ONESTORY_HEALTH_PORT": str(own_port),
        "ONESTORY_LOCAL_STACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def command() -> Settings:
    """The settings of a command that does a process's work: the environment's; those of the embedded stack here where
    the environment names neither Kafka nor PostgreSQL.
    """
    home = find_home()
    stack = read_stack(home)
    if stack is None or any(PREFIX + name in os.environ for name in ("KAFKA", "POSTGRES")):
        return settings.read()
    return settings.read(of("command", home, stack))


def _network() -> dict[str, str]:
    """The practices of the synthetic care network, so that its records can be read at once."""
    return {
        "ONESTORY_NETWORKS": json.dumps(NETWORKS),
        "ONESTORY_DEMOGRAPHIC_AUTHORITIES": ",".join(DEMOGRAPHIC_AUTHORITIES),
    }


COMMANDS: dict[str, list[str]] = {
    "issuer": ["issuer"],
    "serve": ["serve"],
    "project": ["project", "record"],
    "refer": ["project", "referral"],
    "summarise": ["summarise", "record"],
}
ALL = ("kafka", "postgres", *COMMANDS)
PATIENCE_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`up` has no options: ports and places come from the environment."""


def run(arguments: argparse.Namespace) -> int:
    """Start, and say where it is. Exit code 0 when everything is ready."""
    processes.once()
    began = time.monotonic()
    home = state.find_home()
    stack, started = bring_up(home)
    if started:
        print(f"Started {', '.join(started)} in {time.monotonic() - began:.1f} s: {stack.base_url}")
    else:
        print(f"Everything already runs: {stack.base_url}")
    return 0


def bring_up(home: Path) -> tuple[Stack, list[str]]:
    """The stack in `home`, everything of it ready, and the names of the processes that had to be started.

    What was started is stopped again when anything fails or the caller interrupts, so it is up or as it was.
    """
    state.require()
    state.prepare(home)
    with state.only_one(home):
        before = state.read_stack(home)
        dead = [name for name in ALL if processes.find(home, name) is None]
        if before is not None and not dead:
            return before, []
        stack = state.choose(home, before, os.environ, lambda name: name not in dead)
        if before is not None and stack != before:
            # They were told addresses that are no longer true.
            dead += processes.stop(home, [name for name in COMMANDS if name not in dead])
        state.write_stack(home, stack)
        start_all(Start(home, stack, tuple(name for name in ALL if name in dead)))
        return stack, [name for name in ALL if name in dead]


@dataclass(frozen=True, slots=True)
class Start:
    """One start of what is dead of one stack. Once it is `given_up`, no step of it goes on or starts anything."""

    home: Path
    stack: Stack
    dead: tuple[str, ...]
    given_up: threading.Event = field(default_factory=threading.Event)

    def kafka(self) -> None:
        """The broker, then the topics in it."""
        if "kafka" in self.dead:
            self.unless_given_up()
            kafka.start(self.home, self.stack)
            self.wait("kafka", lambda: kafka.ready(self.stack))
        self.prepare("topics", "apply")

    def postgres(self) -> None:
        """The database server, then the tables in it."""
        if "postgres" in self.dead:
            self.unless_given_up()
            postgres.start(self.home, self.stack)
            self.wait("postgres", lambda: postgres.ready(self.stack))
        self.prepare("migrate")

    def process(self, name: str) -> None:
        """One of our own processes."""
        if name in self.dead:
            self.unless_given_up()
            surroundings = of(name, self.home, self.stack)
            processes.start(self.home, name, [*onestory(), *COMMANDS[name]], environment=surroundings)
            self.wait(name, lambda: answers(self.stack.health[name] + "/health/ready"))

    def wait(self, name: str, probe: Callable[[], bool]) -> None:
        """Until it is ready."""

        def ready() -> bool:
            self.unless_given_up()
            return probe()

        processes.await_ready(self.home, name, ready, PATIENCE_S)

    def prepare(self, *command: str) -> None:
        """Run one of our commands to its end. Raises `Unavailable` with what it said."""
        self.unless_given_up()
        with processes.log_file(self.home, command[0]).open("ab") as log:
            surroundings = of(command[0], self.home, self.stack)
            running = subprocess.Popen([*onestory(), *command], stdout=log, stderr=log, env=surroundings)
        with running:
            while running.poll() is None:
                if self.given_up.wait(processes.POLL_S):
                    running.kill()
        if running.returncode != 0:
            raise Unavailable(f"onestory {' '.join(command)} failed: {processes.last_line(self.home, command[0])}")

    def unless_given_up(self) -> None:
        """Raises `Unavailable` once this start is to leave nothing behind."""
        if self.given_up.is_set():
            raise Unavailable("The start was given up.")


def onestory() -> list[str]:
    """How this installation is called."""
    return [sys.executable, "-m", "onestory"]


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    import httpx  # late: a second `up` asks nobody

    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def start_all(start: Start) -> None:
    """Start what is dead, each as soon as what it needs is ready; on any failure stop what this started."""
    pool = ThreadPoolExecutor()
    try:
        _in_parallel(pool, start.kafka, start.postgres, lambda: start.process("issuer"))
        _in_parallel(pool, *[partial(start.process, name) for name in COMMANDS if name != "issuer"])
    except BaseException:
        # No step may start one more thing behind the back of those who stop what there is.
        start.given_up.set()
        pool.shutdown(cancel_futures=True)
        stop_all(start.home, start.dead)
        raise
    pool.shutdown()


def _in_parallel(pool: ThreadPoolExecutor, *steps: Callable[[], None]) -> None:
    for future in [pool.submit(step) for step in steps]:
        future.result()
