"""Reads values from FHIR JSON (http://hl7.org/fhir/R4/json.html).

`elements` splits a resource into raw elements without parsing them. The other functions read parsed JSON leniently: an
element with an unexpected form counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from onestory.shared.fhir import resource

Element = dict[str, msgspec.Raw]
"""The members of one element, by JSON key: `birthDate` and `_birthDate`."""
Code = resource.Code
concept_text = resource.concept_text

_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CHOICES = {
    f"{prefix}{choice}{kind}": choice
    for choice, kinds in {"deceased": ("Boolean", "DateTime"), "multipleBirth": ("Boolean", "Integer")}.items()
    for kind in kinds
    for prefix in ("", "_")
}


def elements(content: bytes) -> dict[str, Element]:
    """Return the top-level elements of a resource by name. A choice such as `deceased[x]` is one element."""
    by_name: dict[str, Element] = {}
    for key, raw in _decoder.decode(content).items():
        by_name.setdefault(_CHOICES.get(key) or key.removeprefix("_"), {})[key] = raw
    return by_name


def element_value(element: Element, key: str) -> Any:
    """Return the parsed value under a key of an element, or None."""
    raw = element.get(key)
    return None if raw is None else msgspec.json.decode(raw)


def stated_death(parts: Mapping[str, Element]) -> bool | None:
    """Return whether a Patient, by its elements, states that the person died; None if it does not say."""
    element = parts.get("deceased", {})
    if "deceasedDateTime" in element:
        return True
    stated: bool | None = element_value(element, "deceasedBoolean")
    return stated


def values_at(value: Any, *path: str) -> list[Any]:
    """Return all values at a path. Lists on the way are flattened."""
    if len(path) == 1 and isinstance(value, dict):
        # The fast path: most callers read one element, which most resources do not have.
        stated = value.get(path[0])
        if stated is None:
            return []
        if not isinstance(stated, list):
            return [stated]
    values = value if isinstance(value, list) else [value]
    for name in path:
        inner_values: list[Any] = []
        for item in values:
            inner = item.get(name) if isinstance(item, dict) else None
            if isinstance(inner, list):
                inner_values += inner
            elif inner is not None:
                inner_values.append(inner)
        if not inner_values:
            return inner_values
        values = inner_values
    return [item for item in values if item is not None] if None in values else values


def text_at(value: Any, *path: str) -> str:
    """Return the first string at a path, or an empty string."""
    if len(path) == 1 and isinstance(value, dict):
        # The fast path: most callers read a string of the object itself, or one that is absent.
        inner = value.get(path[0])
        if inner is None or isinstance(inner, str):
            return inner or ""
    for item in values_at(value, *path):
        if isinstance(item, str):
            return item
    return ""


def objects_at(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """Return all objects at a path."""
    return listed_objects(values_at(value, *path))


def objects(value: object) -> Sequence[Mapping[str, Any]]:
    """Return the objects of an element, whether it is a list or a single object."""
    if isinstance(value, dict):
        return (value,)
    return listed_objects(value)


def listed_objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects of a list. A single object counts as absent: FHIR puts a repeating element into a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def first_object(value: object) -> Mapping[str, Any]:
    """Return the first object of an element; an empty one if there is none."""
    if isinstance(value, dict):
        return value
    found = listed_objects(value)
    return found[0] if found else {}


def object_of(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under a name of an object; an empty one for anything else, also for a list."""
    member = value.get(name)
    return member if isinstance(member, dict) else {}


def codes_of(value: Mapping[str, Any], element: str) -> frozenset[Code]:
    """Return the codes of an element that holds one CodeableConcept or a list of them.

    A code without a system counts: its system is an empty string.
    """
    return resource.concept_at(value, element).codes


def concept_texts(value: Any, *path: str) -> list[str]:
    """Return the texts of the CodeableConcepts at a path, in order and without duplicates."""
    if len(path) == 1 and isinstance(value, dict):
        return list(resource.concept_at(value, path[0]).texts)
    return list(dict.fromkeys(filter(None, map(concept_text, values_at(value, *path)))))


def extensions(value: Mapping[str, Any], ending: str) -> list[Mapping[str, Any]]:
    """Return the extensions whose URL ends with `ending`. HL7 and HL7 UK publish the same one under several URLs."""
    if "extension" not in value:
        return []
    return [item for item in objects_at(value, "extension") if text_of(item, "url").endswith(ending)]


def number_text(value: Any) -> str:
    """Return a number as its source wrote it, or an empty string."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def text_of(value: Mapping[str, Any], name: str) -> str:
    """Return the string under a name of an object, or an empty string."""
    return text(value.get(name))


def text(value: object) -> str:
    """Return the value if it is a string, else an empty string."""
    return value if isinstance(value, str) else ""
