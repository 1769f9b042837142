"""The embedded stack chooses free ports, reuses its earlier ones and keeps those that the environment sets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from onestory.local import state
from onestory.local.state import Stack
from onestory.shared.errors import Misconfigured

HOME = Path("/somewhere")


def nothing_lives(name: str) -> bool:
    return False


@pytest.fixture
def occupied() -> Iterator[int]:
    """A port on which another process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def _choose(before: Stack | None = None, **environment: str) -> Stack:
    return state.choose_addresses(HOME, before, environment, nothing_lives)


def test_all_ports_differ() -> None:
    chosen = _choose()

    listed = [chosen.kafka, chosen.controller, chosen.postgres, *chosen.health.values()]
    assert len({state.port_of(address) for address in listed}) == len(listed)


def test_the_ports_of_last_time_are_taken_again() -> None:
    first = _choose()

    assert _choose(first) == first


def test_a_port_that_somebody_took_since_is_replaced(occupied: int) -> None:
    first = _choose()
    before = Stack(**{**{name: getattr(first, name) for name in Stack.__slots__}, "kafka": f"127.0.0.1:{occupied}"})

    again = _choose(before)

    assert state.port_of(again.kafka) != occupied
    assert again.postgres == before.postgres


def test_a_port_that_the_environment_fixes_is_used() -> None:
    port = state.free_port(set())

    chosen = _choose(ONESTORY_PORT=str(port))

    assert chosen.base_url == f"http://127.0.0.1:{port}"


def test_a_fixed_port_in_use_is_refused_in_one_sentence(occupied: int) -> None:
    with pytest.raises(Misconfigured, match=rf"ONESTORY_PORT: port {occupied} is in use") as raised:
        _choose(ONESTORY_PORT=str(occupied))

    assert "\n" not in str(raised.value)


def test_a_fixed_port_that_its_own_process_holds_is_no_conflict(occupied: int) -> None:
    environment = {"ONESTORY_PORT": str(occupied)}

    chosen = state.choose_addresses(HOME, None, environment, lambda name: name == "serve")

    assert chosen.base_url.endswith(f":{occupied}")


@pytest.mark.parametrize("elsewhere", ["kafka.example:9092", "nonsense", "127.0.0.1"])
def test_a_kafka_elsewhere_is_refused_because_the_stack_brings_its_own(elsewhere: str) -> None:
    with pytest.raises(Misconfigured, match="ONESTORY_KAFKA must name a port of"):
        _choose(ONESTORY_KAFKA=elsewhere)
