"""The reviewed search data agrees with an independent library of the FHIR definitions."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from onestory.shared.fhir.definitions import definitions, refused_types, resource_types

FHIR = Path(__file__).parents[2] / "schemas" / "fhir"
KINDS = {
    "token": {
        "CodeableConcept",
        "Coding",
        "Identifier",
        "Code",
        "Boolean",
        "String",
        "Id",
        "Uri",
        "Oid",
        "ContactPoint",
    },
    "date": {"Date", "DateTime", "Instant", "Period", "Timing"},
    "reference": {"Reference"},
    "string": {"String"},
    "uri": {"Uri", "Url", "Canonical"},
    "quantity": {"Quantity", "Age", "Duration", "Range"},
    "number": {"Decimal", "Range"},
}
_TYPE = re.compile(r"abc\.(\w+)Type\b|\b([A-Z]\w+)\(\)|\bbool\b")


def load(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FHIR / name).read_text())
    return read


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"fhir.resources.R4B.{name.lower()}"), name)


def elements(kind: Any) -> dict[str, str]:
    """The elements of a type by their JSON names, each with the name of its own type."""
    listed = {field.alias or name: _TYPE.search(str(field.annotation)) for name, field in kind.model_fields.items()}
    return {name: match[1] or match[2] or "Boolean" for name, match in listed.items() if match}


def element(resource_type: str, path: str) -> str:
    """The type of an element. For an element of all types, the type that it has in Basic."""
    kind = model("Basic" if resource_type == "Resource" else resource_type)
    *ahead, last = path.split(".")
    for step in ahead:
        name = elements(kind)[step]
        # A backbone element is defined in the module of its resource.
        kind = getattr(sys.modules[kind.__module__], name, None) or model(name)
    return elements(kind)[last]


@pytest.mark.parametrize("resource_type", sorted(load("search-parameters.yaml")))
def test_a_search_parameter_looks_at_elements_of_its_kind(resource_type: str) -> None:
    for name, (kind, *paths) in load("search-parameters.yaml")[resource_type].items():
        for path in paths:
            assert element(resource_type, path) in KINDS[kind], (name, path)


@pytest.mark.parametrize("resource_type", sorted(load("care-dates.yaml")))
def test_care_dates_are_elements_with_a_date(resource_type: str) -> None:
    row = load("care-dates.yaml")[resource_type]
    paths = [path for name in ("at", "begin", "end") for path in row.get(name, ())]

    assert {element(resource_type, path) for path in paths} <= KINDS["date"]
    assert set(row.get("open-while", ())) <= set(definitions().codes.get(status_codes(resource_type), ()))


def status_codes(resource_type: str) -> str:
    return definitions().types[resource_type].get("status", "").removeprefix("code:")


def test_what_can_be_searched_can_be_published() -> None:
    assert load("search-parameters.yaml").keys() - {"Resource"} <= resource_types() - refused_types().keys()


@pytest.mark.parametrize("resource_type", sorted(load("summary-elements.yaml")))
def test_a_summary_is_what_fhir_marks_as_one(resource_type: str) -> None:
    stated = load("summary-elements.yaml")[resource_type]
    marks: dict[str, Any] = {
        str(field.alias): field.json_schema_extra or {} for field in model(resource_type).model_fields.values()
    }

    of_it = {name for name, mark in marks.items() if mark.get("summary_element_property")}
    assert of_it - set(stated.get("summary", ())) <= {"id", "meta", "implicitRules"}
    assert set(stated.get("summary", ())) <= of_it
    must_be = {name for name, mark in marks.items() if mark.get("element_required") or mark.get("one_of_many_required")}
    assert must_be <= set(stated.get("required", ()))
