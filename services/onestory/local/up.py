"""`onestory up`: starts each process of the embedded stack that does not run; returns when all of them are ready."""

from __future__ import annotations

import argparse
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
from onestory.local.networks import publish_networks
from onestory.local.state import LOOPBACK, Stack, port_of, secret
from onestory.record.clinical_data import unreviewed_files
from onestory.sample.network import DEMOGRAPHIC_AUTHORITIES, DIRECTORY_AUTHORITIES
from onestory.shared.errors import Unavailable

PROCESS_COMMANDS: dict[str, list[str]] = {
    "issuer": ["issuer"],
    "serve": ["serve"],
    "project": ["project", "record"],
    "refer": ["project", "referral"],
    "summarise": ["summarise", "record"],
}
START_ORDER = ("kafka", "postgres", *PROCESS_COMMANDS)
READY_TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`up` has no options: ports and the directory come from the environment."""


def run(arguments: argparse.Namespace) -> int:
    """Start the stack and print its base URL. The exit code is 0 when everything is ready."""
    processes.interrupt_once()
    began = time.monotonic()
    home = state.find_home()
    stack, started = bring_up(home)
    if started:
        print(f"Started {', '.join(started)} in {time.monotonic() - began:.1f} s: {stack.base_url}")
    else:
        print(f"Everything already runs: {stack.base_url}")
    return 0


def bring_up(home: Path) -> tuple[Stack, list[str]]:
    """Start what does not run of the stack in `home`. Returns its addresses and the names of the started processes.

    When a step fails or the caller interrupts, all processes that this call started are stopped again.
    """
    state.require_packages()
    state.prepare_home(home)
    with state.stack_lock(home):
        before = state.read_stack(home)
        dead = [name for name in START_ORDER if processes.find(home, name) is None]
        if before is not None and not dead:
            return before, []
        stack = state.choose_addresses(home, before, os.environ, lambda name: name not in dead)
        if before is not None and stack != before:
            # They still have the old addresses in their environment.
            dead += processes.stop(home, [name for name in PROCESS_COMMANDS if name not in dead])
        state.write_stack(home, stack)
        start_all(StackStart(home, stack, tuple(name for name in START_ORDER if name in dead)))
        publish_networks(home, stack)
        return stack, [name for name in START_ORDER if name in dead]


def start_all(start: StackStart) -> None:
    """Start the dead processes, each as soon as those that it needs are ready. On any failure stop them again."""
    pool = ThreadPoolExecutor()
    try:
        _in_parallel(pool, start.kafka, start.postgres, lambda: start.process("issuer"))
        _in_parallel(pool, *[partial(start.process, name) for name in PROCESS_COMMANDS if name != "issuer"])
    except BaseException:
        # No step may start another process while the started ones are stopped.
        start.cancelled.set()
        pool.shutdown(cancel_futures=True)
        stop_all(start.home, start.dead)
        raise
    pool.shutdown()


def _in_parallel(pool: ThreadPoolExecutor, *steps: Callable[[], None]) -> None:
    """Return when all steps have ended. Raises the error of the first step, in the given order, that fails."""
    for future in [pool.submit(step) for step in steps]:
        future.result()


@dataclass(frozen=True, slots=True)
class StackStart:
    """One start of the processes of one stack that do not run. When `cancelled` is set, no step starts anything."""

    home: Path
    stack: Stack
    dead: tuple[str, ...]
    """The names of the processes to start."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    def kafka(self) -> None:
        """Start the broker, then apply the topics."""
        if "kafka" in self.dead:
            self.check_cancelled()
            kafka.start(self.home, self.stack)
            self.wait("kafka", lambda: kafka.ready(self.stack))
        self.prepare("topics", "apply")

    def postgres(self) -> None:
        """Start the database server, then apply the migrations."""
        if "postgres" in self.dead:
            self.check_cancelled()
            postgres.start(self.home, self.stack)
            self.wait("postgres", lambda: postgres.ready(self.stack))
        self.prepare("migrate")

    def process(self, name: str) -> None:
        """Start one process of OneStory."""
        if name in self.dead:
            self.check_cancelled()
            environment = process_environment(name, self.home, self.stack)
            processes.start(self.home, name, [*onestory_command(), *PROCESS_COMMANDS[name]], environment=environment)
            self.wait(name, lambda: answers_200(self.stack.health[name] + "/health/ready"))

    def wait(self, name: str, probe: Callable[[], bool]) -> None:
        """Return when `probe` is true. Raises `Unavailable` when the process ends, or when the start is cancelled."""

        def ready() -> bool:
            self.check_cancelled()
            return probe()

        processes.await_ready(self.home, name, ready, READY_TIMEOUT_S)

    def prepare(self, *command: str) -> None:
        """Run an `onestory` command to its end. Raises `Unavailable` with its last line when it fails."""
        self.check_cancelled()
        with processes.log_file(self.home, command[0]).open("ab") as log:
            environment = process_environment(command[0], self.home, self.stack)
            running = subprocess.Popen([*onestory_command(), *command], stdout=log, stderr=log, env=environment)
        with running:
            while running.poll() is None:
                if self.cancelled.wait(processes.POLL_S):
                    running.kill()
        if running.returncode != 0:
            raise Unavailable(f"onestory {' '.join(command)} failed: {processes.last_line(self.home, command[0])}")

    def check_cancelled(self) -> None:
        """Raises `Unavailable` when this start was cancelled."""
        if self.cancelled.is_set():
            raise Unavailable("The start was cancelled.")


def onestory_command() -> list[str]:
    """The command line that runs `onestory` in this environment."""
    return [sys.executable, "-m", "onestory"]


def answers_200(url: str) -> bool:
    """Whether a GET is answered with 200."""
    import httpx  # late: a second `up` needs no client

    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def process_environment(name: str, home: Path, stack: Stack) -> dict[str, str]:
    """The environment of one process. The caller's own settings win, except for addresses and ports."""
    own_port = port_of(stack.health[name]) if name in stack.health else 0
    return {
        "ONESTORY_HOST": LOOPBACK,
        "ONESTORY_LOG_LEVEL": "info",
        **deployment_settings(home, stack),
        **os.environ,
        "ONESTORY_HOME": str(home),
        "ONESTORY_KAFKA": stack.kafka,
        "ONESTORY_POSTGRES": stack.postgres,
        "ONESTORY_PORT": str(own_port),
        "ONESTORY_HEALTH_PORT": str(own_port),
        "ONESTORY_INSTANCE": name,
        "ONESTORY_LOCAL_STACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def deployment_settings(home: Path, stack: Stack) -> dict[str, str]:
    """The settings that every process of the stack shares, as environment variables.

    They name the authorities of the synthetic area.
    """
    return {
        "ONESTORY_KAFKA": stack.kafka,
        "ONESTORY_POSTGRES": stack.postgres,
        "ONESTORY_BASE_URL": stack.base_url,
        "ONESTORY_OIDC_ISSUER": stack.issuer,
        "ONESTORY_OIDC_JWKS_URL": f"{stack.issuer}/jwks",
        "ONESTORY_KEY_SECRET": secret(home, "key-secret"),
        "ONESTORY_DIRECTORY_AUTHORITIES": ",".join(DIRECTORY_AUTHORITIES),
        "ONESTORY_DEMOGRAPHIC_AUTHORITIES": ",".join(DEMOGRAPHIC_AUTHORITIES),
        # Its records are synthetic, so no person is harmed by data that nobody has reviewed.
        "ONESTORY_ACCEPT_UNREVIEWED": ",".join(unreviewed_files()),
    }
