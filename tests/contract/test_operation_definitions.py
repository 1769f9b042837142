"""The operation definitions of the record are valid FHIR, and match the record's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.heard import network

from onestory.record.merge.view import merged_view
from onestory.shared.fhir.validate import check_resource, validate
from onestory.shared.kafka.schemas import schemas_folder

OPERATIONS = ("summary", "merged")


def definition(name: str) -> bytes:
    return (schemas_folder() / "fhir" / f"OperationDefinition-{name}.json").read_bytes()


@pytest.mark.parametrize(
    ("name", "types", "on_type"),
    [
        *[(name, ["Patient"], True) for name in (*OPERATIONS, "freshness")],
        ("servicerequest-story", ["ServiceRequest", "Task"], False),
    ],
)
def test_a_definition_is_valid_and_is_for_one_resource(name: str, types: list[str], on_type: bool) -> None:
    body = definition(name)

    assert validate(body) == []
    assert check_resource(body, "OperationDefinition", "OperationDefinition") == []
    said = json.loads(body)
    assert (said["code"], said["resource"]) == (name.rpartition("-")[2], types)
    assert (said["system"], said["type"], said["instance"]) == (False, on_type, True)
    assert ("identifier" in [each["name"] for each in said["parameter"]]) is on_type


def test_every_operation_can_be_asked_as_of_a_moment() -> None:
    for name in OPERATIONS:
        asked = {each["name"]: each for each in json.loads(definition(name))["parameter"] if each["use"] == "in"}
        assert asked["asOf"]["type"] == "instant"


def test_the_merged_record_is_answered_as_it_is_defined() -> None:
    defined = {each["name"]: each for each in json.loads(definition("merged"))["parameter"] if each["use"] == "out"}

    answered = 0
    for person in network(20):
        known = person.known()
        for parameter in json.loads(merged_view(known.merged, known.contents))["parameter"]:
            _as_defined(parameter, defined[parameter["name"]])
            answered += 1

    assert answered > 500


def _as_defined(parameter: dict[str, Any], defined: dict[str, Any]) -> None:
    parts: list[dict[str, Any]] = parameter.get("part", [])
    for each in defined.get("part", []):
        found = [part for part in parts if part["name"] == each["name"]]
        assert each["min"] <= len(found)
        assert each["max"] == "*" or len(found) <= int(each["max"])
        for part in found:
            _as_defined(part, each)
            if "type" in each:
                assert "resource" in part or f"value{each['type'][0].upper()}{each['type'][1:]}" in part
    assert {part["name"] for part in parts} <= {each["name"] for each in defined.get("part", [])}
