"""Where a resource has References, exactly: by the types of its elements, not by their names.

Three other elements are called `reference` and hold a string (Expression, DetectedIssue, Immunization.education).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onestory.shared.fhir.definitions import definitions
from onestory.shared.fhir.json import elements, value
from onestory.shared.identity import is_ods_code_system


@dataclass(frozen=True, slots=True)
class FoundReference:
    """An object with a string element `reference`. `path` is FHIRPath, of the object."""

    path: str
    members: Mapping[str, Any]
    is_reference: bool


def references_in(resource: Mapping[str, Any], path: str) -> Iterator[FoundReference]:
    """Every object with a string element `reference`, in the order in which these stand in the JSON text."""
    return _in_object(resource, str(resource["resourceType"]), path)


def _in_object(members: Mapping[str, Any], kind: str, path: str) -> Iterator[FoundReference]:
    elements = definitions().types.get(kind, {})
    for name, member in members.items():
        if name == "reference" and isinstance(member, str):
            yield FoundReference(path, members, kind == "Reference")
        else:
            yield from _in_value(member, _kind(elements, name), f"{path}.{name}")


def _in_value(value: Any, kind: str, path: str) -> Iterator[FoundReference]:
    if isinstance(value, dict):
        yield from _in_object(value, str(value.get("resourceType")) if kind == "*" else kind, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_value(item, kind, f"{path}[{index}]")


def _kind(elements: Mapping[str, str], name: str) -> str:
    # An underscore is an element's own id and extensions; both may stand anywhere.
    return "Extension" if name in ("extension", "modifierExtension") else elements.get(name, "").removesuffix("[]")


# The practices that a Patient names (FHIR R4 Patient.generalPractitioner; in PDS with a period in the identifier).

_ODS_REFERENCE = re.compile(r"(?:.*/)?Organization/([A-Z0-9]{3,8})")
_SHARED_REFERENCE = re.compile(r"Organization/([a-z2-7]{26}(?:-[a-z2-7]{26})?)")
# Greater than any day.
_NO_END = "~"


def shared_organisation(named: Mapping[str, Any]) -> str | None:
    """The shared id of the Organization that a reference names, where it names it by that alone."""
    match = _SHARED_REFERENCE.fullmatch(_reference(named)) if _ods_code(named) is None else None
    return match[1] if match else None


def named_practice(named: Mapping[str, Any], practices: Mapping[str, str]) -> str | None:
    """The ODS code of the organisation that a reference names; `practices` gives the ODS codes of Organizations.

    These are named by reference alone; their ids are those of `shared_organisation`.
    """
    return _ods_code(named) or _by_reference(_reference(named), practices)


def ods_code(organization: bytes) -> str | None:
    """The ODS code of an Organization resource."""
    return _ods_code({"identifier": value(elements(organization).get("identifier", {}), "identifier")})


def practice_in(named: Iterable[Mapping[str, Any]], practices: Mapping[str, str]) -> str | None:
    """Of several practices the one whose registration goes on, else the one where it ended last."""
    codes = [named_practice(each, practices) for each in sorted(named, key=_end, reverse=True)]
    return next((code for code in codes if code), None)


def _end(named: Mapping[str, Any]) -> str:
    identifier = named.get("identifier")
    period = identifier.get("period") if isinstance(identifier, dict) else None
    return str(period["end"]) if isinstance(period, dict) and period.get("end") else _NO_END


def practitioners(patient: bytes) -> Sequence[Mapping[str, Any]]:
    """Whom a Patient names as generalPractitioner."""
    return value(elements(patient).get("generalPractitioner", {}), "generalPractitioner") or ()


def _reference(named: Mapping[str, Any]) -> str:
    return str(named.get("reference", ""))


def _ods_code(named: Mapping[str, Any]) -> str | None:
    identifiers = named.get("identifier") or []
    for identifier in identifiers if isinstance(identifiers, list) else [identifiers]:
        if is_ods_code_system(identifier.get("system")) and identifier.get("value"):
            return str(identifier["value"]).upper()
    return None


def _by_reference(reference: str, practices: Mapping[str, str]) -> str | None:
    if match := _SHARED_REFERENCE.fullmatch(reference):
        return practices.get(match[1])
    return match[1] if (match := _ODS_REFERENCE.fullmatch(reference)) else None


# Which ServiceRequest asks a team for advice, and not to see the person.

ADVICE = ("https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "a8t1")
"""System and code of the category: advice and guidance, as BaRS and e-RS have it."""


def asks_for_advice(request: Mapping[str, Any]) -> bool:
    """Whether the ServiceRequest has this category."""
    return any(
        (coding.get("system"), coding.get("code")) == ADVICE
        for category in request.get("category", ())
        for coding in category.get("coding", ())
    )
