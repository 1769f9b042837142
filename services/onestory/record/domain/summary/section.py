"""One section of a summary, as FHIR writes it.

http://hl7.org/fhir/R4/composition-definitions.html#Composition.section
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LOINC = "http://loinc.org"
OWN = "https://onestory.nhs.uk/CodeSystem/summary-section"
_EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_REASONS = {"unavailable": "Unavailable", "nilknown": "Nil Known"}


@dataclass(frozen=True, slots=True)
class Section:
    """`body` is XHTML inside the div. `entries` are the shared ids of what it refers to, each with its extensions.

    `empty` is the reason (http://hl7.org/fhir/R4/valueset-list-empty-reason.html) where it has no entries.
    """

    code: str
    title: str
    body: str
    entries: tuple[tuple[str, list[Any]], ...] = ()
    empty: str | None = None
    system: str = LOINC


def div(body: str) -> str:
    """XHTML as a narrative holds it."""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def as_fhir(section: Section, addresses: dict[str, str]) -> dict[str, Any]:
    """The section; `addresses` are the full URLs of shared ids."""
    entries = [
        {"reference": addresses[shared_id], **({"extension": extension} if extension else {})}
        for shared_id, extension in section.entries
        if shared_id in addresses
    ]
    empty = section.empty if not entries else None
    return {
        "title": section.title,
        "code": {"coding": [{"system": section.system, "code": section.code}]},
        "text": {"status": "generated", "div": div(section.body)},
        **({"entry": entries} if entries else {}),
        **({"emptyReason": _reason(empty)} if empty else {}),
    }


def _reason(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _EMPTY_REASON, "code": code, "display": _REASONS[code]}]}
