"""The Avro contract: readers of the previous schemas read every event, and current readers read the earlier events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

AVRO = Path(__file__).parents[2] / "schemas" / "avro"
EVENTS = sorted(path.stem for path in AVRO.glob("*.avsc"))


def history(event: str) -> Iterator[Path]:
    """Every schema version that was ever published."""
    return (path for path in (AVRO / "history").glob("*.avsc") if path.stem.rpartition(".")[0] == event)


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def readable(reader: Any, writer: Any) -> bool:
    """Whether the reader schema can read data of the writer schema, as the Avro project's own library answers."""
    checker: Any = ReaderWriterCompatibilityChecker
    result = checker().get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    return bool(result.compatibility is SchemaCompatibilityType.compatible)


def without_ids(ids: Mapping[str, int], names: set[str]) -> set[str]:
    """Names of schemas that have no id in the wire format."""
    return names - ids.keys()


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_and_each_version_of_its_history_read_each_other(event: str) -> None:
    current = load(AVRO / f"{event}.avsc")

    for path in history(event):
        assert readable(current, load(path)), f"{event} cannot read {path.name}"
        assert readable(load(path), current), f"{path.name} cannot read {event}"


@pytest.mark.parametrize("event", EVENTS)
def test_the_current_version_is_in_the_history(event: str) -> None:
    assert load(AVRO / f"{event}.avsc") in [load(path) for path in history(event)]


def test_the_history_holds_no_stranger() -> None:
    assert {path.stem.rpartition(".")[0] for path in (AVRO / "history").glob("*.avsc")} == set(EVENTS)


def test_every_schema_that_may_be_on_the_wire_has_an_id_of_its_own() -> None:
    ids: dict[str, int] = load(AVRO / "ids.json")
    past = {path.stem for event in EVENTS for path in history(event) if load(path) != load(AVRO / f"{event}.avsc")}

    assert without_ids(ids, set(EVENTS) | past) == set()
    assert len(set(ids.values())) == len(ids)


# Tests of the checks above: changes that must be refused.


def test_a_field_without_a_default_is_refused() -> None:
    current = load(AVRO / "RecordChanged.avsc")
    broken = {**current, "fields": [*current["fields"], {"name": "ward", "type": "string"}]}

    assert not readable(broken, current)


def test_a_field_of_another_type_is_refused() -> None:
    current = load(AVRO / "RecordChanged.avsc")
    fields = [{**field, "type": "long"} if field["name"] == "correlation_id" else field for field in current["fields"]]

    assert not readable({**current, "fields": fields}, current)


def test_a_new_symbol_is_refused_because_old_readers_do_not_know_it() -> None:
    old = {"type": "enum", "name": "Operation", "symbols": ["assert", "retract"]}
    new = {**old, "symbols": [*old["symbols"], "seal"]}

    assert readable(new, old)
    assert not readable(old, new)


def test_a_schema_without_an_id_is_found() -> None:
    assert without_ids({"RecordChanged": 1}, {"RecordChanged", "WardChanged"}) == {"WardChanged"}
