"""The embedded broker and the one in a container are configured alike."""

from __future__ import annotations

from pathlib import Path

import yaml

from onestory.local import kafka
from onestory.local.state import Stack

COMPOSE = Path(__file__).parents[3] / "deploy" / "compose.deps.yaml"
STACK = Stack("/somewhere", "http://b", "k:1", "c:2", "postgresql://p:3/onestory", "http://i", {})
OF_THE_PLACE = {
    "controller.quorum.voters",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "log.dirs",
}


def test_the_container_has_the_settings_of_the_embedded_broker() -> None:
    embedded = kafka.settings(Path("/somewhere"), STACK)

    container = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]["environment"]

    for name, value in embedded.items():
        if name not in OF_THE_PLACE:
            assert container["KAFKA_" + name.upper().replace(".", "_")] == value, name


def test_a_message_of_16_mb_fits() -> None:
    settings = kafka.settings(Path("/somewhere"), STACK)

    assert int(settings["message.max.bytes"]) > 16 * 1024 * 1024
    assert int(settings["replica.fetch.max.bytes"]) >= int(settings["message.max.bytes"])


def test_the_broker_listens_on_the_loopback_address_only() -> None:
    placed = Stack("/somewhere", "", "127.0.0.1:1", "127.0.0.1:2", "", "", {})

    listeners = kafka.settings(Path("/somewhere"), placed)["listeners"].split(",")

    assert all("://127.0.0.1:" in listener for listener in listeners)
