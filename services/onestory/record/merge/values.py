"""Reading what a resource holds without trusting its shape: what an older door let in must break nothing here.

Whatever is not as FHIR has it is read as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Code = tuple[str, str]
"""A code system and a code."""


def objects(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects of an element, whether it repeats or not."""
    if isinstance(value, dict):
        return (value,)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()


def first(value: object) -> Mapping[str, Any]:
    """The first object of an element; an empty one where there is none."""
    if isinstance(value, dict):
        return value
    found = objects(value)
    return found[0] if found else {}


def text(value: object) -> str:
    """A string; anything else is empty."""
    return value if isinstance(value, str) else ""


def codes(concepts: object, same_system: Mapping[str, str]) -> list[Code]:
    """The codes of CodeableConcepts, with one name for each code system. Never the display: words join nothing."""
    found = []
    for concept in objects(concepts):
        codings = concept.get("coding")
        # Nearly all of a record's reading is done here.
        for coding in codings if isinstance(codings, list) else (codings,):
            if isinstance(coding, dict):
                system, code = coding.get("system"), coding.get("code")
                if isinstance(system, str) and isinstance(code, str) and system and code:
                    found.append((same_system.get(system, system), code))
    return found


def exclude(one: frozenset[Code], other: frozenset[Code]) -> bool:
    """Whether codes tell two things apart: each has a code of one system that the other does not have.

    A general code in common, of another system or of the same one, makes them no less different.
    """
    if one == other:
        return False
    mine = {system for system, _ in one - other}
    return any(system in mine for system, _ in other - one)


def bare_codes(concepts: object) -> list[str]:
    """The codes of CodeableConcepts whose code system does not matter, as that of a status."""
    stated = [coding.get("code") for concept in objects(concepts) for coding in objects(concept.get("coding"))]
    return [code for code in stated if isinstance(code, str) and code]


def number(value: object) -> int | float | None:
    """A number, which `true` is not."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def reference_id(reference: object) -> str:
    """The id that a Reference leads to, `#` and all where it is contained; empty: it leads nowhere."""
    path = text(first(reference).get("reference")).partition("/_history/")[0]
    return path.rpartition("/")[2]


def worded(value: object) -> str:
    """Text as people compare it: without case, and with one space where there are several."""
    return " ".join(text(value).casefold().split())
