"""Reads FHIR JSON without trusting its shape, because older versions accepted resources that merging must not break on.

A value that does not have the form that FHIR gives it counts as absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Code = tuple[str, str]
"""A code system and a code."""


def objects(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects of an element, whether it is a list or a single object."""
    if isinstance(value, dict):
        return (value,)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()


def first(value: object) -> Mapping[str, Any]:
    """The first object of an element; an empty one if there is none."""
    if isinstance(value, dict):
        return value
    found = objects(value)
    return found[0] if found else {}


def text(value: object) -> str:
    """The value if it is a string, else ""."""
    return value if isinstance(value, str) else ""


def codes(concepts: object, system_aliases: Mapping[str, str]) -> list[Code]:
    """The codes of CodeableConcepts, with one name for each code system. Displays are ignored: words join nothing."""
    found = []
    for concept in objects(concepts):
        codings = concept.get("coding")
        # Most of the time of reading a record is spent in this loop.
        for coding in codings if isinstance(codings, list) else (codings,):
            if isinstance(coding, dict):
                system, code = coding.get("system"), coding.get("code")
                if isinstance(system, str) and isinstance(code, str) and system and code:
                    found.append((system_aliases.get(system, system), code))
    return found


def exclude(one: frozenset[Code], other: frozenset[Code]) -> bool:
    """Whether codes show two different things: each has a code of one system that the other does not have.

    A shared general code, of another system or of the same one, does not change that.
    """
    if one == other:
        return False
    mine = {system for system, _ in one - other}
    return any(system in mine for system, _ in other - one)


def bare_codes(concepts: object) -> list[str]:
    """The codes of CodeableConcepts whose code system does not matter, such as those of a status."""
    stated = [coding.get("code") for concept in objects(concepts) for coding in objects(concept.get("coding"))]
    return [code for code in stated if isinstance(code, str) and code]


def number(value: object) -> int | float | None:
    """The value if it is a number, else None; a boolean is no number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def reference_id(reference: object) -> str:
    """The id that a Reference points to, with its `#` if it is contained; "" if it points to nothing."""
    path = text(first(reference).get("reference")).partition("/_history/")[0]
    return path.rpartition("/")[2]


def worded(value: object) -> str:
    """Text in the form in which it is compared: case folded, single spaces."""
    return " ".join(text(value).casefold().split())
