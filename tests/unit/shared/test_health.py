"""The health server: port 0 turns it off, and a port in use is reported clearly."""

from __future__ import annotations

import socket

import pytest

from onestory.shared.errors import Misconfigured
from onestory.shared.http import health


def test_port_zero_turns_it_off() -> None:
    with health.serve_health("127.0.0.1", 0, health.process_registry(), lambda: True, lambda: True) as port:
        assert port == 0


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with (
            pytest.raises(Misconfigured, match="ONESTORY_HEALTH_PORT"),
            health.serve_health("127.0.0.1", port, health.process_registry(), lambda: True, lambda: True),
        ):
            pass
