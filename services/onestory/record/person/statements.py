"""A source's Patient statement, and who is heard first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson

from onestory.shared.fhir.json import Element
from onestory.shared.identity import ODS_CODE_SYSTEM


@dataclass(frozen=True, slots=True)
class PatientStatement:
    """What one source says of a person. `said_at` (microseconds) tells which of two sources is the newer."""

    shared_id: str
    event_id: UUID | str
    organisation: str
    said_at: int
    broker_time: datetime | None
    content: bytes


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


# Where sources say different things of a person: shown on the Patient, never resolved by hiding.

DISAGREEMENT = "https://onestory.nhs.uk/StructureDefinition/patient-disagreement"
"""Extension on Patient: `element` (code), `source` (organisation), `statement` (reference to the source's Patient)."""

# What differs here differs by nature: each source has its own numbers, links and wording.
_OWN_TO_A_SOURCE = {"identifier", "link", "extension", "modifierExtension", "contained", "text", "active", "photo"}
_NO_MATTER = {"id", "extension", "use", "rank", "period"}


def disagreements(
    chosen: dict[str, tuple[PatientStatement, Element]], said: Sequence[tuple[PatientStatement, dict[str, Element]]]
) -> list[dict[str, Any]]:
    """One extension for each element in which a statement differs from what the Patient shows."""
    return [
        _extension(name, statement)
        for name, (winner, shown) in chosen.items()
        if name not in _OWN_TO_A_SOURCE
        for statement, elements in said
        if statement is not winner and name in elements and _differ(elements[name], shown)
    ]


def _extension(name: str, statement: PatientStatement) -> dict[str, Any]:
    source = {"identifier": {"system": ODS_CODE_SYSTEM, "value": statement.organisation}}
    return {
        "url": DISAGREEMENT,
        "extension": [
            {"url": "element", "valueCode": name},
            {"url": "source", "valueReference": source},
            {"url": "statement", "valueReference": {"reference": f"Patient/{statement.shared_id}"}},
        ],
    }


def _differ(one: Element, other: Element) -> bool:
    # Most sources write most elements in the same bytes.
    return one != other and _plain(one) != _plain(other)


def _plain(element: Element) -> object:
    said = {key: msgspec.json.decode(raw) for key, raw in element.items() if not key.startswith("_")}
    return _without_manner(said)


def _without_manner(value: Any) -> object:
    """A value without what changes no meaning: case, spaces at the ends, the order of repetitions, how it is used."""
    match value:
        case str():
            return value.strip().casefold()
        case list():
            return sorted({_canonical(_without_manner(item)) for item in value})
        case dict():
            return {key: _without_manner(item) for key, item in value.items() if key not in _NO_MATTER}
        case _:
            return value


def _canonical(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
