"""The embedded broker and the broker in a container have the same configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from onestory.local import kafka
from onestory.local.state import Stack
from onestory.shared.errors import Misconfigured

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
    embedded = kafka.broker_settings(Path("/somewhere"), STACK)

    container = yaml.safe_load(COMPOSE.read_text())["services"]["kafka"]["environment"]

    for name, value in embedded.items():
        if name not in OF_THE_PLACE:
            assert container["KAFKA_" + name.upper().replace(".", "_")] == value, name


def test_a_message_of_16_mb_fits() -> None:
    settings = kafka.broker_settings(Path("/somewhere"), STACK)

    assert int(settings["message.max.bytes"]) > 16 * 1024 * 1024
    assert int(settings["replica.fetch.max.bytes"]) >= int(settings["message.max.bytes"])


def test_the_broker_listens_on_the_loopback_address_only() -> None:
    placed = Stack("/somewhere", "", "127.0.0.1:1", "127.0.0.1:2", "", "", {})

    listeners = kafka.broker_settings(Path("/somewhere"), placed)["listeners"].split(",")

    assert all("://127.0.0.1:" in listener for listener in listeners)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("/home/a", "log.dirs=/home/a\n"),
        ("/home/müller", "log.dirs=/home/m\\u00fcller\n"),
        ("C:\\data", "log.dirs=C:\\\\data\n"),
        ("/名/𝄞", "log.dirs=/\\u540d/\\ud834\\udd1e\n"),
        ("/a\nlog.cleaner.enable=false", "log.dirs=/a\\u000alog.cleaner.enable=false\n"),
    ],
)
def test_a_setting_is_escaped_as_java_reads_properties(value: str, line: str) -> None:
    assert kafka.properties({"log.dirs": value}) == line


def test_a_home_with_a_comma_is_refused_with_what_to_do(tmp_path: Path) -> None:
    home = tmp_path / "a,b"

    with pytest.raises(Misconfigured, match="comma") as raised:
        kafka.start(home, Stack(str(home), "", "127.0.0.1:1", "127.0.0.1:2", "", "", {}))

    assert "ONESTORY_HOME" in str(raised.value)
    assert not home.exists()


def test_a_cache_with_a_colon_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a:b"))

    with pytest.raises(Misconfigured, match="XDG_CACHE_HOME"):
        kafka.start(tmp_path, Stack(str(tmp_path), "", "127.0.0.1:1", "127.0.0.1:2", "", "", {}))
