"""The fixtures that all tests share: one stack per session, and OneStory's processes on it.

Each worker of `pytest -n` is a session with its own stack.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from pytest_docker.plugin import DockerComposeExecutor
from tests import skipped, turns
from tests.stack import (
    DOCKER_PORTS,
    HOMES,
    Services,
    Stack,
    docker_answers,
    docker_stack,
    embedded_stack,
    end_what_is_left,
    running_services,
)

from onestory.local import state

COMPOSE = Path(__file__).parent.parent / "deploy" / "compose.deps.yaml"


LONGEST_FIRST = (
    "e2e/test_killed.py",
    "e2e/test_referrals_killed.py",
    "e2e/test_silence.py",
    "integration/record/test_any_order.py",
    "integration/test_rebuild.py",
    "integration/referral_api/test_what_is_late.py",
)
"""Files that take long. They begin first, so that the workers end at about the same time."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: no other test of this run may be at work meanwhile")
    # Warnings are errors. This warning comes from kafka-python's own imports, on Python 3.11 and 3.12.
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    # kafka-python drops a connection that it cannot use any more without closing its socket. Python closes the socket
    # when it collects it, and then warns in whichever test runs at that time.
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")
    # A run that is ended by SIGTERM must leave no processes behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not _is_worker(config):
        folder = Path(tempfile.mkdtemp(prefix="onestory-tests-"))
        folder.chmod(0o755)
        os.environ[HOMES] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the processes that a killed worker has left behind."""
    if not _is_worker(config) and (folder := os.environ.pop(HOMES, None)):
        for home in Path(folder).glob("*/"):
            end_what_is_left(home)
        shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and files with tests that run alone last."""
    last = {item.path for item in items if item.get_closest_marker("alone")}

    def place(item: pytest.Item) -> int:
        if item.path in last:
            return len(LONGEST_FIRST) + 1
        name = str(item.path)
        return next((at for at, each in enumerate(LONGEST_FIRST) if name.endswith(each)), len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with turns.turn(Path(os.environ[HOMES]), item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(skipped.reason_of(report.longrepr[2]) for report in reports)
    if reasons:
        terminalreporter.write_line(skipped.line(reasons))


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of the processes that pytest-xdist started."""
    return hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(COMPOSE)


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --wait"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return []  # the fixture `stack` cleans up, also when the containers do not come up or the run is interrupted


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Kafka and PostgreSQL, started by the first test that needs them.

    ONESTORY_TEST_STACK chooses: docker, embedded or auto.
    """
    wanted = os.environ.get("ONESTORY_TEST_STACK", "auto")
    if wanted not in ("docker", "embedded", "auto"):
        pytest.exit(f"ONESTORY_TEST_STACK is docker, embedded or auto, not {wanted!r}.", returncode=2)
    docker = wanted != "embedded" and docker_answers()
    if wanted == "docker" and not docker:
        pytest.exit("ONESTORY_TEST_STACK is docker, and no Docker engine with Compose answers.", returncode=2)
    with contextlib.ExitStack() as cleanup:
        found = _docker(request, cleanup, or_none=wanted == "auto") if docker else None
        yield found or cleanup.enter_context(embedded_stack())


@pytest.fixture(scope="session")
def services(stack: Stack) -> Iterator[Services]:
    """All OneStory processes on the session's stack. Tests share them, so each test uses its own people."""
    with running_services(stack) as started:
        yield started


@pytest.fixture
def database(stack: Stack) -> str:
    """The connection string of an empty database for one test."""
    return stack.fresh_database()


def _docker(request: pytest.FixtureRequest, cleanup: contextlib.ExitStack, or_none: bool) -> Stack | None:
    """The stack in containers. None when the images cannot be had and another stack will do."""
    environment = cleanup.enter_context(pytest.MonkeyPatch.context())
    taken: set[int] = set()
    for variable in DOCKER_PORTS.values():
        port = state.free_port(taken)
        taken.add(port)
        environment.setenv(variable, str(port))
    compose = _compose(request)
    containers = cleanup.enter_context(contextlib.ExitStack())
    containers.callback(compose.execute, "down -v")
    try:
        request.getfixturevalue("docker_services")
    except Exception as error:
        if not or_none:
            raise
        _say(request, f"A Docker engine answers, but Compose failed; using the embedded stack. {str(error)[-300:]}")
        containers.close()
        return None
    return docker_stack(compose.execute)


def _compose(request: pytest.FixtureRequest) -> DockerComposeExecutor:
    command, project = map(request.getfixturevalue, ("docker_compose_command", "docker_compose_project_name"))
    return DockerComposeExecutor(command, str(COMPOSE), project)


def _say(request: pytest.FixtureRequest, line: str) -> None:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print(f"\n{line}")
