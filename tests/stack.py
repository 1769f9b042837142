"""Real Kafka and real PostgreSQL for the tests, embedded or in Docker, and OneStory's processes that use them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import httpx
import psycopg
import pytest
from tests.people import patient
from tests.waiting import until

from onestory.local import kafka, postgres, processes, state, up
from onestory.local.token import fetch_token
from onestory.sample.network import DEMOGRAPHICS, NETWORKS

PROCESSES = ("issuer", "serve", "project", "refer", "summarise")
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Stack:
    """Kafka and PostgreSQL for the tests, embedded or in Docker."""

    kafka: str
    """Bootstrap server."""
    postgres: str
    """Connection string of a database of this test session."""
    schema_registry: str
    """URL of a Confluent-compatible registry; empty on the embedded stack."""
    kill_kafka: Callable[[], None]
    """End the broker with SIGKILL."""
    start_kafka: Callable[[], None]
    """Start the broker again on its data, and return when it answers."""
    kill_postgres: Callable[[], None]
    """End the database server with SIGKILL."""
    start_postgres: Callable[[], None]
    """Start the database server again on its data, and return when it answers."""
    log: Callable[[], str]
    """The log text of the broker and of the database server so far."""

    def fresh_database(self) -> str:
        """Make an empty database and return its connection string."""
        name = f"onestory_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.postgres.rpartition("/")[0] + "/" + name


HOMES = "ONESTORY_TEST_HOMES"
"""Environment variable: the folder that holds the home directories of all stacks of one test run."""


@contextlib.contextmanager
def temporary_home() -> Iterator[Path]:
    """Make a home directory for a stack. The account of PostgreSQL can reach it too, unlike pytest's own tmp_path."""
    home = Path(tempfile.mkdtemp(prefix="onestory-test-", dir=os.environ.get(HOMES)))
    home.chmod(0o755)
    state.prepare_home(home)
    try:
        yield home
    finally:
        end_what_is_left(home)
        shutil.rmtree(home, ignore_errors=True)


def end_what_is_left(home: Path) -> None:
    """Kill every process of a stack that still runs: its test was interrupted, or its own process was killed."""
    processes.stop(home, [file.stem for file in (home / "run").glob("*.json")], by=signal.SIGKILL)
    postgres.end_orphans(postgres.data_directory(home))


@contextlib.contextmanager
def embedded_stack() -> Iterator[Stack]:
    """Start Kafka and PostgreSQL of the embedded stack in a temporary home, and stop them at the end."""
    with temporary_home() as home:
        placed = state.choose_addresses(home, None, {}, lambda name: False)

        def start_kafka() -> None:
            kafka.start(home, placed)
            processes.await_ready(home, "kafka", lambda: kafka.ready(placed), PATIENCE_S)

        def start_postgres() -> None:
            postgres.start(home, placed)
            processes.await_ready(home, "postgres", lambda: postgres.ready(placed), PATIENCE_S)

        def kill_kafka() -> None:
            processes.stop(home, ["kafka"], by=signal.SIGKILL)

        def kill_postgres() -> None:
            processes.stop(home, ["postgres"], by=signal.SIGKILL)
            postgres.end_orphans(postgres.data_directory(home))

        def log() -> str:
            return "".join(processes.log_file(home, name).read_text(errors="replace") for name in ("kafka", "postgres"))

        try:
            with ThreadPoolExecutor() as pool:
                for started in [pool.submit(start_kafka), pool.submit(start_postgres)]:
                    started.result()
            by_hand = (kill_kafka, start_kafka, kill_postgres, start_postgres)
            stack = Stack(placed.kafka, placed.postgres, "", *by_hand, log)
            yield replace(stack, postgres=stack.fresh_database())
        finally:
            kafka.stop(home)
            postgres.stop(home)


def docker_answers() -> bool:
    """Whether a Docker engine with Compose answers."""
    if shutil.which("docker") is None:
        return False
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=30)
        except subprocess.SubprocessError:
            return False
    return True


def docker_stack(compose: Callable[[str], object]) -> Stack:
    """Kafka and PostgreSQL of `deploy/compose.deps.yaml`, already up. `compose` runs one subcommand of Compose."""
    at = {part: f"127.0.0.1:{os.environ[variable]}" for part, variable in DOCKER_PORTS.items()}

    def start(part: str) -> None:
        compose(f"up --wait {part}")

    def kill(part: str) -> None:
        compose(f"kill --signal SIGKILL {part}")

    def log() -> str:
        said = compose("logs --no-color kafka postgres")
        return said.decode(errors="replace") if isinstance(said, bytes) else str(said)

    registry = f"http://{at['registry']}/apis/ccompat/v7"
    server = f"postgresql://postgres@{at['postgres']}/onestory"
    of_kafka = (partial(kill, "kafka"), partial(start, "kafka"))
    of_postgres = (partial(kill, "postgres"), partial(start, "postgres"))
    stack = Stack(at["kafka"], server, registry, *of_kafka, *of_postgres, log)
    return replace(stack, postgres=stack.fresh_database())


DOCKER_PORTS = {
    "kafka": "ONESTORY_DEPS_KAFKA_PORT",
    "postgres": "ONESTORY_DEPS_POSTGRES_PORT",
    "registry": "ONESTORY_DEPS_REGISTRY_PORT",
}


@dataclass(frozen=True, slots=True)
class Services:
    """Real processes, one for each name in PROCESSES. They have one database, and topics in one Kafka."""

    home: Path
    stack: state.Stack
    prefix: str = ""
    """The prefix of the names of their topics."""
    session_s: ClassVar[float] = 30.0
    """Session timeout of a consumer group in seconds: how long the group waits for a silent member."""

    @property
    def base_url(self) -> str:
        """The URL at which `serve` listens."""
        return self.stack.base_url

    @property
    def kafka(self) -> str:
        """The bootstrap server of these processes."""
        return self.stack.kafka

    @property
    def postgres(self) -> str:
        """The connection string of the database of these processes."""
        return self.stack.postgres

    def token(self, org: str, role: str = "R8000", **claims: str) -> str:
        """A token. `network` defaults to the organisation's network in the synthetic network."""
        return fetch_token(org, role=role, issuer=self.stack.issuer, **claims)  # type: ignore[arg-type]

    def client(self, org: str, role: str = "R8000", **claims: str) -> httpx.Client:
        """An HTTP client with that token; the caller closes it."""
        headers = {"Authorization": f"Bearer {self.token(org, role, **claims)}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=30, trust_env=False)

    def register(self, *nhs_numbers: str, practice: str = "A81001") -> None:
        """Publish Patients: the demographic authority registers these people. Waits until readers see them."""
        sent = {"Content-Type": "application/fhir+json", "X-Source-System": DEMOGRAPHICS.system, "Prefer": "wait=20"}
        with self.client(DEMOGRAPHICS.ods) as authority:
            for number in nhs_numbers:
                said = patient(number, f"pds-{number}", practice)
                authority.put(f"/fhir/Patient/{said['id']}", json=said, headers=sent).raise_for_status()

    def ready(self) -> bool:
        """Whether every process that has been started, and not stopped, is ready."""
        return all(up.answers_200(f"{self.stack.health[name]}/health/ready") for name in PROCESSES if self.pid(name))

    def pid(self, name: str) -> int | None:
        """The pid of one of PROCESSES; None when it does not run."""
        process = processes.find(self.home, name)
        return process.pid if process else None

    def log(self, name: str) -> str:
        """The log text of a process so far."""
        return processes.log_file(self.home, name).read_text(errors="replace")

    def stop(self, name: str) -> None:
        """Stop a process gracefully."""
        processes.stop(self.home, [name])

    def kill(self, name: str) -> None:
        """End a process with SIGKILL."""
        processes.stop(self.home, [name], by=signal.SIGKILL)

    def start(self, name: str) -> None:
        """Start a process that was stopped or killed, and return when it is ready."""
        up.StackStart(self.home, self.stack, (name,)).process(name)

    def restart(self, name: str) -> None:
        """Stop a process and start it again."""
        self.stop(name)
        self.start(name)


NUMBERED = ("R0F02", "counter")
"""The source whose publisher claims carry a sequence."""
BRISK, SLOW = "R0F01", "R0F03"
"""Two organisations: a statement is expected each second from the first one, each day from the second one."""


_running: list[Services] = []


@contextlib.contextmanager
def own_services(stack: Stack) -> Iterator[Services]:
    """PROCESSES with their own topics and database, on the shared stack.

    The test may kill parts of the stack. At the end, wait until all other services on the stack are ready again.
    """
    with running_services(stack, prefix=f"own-{uuid.uuid4().hex[:8]}.") as services:
        yield services
    for each in _running:
        until(each.ready, 2 * PATIENCE_S)


@contextlib.contextmanager
def running_services(stack: Stack, prefix: str = "") -> Iterator[Services]:
    """Start all of PROCESSES, with their topics and tables, on a fresh database. Stop them at the end."""
    with temporary_home() as home, pytest.MonkeyPatch.context() as environment:
        # So long that no test passes because the session timed out.
        environment.setenv("ONESTORY_CONSUMER_SESSION_S", str(Services.session_s))
        environment.setenv("ONESTORY_TOPIC_PREFIX", prefix)
        environment.setenv("ONESTORY_SEQUENCED_SOURCES", "/".join(NUMBERED))
        environment.setenv("ONESTORY_SOURCE_RHYTHMS", json.dumps({BRISK: "PT1S", SLOW: "P1D"}))
        # The directory of these services has no networks until a test publishes them.
        environment.setenv("ONESTORY_NETWORKS", json.dumps(NETWORKS))
        free = state.choose_addresses(home, None, {}, lambda name: False)
        services = Services(home, replace(free, kafka=stack.kafka, postgres=stack.fresh_database()), prefix)
        try:
            up.start_all(up.StackStart(home, services.stack, PROCESSES))
            _running.append(services)
            yield services
        finally:
            if services in _running:
                _running.remove(services)
            processes.stop(home, PROCESSES)
