"""Where a resource has References, exactly: by the types of its elements, not by their names.

Three other elements are called `reference` and hold a string (Expression, DetectedIssue, Immunization.education).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from onestory.shared.fhir.definitions import definitions


@dataclass(frozen=True, slots=True)
class Found:
    """An object with a string element `reference`. `path` is FHIRPath, of the object."""

    path: str
    members: Mapping[str, Any]
    is_reference: bool


def references_in(resource: Mapping[str, Any], path: str) -> Iterator[Found]:
    """Every object with a string element `reference`, in the order in which these stand in the JSON text."""
    return _in_object(resource, str(resource["resourceType"]), path)


def _in_object(members: Mapping[str, Any], kind: str, path: str) -> Iterator[Found]:
    elements = definitions().types.get(kind, {})
    for name, value in members.items():
        if name == "reference" and isinstance(value, str):
            yield Found(path, members, kind == "Reference")
        else:
            yield from _in_value(value, _kind(elements, name), f"{path}.{name}")


def _in_value(value: Any, kind: str, path: str) -> Iterator[Found]:
    if isinstance(value, dict):
        yield from _in_object(value, str(value.get("resourceType")) if kind == "*" else kind, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_value(item, kind, f"{path}[{index}]")


def _kind(elements: Mapping[str, str], name: str) -> str:
    # An underscore is an element's own id and extensions; both may stand anywhere.
    return "Extension" if name in ("extension", "modifierExtension") else elements.get(name, "").removesuffix("[]")
