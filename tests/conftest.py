"""The fixtures that all tests share: one stack per session, and our processes on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_docker.plugin import DockerComposeExecutor
from tests.stack import (
    DOCKER_PORTS,
    Services,
    Stack,
    docker_answers,
    docker_stack,
    embedded_stack,
    running_services,
)

from onestory.local import state

COMPOSE = Path(__file__).parent.parent / "deploy" / "compose.deps.yaml"


def pytest_configure(config: pytest.Config) -> None:
    # Warnings are errors; this one is of kafka-python's own imports, on Python 3.11 and 3.12.
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def docker_compose_file() -> str:
    return str(COMPOSE)


@pytest.fixture(scope="session")
def docker_setup() -> list[str]:
    return ["up --wait"]


@pytest.fixture(scope="session")
def docker_cleanup() -> list[str]:
    return []  # `stack` does it, also when the containers do not come up or somebody interrupts


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Kafka and PostgreSQL, started at the first test that asks. ONESTORY_TEST_STACK: docker, embedded or auto."""
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
    """All our processes on the session's stack. They are shared: each test brings its own people."""
    with running_services(stack) as started:
        yield started


@pytest.fixture
def database(stack: Stack) -> str:
    """The connection string of an empty database for one test."""
    return stack.fresh_database()


def _docker(request: pytest.FixtureRequest, cleanup: contextlib.ExitStack, or_none: bool) -> Stack | None:
    """The stack in containers; None when their images cannot be had and another stack will do."""
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
