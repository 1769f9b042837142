"""The commands of the embedded stack start, show and stop its processes, and leave none behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psutil
import psycopg
import pytest
from kafka import KafkaAdminClient
from tests.stack import temporary_home

from onestory.local.down import STOP_ORDER


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator who calls the commands on the directory of one stack."""

    home: Path

    def calls(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("ONESTORY_")}
        # The stack must not need a Java, Docker or Maven of the machine.
        surroundings |= {"ONESTORY_HOME": str(self.home), "PATH": "/nowhere", **environment}
        called = [sys.executable, "-m", "onestory", *command]
        return subprocess.run(called, env=surroundings, capture_output=True, text=True, timeout=180, check=False)

    def status(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads(self.calls("status", "--json").stdout)
        return described

    def pids(self) -> dict[str, int]:
        return {each["name"]: each["pid"] for each in self.status()["processes"]}


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    with temporary_home() as home:
        operator = Operator(home)
        yield operator
        operator.calls("down")


@pytest.fixture
def running(operator: Operator) -> Operator:
    """An operator whose stack is up."""
    started = operator.calls("up")
    assert started.returncode == 0, started.stderr
    return operator


def _gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_up_starts_every_process_and_status_tells_where(running: Operator) -> None:
    status = running.status()

    assert {each["name"] for each in status["processes"]} == set(STOP_ORDER)
    for each in status["processes"]:
        assert each["state"] == "running", each
        assert psutil.pid_exists(each["pid"])
        assert each["memory_mb"] > 1
    assert status["base_url"].startswith("http://127.0.0.1:")
    with psycopg.connect(status["postgres"]) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


@pytest.mark.alone
def test_a_second_up_starts_nothing_and_is_quick(running: Operator) -> None:
    before, began = running.pids(), time.monotonic()

    again = running.calls("up")

    assert again.returncode == 0
    assert "already runs" in again.stdout
    assert time.monotonic() - began < 5  # 0.2 s, where nothing else keeps the machine busy
    assert running.pids() == before


def test_only_what_is_dead_is_started_again(running: Operator) -> None:
    before = running.pids()
    os.kill(before["project"], signal.SIGKILL)

    again = running.calls("up")

    assert again.stdout.startswith("Started project in")
    after = running.pids()
    assert after.pop("project") not in (before.pop("project"), None)
    assert after == before


def test_token_prints_a_token_and_nothing_else(running: Operator) -> None:
    printed = running.calls("token", "--org", "A81001", "--role", "R8000")

    assert printed.stderr == ""
    assert printed.stdout.count("\n") == 1
    claims = jwt.decode(printed.stdout.strip(), options={"verify_signature": False})
    assert (claims["org"], claims["role"], claims["aud"]) == ("A81001", "R8000", "onestory")


def test_logs_show_one_process_or_name_those_there_are(running: Operator) -> None:
    one, none = running.calls("logs", "kafka"), running.calls("logs", "nonsense")

    assert "Kafka Server started" in one.stdout
    assert none.returncode == 1
    assert "kafka" in none.stderr


def test_a_stack_killed_with_9_comes_up_again_with_its_data(running: Operator) -> None:
    # given a message in Kafka and a row in PostgreSQL
    status = running.status()
    admin = KafkaAdminClient(bootstrap_servers=status["kafka"])
    admin.create_topics({"test.kept": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    with psycopg.connect(status["postgres"]) as connection:
        connection.execute("CREATE TABLE public.kept AS SELECT 42 AS answer")

    # when every process is killed, and started again
    for pid in running.pids().values():
        os.kill(pid, signal.SIGKILL)
    started = running.calls("up")

    # then both are there
    assert started.returncode == 0, started.stderr
    status = running.status()
    admin = KafkaAdminClient(bootstrap_servers=status["kafka"])
    assert "test.kept" in admin.list_topics()
    admin.close()
    with psycopg.connect(status["postgres"]) as connection:
        assert connection.execute("SELECT answer FROM public.kept").fetchone() == (42,)


def test_down_leaves_nothing_running_and_a_second_down_is_content(running: Operator) -> None:
    members = [member for pid in running.pids().values() for member in _tree(pid)]

    first, second = running.calls("down"), running.calls("down")

    assert (first.returncode, second.returncode) == (0, 0)
    assert [pid for pid in members if not _gone(pid)] == []
    assert {each["state"] for each in running.status()["processes"]} == {"stopped"}


def test_down_also_ends_what_a_killed_server_left(running: Operator) -> None:
    server = running.pids()["postgres"]
    members = _tree(server)
    os.kill(server, signal.SIGKILL)

    running.calls("down")

    assert len(members) > 1
    assert [pid for pid in members if not _gone(pid)] == []


def test_a_port_in_use_is_one_sentence_and_starts_nothing(operator: Operator) -> None:
    operator.calls("down")
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]

        refused = operator.calls("up", ONESTORY_PORT=str(port))

    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"onestory up: ONESTORY_PORT: port {port} is in use by another process. Set a free port."
    )
    assert {each["state"] for each in operator.status()["processes"]} == {"stopped"}


def test_an_interrupted_up_leaves_nothing_running(operator: Operator) -> None:
    # given an `up` that has begun to start processes
    operator.calls("down")
    surroundings = {**os.environ, "ONESTORY_HOME": str(operator.home)}
    starting = subprocess.Popen([sys.executable, "-m", "onestory", "up"], env=surroundings, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list((operator.home / "run").glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)

    # when an impatient operator interrupts it
    starting.send_signal(signal.SIGINT)
    starting.send_signal(signal.SIGTERM)

    # then it ends, and so do the processes that it started
    assert starting.wait(60) == 130
    assert {each["state"] for each in operator.status()["processes"]} == {"stopped"}


def test_a_process_that_cannot_start_is_one_sentence_and_leaves_nothing_running(operator: Operator) -> None:
    operator.calls("down")

    refused = operator.calls("up", ONESTORY_LOG_LEVEL="info", ONESTORY_NETWORKS="no JSON")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "ONESTORY_NETWORKS" in refused.stderr
    assert {each["state"] for each in operator.status()["processes"]} == {"stopped"}


def test_the_issuer_does_not_start_outside_the_stack(operator: Operator) -> None:
    refused = operator.calls("issuer")

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "only in the embedded stack" in refused.stderr


def test_a_token_without_a_stack_is_one_sentence(tmp_path: Path) -> None:
    refused = Operator(tmp_path).calls("token", "--org", "A81001", "--role", "R8000")

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "onestory up" in refused.stderr


def _tree(pid: int) -> list[int]:
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]
