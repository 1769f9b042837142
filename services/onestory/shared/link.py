"""What a Patient says of other identities of the same person (design section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from onestory.shared.events import Entry, RecordChanged
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    provisional,
)

PROVISIONAL = "provisional"
REPLACES = "replaces"
REPLACED_BY = "replaced-by"

# http://terminology.hl7.org/CodeSystem/v3-Confidentiality V, and PDS's S flag: a protected re-registration may not lead
# to the identity before it.
_PROTECTED = {"V", "S"}


class Link(NamedTuple):
    """Another identity of the person, in the order of the columns of `patient_link`."""

    other_key: str
    person_key: str
    shared_id: str
    event_id: Any
    kind: str


class Links(NamedTuple):
    """What one Patient statement says. `for_review`: a link that its source has no authority to make."""

    made: tuple[Link, ...]
    for_review: bool


def links(event: RecordChanged, entry: Entry, keys: Keys, authoritative: bool) -> Links:
    """The links of an asserted Patient, whose content is valid FHIR."""
    patient = orjson.loads(entry.content or b"{}")
    if _protected(patient):
        return Links((), False)
    person_key = keys.person_key(event.person)
    stated = list(_stated(patient))
    found = {keys.person_key(other): kind for kind, other in stated} if authoritative else {}
    if event.person.is_nhs_number:
        earlier = provisional(event.source.organisation, event.source.system, entry.local_id)
        found[keys.person_key(earlier)] = PROVISIONAL
    found.pop(person_key, None)
    made = (Link(key, person_key, entry.shared_id, event.event_id, kind) for key, kind in sorted(found.items()))
    return Links(tuple(made), bool(stated) and not authoritative)


def _protected(patient: dict[str, Any]) -> bool:
    meta = patient.get("meta")
    codings = _objects(meta.get("security")) if isinstance(meta, dict) else iter(())
    return any(coding.get("code") in _PROTECTED for coding in codings)


def _stated(patient: dict[str, Any]) -> Iterator[tuple[str, PersonIdentifier]]:
    """NHS numbers in Patient.link (http://hl7.org/fhir/R4/patient.html#links), of the two kinds that supersede."""
    for link in _objects(patient.get("link")):
        other = link.get("other")
        number = _nhs_number(other) if isinstance(other, dict) else None
        if number and link.get("type") in (REPLACES, REPLACED_BY):
            yield link["type"], PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def _nhs_number(other: dict[str, Any]) -> str | None:
    identifier = other.get("identifier")
    if isinstance(identifier, dict) and is_nhs_number_system(identifier.get("system")):
        value = identifier.get("value")
    else:
        value = str(other.get("reference", "")).rpartition("Patient/")[2]
    return value if isinstance(value, str) and is_nhs_number(value) else None


def _objects(value: object) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
