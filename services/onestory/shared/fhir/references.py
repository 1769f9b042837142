"""Finds the References of a resource, the practice that a Patient names, and the category of advice requests.

References are found by the types of elements, not by their names. Three other elements are called `reference` and hold
a string (Expression, DetectedIssue, Immunization.education).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onestory.shared.fhir.definitions import definitions
from onestory.shared.fhir.json import element_value, elements, object_of
from onestory.shared.identity import is_nhs_number, is_ods_code_system

ADVICE_CATEGORY = ("https://fhir.nhs.uk/CodeSystem/usecases-categories-bars", "a8t1")
"""System and code of ServiceRequest.category for advice and guidance, as BaRS and e-RS define it."""

# The servers of NHS England whose Organization ids are ODS codes. Another server's id only looks like one.
_ODS_REFERENCE = re.compile(
    r"https://(?:directory\.spineservices\.nhs\.uk|(?:[a-z0-9-]+\.)?api\.service\.nhs\.uk/organisation-data-terminology-api)"
    r"/(?:[^?#]*/)?Organization/([A-Z0-9]{3,8})"
)
_SHARED_REFERENCE = re.compile(r"Organization/([a-z2-7]{26}(?:-[a-z2-7]{26})?)")
# Quotes inside a JSON string are escaped, so text that looks like a reference does not match.
_LITERAL = re.compile(
    rb'"reference"\s*:\s*"(?:(https?://[^"]*)/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[^"]*)?"'
)
_PDS = "/personal-demographics/FHIR/R4/Patient/"
# Sorts after every date.
_NO_END = "~"


_STRUCTURE_DEFINITION = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class ReferenceObject:
    """An object with a string element `reference`. `path` is the FHIRPath of the object."""

    path: str
    members: Mapping[str, Any]
    is_reference: bool


def references_in(resource: Mapping[str, Any], path: str) -> Iterator[ReferenceObject]:
    """Yield every object with a string element `reference`, in the order of the JSON text."""
    return _in_object(resource, str(resource["resourceType"]), path)


def literal_references(contents: Iterable[bytes], base_url: str = "") -> set[tuple[str, str]]:
    """Return type and id of each resource here that these resources refer to, without parsing them.

    A reference to a resource here is relative, or begins with `base_url`. Its version does not count.
    """
    base = base_url.encode()
    found = {groups for content in contents for groups in _LITERAL.findall(content)}
    return {(kind.decode(), name.decode()) for url, kind, name in found if url in (b"", base)}


def _in_object(members: Mapping[str, Any], kind: str, path: str) -> Iterator[ReferenceObject]:
    elements = definitions().types.get(kind, {})
    for name, member in members.items():
        if name == "reference" and isinstance(member, str):
            yield ReferenceObject(path, members, kind == "Reference")
        else:
            yield from _in_value(member, _kind(elements, name), f"{path}.{name}")


def _in_value(value: Any, kind: str, path: str) -> Iterator[ReferenceObject]:
    if isinstance(value, dict):
        yield from _in_object(value, str(value.get("resourceType")) if kind == "*" else kind, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _in_value(item, kind, f"{path}[{index}]")


def _kind(elements: Mapping[str, str], name: str) -> str:
    # Every type may have extensions, and so may the `_name` member of a primitive element.
    return "Extension" if name in ("extension", "modifierExtension") else elements.get(name, "").removesuffix("[]")


def type_name(reference_type: str) -> str:
    """Return the name in Reference.type, which may be a URL (http://hl7.org/fhir/R4/references-definitions.html)."""
    return reference_type.removeprefix(_STRUCTURE_DEFINITION)


def pds_patient_id(reference: str) -> str | None:
    """Return the NHS number in the URL of a Patient of PDS, or None for any other reference.

    PDS is the authority for identity, and its Patient ids are NHS numbers. Its host differs by environment.
    """
    patient_id = reference.partition(_PDS)[2]
    return patient_id if is_nhs_number(patient_id) else None


def general_practitioners(patient: bytes) -> Sequence[Mapping[str, Any]]:
    """Return the References in Patient.generalPractitioner."""
    return element_value(elements(patient).get("generalPractitioner", {}), "generalPractitioner") or ()


def organisation_shared_id(named: Mapping[str, Any]) -> str | None:
    """Return the shared id of the Organization that a Reference names, or None if it names an ODS code."""
    match = _SHARED_REFERENCE.fullmatch(_reference(named)) if _ods_code(named) is None else None
    return match[1] if match else None


def practice_ods_code(named: Mapping[str, Any], practices: Mapping[str, str]) -> str | None:
    """Return the ODS code of the organisation that a Reference names, or None.

    `practices` maps shared ids of Organizations, as `organisation_shared_id` returns them, to their ODS codes.
    """
    return _ods_code(named) or _code_of_literal(_reference(named), practices)


def ods_code(organization: bytes) -> str | None:
    """Return the ODS code of an Organization resource, or None."""
    return _ods_code({"identifier": element_value(elements(organization).get("identifier", {}), "identifier")})


def current_practice(named: Iterable[Mapping[str, Any]], practices: Mapping[str, str]) -> str | None:
    """Return the ODS code of the practice whose registration has no end, else of the one that ended last.

    `named` are the References in Patient.generalPractitioner. PDS gives the period of a registration in the
    identifier.
    """
    codes = [practice_ods_code(reference, practices) for reference in sorted(named, key=_end, reverse=True)]
    return next((code for code in codes if code), None)


def _end(named: Mapping[str, Any]) -> str:
    return str(object_of(object_of(named, "identifier"), "period").get("end") or _NO_END)


def _reference(named: Mapping[str, Any]) -> str:
    return str(named.get("reference", ""))


def _ods_code(named: Mapping[str, Any]) -> str | None:
    identifiers = named.get("identifier") or []
    for identifier in identifiers if isinstance(identifiers, list) else [identifiers]:
        if is_ods_code_system(identifier.get("system")) and identifier.get("value"):
            return str(identifier["value"]).upper()
    return None


def _code_of_literal(reference: str, practices: Mapping[str, str]) -> str | None:
    if match := _SHARED_REFERENCE.fullmatch(reference):
        return practices.get(match[1])
    return match[1] if (match := _ODS_REFERENCE.fullmatch(reference)) else None


def is_advice_request(request: Mapping[str, Any]) -> bool:
    """Return whether the ServiceRequest asks a team for advice only, and not to see the person."""
    return any(
        (coding.get("system"), coding.get("code")) == ADVICE_CATEGORY
        for category in request.get("category", ())
        for coding in category.get("coding", ())
    )
