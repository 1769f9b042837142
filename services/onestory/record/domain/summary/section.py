"""One section of a summary, as FHIR writes it.

http://hl7.org/fhir/R4/composition-definitions.html#Composition.section
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onestory.record.domain.summary.moments import NEVER

LOINC = "http://loinc.org"
OWN = "https://onestory.nhs.uk/CodeSystem/summary-section"
_EMPTY_REASON = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
_REASONS = {"unavailable": "Unavailable", "nilknown": "Nil Known"}


@dataclass(frozen=True, slots=True)
class Section:
    """`body` is XHTML inside the div. `entries` are the shared ids of what it refers to, each with its extensions.

    `empty` is the reason (http://hl7.org/fhir/R4/valueset-list-empty-reason.html) where it has no entries. From
    `until` on it says something else, though nobody says anything. `timeless` is what of the body counts as content,
    where not all of it does.
    """

    code: str
    title: str
    body: str
    entries: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...] = ()
    empty: str | None = None
    system: str = LOINC
    until: datetime = NEVER
    timeless: str | None = None


def div(body: str) -> str:
    """XHTML as a narrative holds it."""
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'


def as_fhir(section: Section, addresses: Mapping[str, str]) -> dict[str, Any]:
    """The section; `addresses` are the full URLs of shared ids."""
    entries = [
        {**({"extension": extensions} if extensions else {}), "reference": addresses[shared_id]}
        for shared_id, extensions in section.entries
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
