"""A resource taken apart into its elements without reading what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

Element = dict[str, msgspec.Raw]
"""An element with what FHIR JSON writes beside it: `birthDate` and `_birthDate`."""

_elements = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES = {
    f"{mark}{choice}{kind}": choice
    for choice, kinds in {"deceased": ("Boolean", "DateTime"), "multipleBirth": ("Boolean", "Integer")}.items()
    for kind in kinds
    for mark in ("", "_")
}


def elements(content: bytes) -> dict[str, Element]:
    """The top-level elements of a resource by name; a choice such as `deceased[x]` is one element."""
    found: dict[str, Element] = {}
    for key, raw in _elements.decode(content).items():
        found.setdefault(_NAMES.get(key) or key.removeprefix("_"), {})[key] = raw
    return found


def value(element: Element, key: str) -> Any:
    """What stands under a key of an element; None where it is not there."""
    raw = element.get(key)
    return None if raw is None else msgspec.json.decode(raw)


# Plain values of a resource, read whatever is in them: an element of another form counts as absent.

Code = tuple[str, str]
"""A code as it compares: its system, and the code."""


def each(value: Any, *path: str) -> list[Any]:
    """All that stands at a path, through lists."""
    found = value if isinstance(value, list) else [value]
    for name in path:
        ahead: list[Any] = []
        for item in found:
            inner = item.get(name) if isinstance(item, dict) else None
            if isinstance(inner, list):
                ahead += inner
            elif inner is not None:
                ahead.append(inner)
        if not ahead:
            return ahead
        found = ahead
    return [item for item in found if item is not None] if None in found else found


def first(value: Any, *path: str) -> str:
    """The first text at a path; empty where there is none."""
    if len(path) == 1 and isinstance(value, dict):
        # Most of what is asked for is a text of the resource itself, or is not there.
        inner = value.get(path[0])
        if inner is None or isinstance(inner, str):
            return inner or ""
    for found in each(value, *path):
        if isinstance(found, str):
            return found
    return ""


def objects(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """All objects at a path."""
    return [found for found in each(value, *path) if isinstance(found, dict)]


def codes(value: Mapping[str, Any], element: str) -> set[Code]:
    """The codes of an element that is a CodeableConcept, or several."""
    found: set[Code] = set()
    concepts = value.get(element)
    for concept in concepts if isinstance(concepts, list) else (concepts,):
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for coding in codings if isinstance(codings, list) else (codings,):
            if isinstance(coding, dict) and isinstance(code := coding.get("code"), str):
                system = coding.get("system")
                found.add((system if isinstance(system, str) else "", code))
    return found


def named(concept: Any) -> str:
    """What a CodeableConcept says: its text, else the display of a coding, else a code as it is."""
    if not isinstance(concept, dict):
        return ""
    return text_of(concept, "text") or first(concept, "coding", "display") or first(concept, "coding", "code")


def all_named(value: Any, *path: str) -> list[str]:
    """What the CodeableConcepts at a path say, each once."""
    return list(dict.fromkeys(name for concept in each(value, *path) if (name := named(concept))))


def extensions(value: Mapping[str, Any], ending: str) -> list[Mapping[str, Any]]:
    """The extensions whose address ends so: UK and HL7 publish the same one under several."""
    if "extension" not in value:
        return []
    return [found for found in objects(value, "extension") if text_of(found, "url").endswith(ending)]


def number(value: Any) -> str:
    """A number as its source wrote it."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def text_of(value: Mapping[str, Any], name: str) -> str:
    """A text of an object; empty where there is none."""
    found = value.get(name)
    return found if isinstance(found, str) else ""
