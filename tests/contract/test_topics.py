"""The topic files are complete and well spelt, and every topic has its event."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from onestory.shared.kafka.schemas import topics

SCHEMAS = Path(__file__).parents[2] / "schemas"
FILES = sorted((SCHEMAS / "topics").glob("*.yaml"))
KEYS = {
    "topic",
    "about",
    "key",
    "schema",
    "producers",
    "consumers",
    "partitions",
    "retention",
    "cleanup",
    "max_message_bytes",
}
KINDS_OF_KEY = {"person", "resource", "original"}
ROOMS = {path.parent.name for path in (Path(__file__).parents[2] / "services" / "onestory").glob("*/main.py")}
OTHERS = {"operators", "access", "subscribers"}


def faults(raw: Mapping[str, Any]) -> list[str]:
    """The faults of a topic file."""
    found = [f"unknown key {key}" for key in sorted(raw.keys() - KEYS)]
    found += [f"missing key {key}" for key in sorted(KEYS - raw.keys())]
    if raw.get("key") not in KINDS_OF_KEY:
        found.append(f"unknown kind of key {raw.get('key')}")
    named = {*raw.get("producers", []), *raw.get("consumers", [])}
    return found + [f"unknown room {name}" for name in sorted(named - ROOMS - OTHERS)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_topic_file_has_every_key_and_no_other(path: Path) -> None:
    assert faults(yaml.safe_load(path.read_text())) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_topic_file_is_named_for_its_topic(path: Path) -> None:
    assert yaml.safe_load(path.read_text())["topic"] == path.stem


def test_every_event_has_a_topic_and_every_topic_an_event() -> None:
    events = {path.stem for path in (SCHEMAS / "avro").glob("*.avsc")}

    assert {topic.schema for topic in topics().values()} == events


def test_a_whole_message_can_be_parked() -> None:
    parked = topics()["care.parked"].max_message_bytes

    assert all(parked > topic.max_message_bytes for topic in topics().values() if topic.name != "care.parked")


# Tests of the checks above.


def test_a_misspelt_key_is_refused() -> None:
    raw = yaml.safe_load(FILES[0].read_text())
    raw["retentoin"] = raw.pop("retention")

    assert faults(raw) == ["unknown key retentoin", "missing key retention"]


def test_an_unknown_room_is_refused() -> None:
    raw = {**yaml.safe_load(FILES[0].read_text()), "consumers": ["recrod"]}

    assert faults(raw) == ["unknown room recrod"]
