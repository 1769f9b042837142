"""Topics are data: one file of `schemas/topics/` for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import yaml

from onestory.shared.contracts.files import folder
from onestory.shared.errors import Misconfigured

RECORD = "care.record"
DIRECTORY = "care.directory"
PARKED = "care.parked"
ACCESS = "care.access"
SUMMARY = "care.summary"
REFERRAL = "care.referral"


@dataclass(frozen=True, slots=True)
class Topic:
    """One file of `schemas/topics/`. `retention_ms` is -1 for ever."""

    name: str
    schema: str
    partitions: int
    retention_ms: int
    cleanup: str
    max_message_bytes: int


@cache
def topics() -> Mapping[str, Topic]:
    """Every topic by name. Raises `Misconfigured` when a file does not say what a topic needs."""
    loaded = (_topic(path) for path in sorted((folder() / "topics").glob("*.yaml")))
    return MappingProxyType({topic.name: topic for topic in loaded})


def _topic(path: Path) -> Topic:
    try:
        raw = yaml.safe_load(path.read_text())
        return Topic(
            name=raw["topic"],
            schema=raw["schema"],
            partitions=int(raw["partitions"]),
            retention_ms=_milliseconds(raw["retention"]),
            cleanup=raw["cleanup"],
            max_message_bytes=int(raw["max_message_bytes"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise Misconfigured(f"schemas/topics/{path.name} cannot be used: {error!r}.") from error


def _milliseconds(retention: str) -> int:
    if retention == "forever":
        return -1
    days, unit = retention.split()
    if unit != "days":
        raise ValueError(f"retention is 'forever' or 'N days', not {retention!r}")
    return int(days) * 86_400_000
