"""A resource taken apart into its elements without reading what is in them."""

from __future__ import annotations

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
