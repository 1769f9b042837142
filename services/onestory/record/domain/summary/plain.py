"""Plain values of a resource, read whatever is in them: an element of another form counts as absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Code(NamedTuple):
    """A code and its system, as they compare."""

    system: str
    code: str


def each(value: Any, *path: str) -> Iterator[Any]:
    """All that stands at a path, through lists."""
    if isinstance(value, list):
        for item in value:
            yield from each(item, *path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from each(value[path[0]], *path[1:])


def first(value: Any, *path: str) -> str:
    """The first text at a path; empty where there is none."""
    return next((found for found in each(value, *path) if isinstance(found, str)), "")


def objects(value: Any, *path: str) -> Iterator[Mapping[str, Any]]:
    """All objects at a path."""
    return (found for found in each(value, *path) if isinstance(found, Mapping))


def codes(value: Any, *path: str) -> set[Code]:
    """The codes of all CodeableConcepts at a path."""
    return {
        Code(_text(coding, "system"), _text(coding, "code"))
        for coding in objects(value, *path, "coding")
        if coding.get("code")
    }


def named(concept: Any) -> str:
    """What a CodeableConcept says: its text, else the display of a coding, else a code as it is."""
    if not isinstance(concept, Mapping):
        return ""
    return first(concept, "text") or first(concept, "coding", "display") or first(concept, "coding", "code")


def all_named(value: Any, *path: str) -> list[str]:
    """What the CodeableConcepts at a path say, each once."""
    return list(dict.fromkeys(name for concept in each(value, *path) if (name := named(concept))))


def extensions(value: Any, ending: str) -> Iterator[Mapping[str, Any]]:
    """The extensions whose address ends so: UK and HL7 publish the same one under several."""
    return (found for found in objects(value, "extension") if _text(found, "url").endswith(ending))


def number(value: Any) -> str:
    """A number as its source wrote it."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
