"""A source's Patient statement, taken apart into its elements without reading what is in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

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


@dataclass(frozen=True, slots=True)
class PatientStatement:
    """What one source says of a person. `said_at` (microseconds) tells which of two sources is the newer."""

    shared_id: str
    event_id: UUID | str
    organisation: str
    said_at: int
    broker_time: datetime | None
    content: bytes


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


def by_standing(
    statements: Iterable[PatientStatement], authorities: Collection[str], practice: str | None
) -> list[PatientStatement]:
    """Who is heard first (design section 5): the authority, then the registered practice, then the newest."""

    def standing(said: PatientStatement) -> tuple[bool, bool, int, str, str]:
        return (
            said.organisation in authorities,
            said.organisation == practice,
            said.said_at,
            str(said.event_id),
            said.shared_id,
        )

    return sorted(statements, key=standing, reverse=True)
