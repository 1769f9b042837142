"""The operations that we define are valid FHIR, and say what the record answers."""

from __future__ import annotations

import json

import pytest

from onestory.shared.contracts.files import folder
from onestory.shared.fhir.validation import check, validate

OPERATIONS = ("summary", "merged")


def definition(name: str) -> bytes:
    return (folder() / "fhir" / f"OperationDefinition-{name}.json").read_bytes()


@pytest.mark.parametrize("name", [*OPERATIONS, "freshness"])
def test_a_definition_is_valid_and_is_for_one_patient(name: str) -> None:
    body = definition(name)

    assert validate(body) == []
    assert check(body, "OperationDefinition", "OperationDefinition") == []
    said = json.loads(body)
    assert (said["code"], said["resource"]) == (name, ["Patient"])
    assert (said["system"], said["type"], said["instance"]) == (False, False, True)


def test_every_operation_can_be_asked_as_of_a_moment() -> None:
    for name in OPERATIONS:
        asked = {each["name"]: each for each in json.loads(definition(name))["parameter"] if each["use"] == "in"}
        assert asked["asOf"]["type"] == "instant"
