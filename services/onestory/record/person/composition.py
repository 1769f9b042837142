"""The shared Patient: composed element by element of all sources' Patient statements (design section 5). Pure.

FHIR R4, http://hl7.org/fhir/R4/patient.html. Elements keep the bytes of their source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from onestory.record.person.statements import PatientStatement, disagreements
from onestory.shared.fhir.json import Element, element_value, elements
from onestory.shared.identity import NHS_NUMBER_SYSTEM

ParsedStatement = tuple[PatientStatement, dict[str, Element]]

# Computed for the shared Patient, or specific to one source.
_NOT_COPIED = {"resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "link", "identifier"}
_CHOSEN_BY_URL = ("extension", "modifierExtension")


@dataclass(frozen=True, slots=True)
class NhsNumbers:
    """The NHS numbers of one person.

    `own` is the number of this Patient. `replaces` and `replaced_by` are the numbers directly before and after it.
    """

    own: str
    replaces: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """All other numbers of the person, at any distance in a chain of successions."""


@dataclass(frozen=True, slots=True)
class SharedPatient:
    """A Patient resource as JSON bytes. `last_updated` is None when no source has stated a Patient."""

    content: bytes
    version_id: str
    last_updated: datetime | None


def compose(numbers: NhsNumbers, statements: Sequence[PatientStatement]) -> SharedPatient:
    """The shared Patient whose id is `numbers.own`.

    `statements` come in order of precedence: each element is taken from the first statement that has it.
    """
    parsed = [_parse(statement, f"s{index}") for index, statement in enumerate(statements)]
    chosen = _choose_elements(parsed)
    extensions = [*_choose_by_url(parsed, "extension"), *disagreements(chosen, parsed)]
    version_id = _version_id(numbers, statements)
    last_updated = max((statement.broker_time for statement in statements if statement.broker_time), default=None)
    body = {
        "resourceType": "Patient",
        "id": numbers.own,
        "meta": _meta(parsed, version_id, last_updated),
        "contained": _contained_resources(parsed, chosen, extensions),
        "extension": extensions,
        "modifierExtension": _choose_by_url(parsed, "modifierExtension"),
        "identifier": _identifiers(numbers, parsed),
        **_members(chosen),
        **({"active": False} if numbers.replaced_by else {}),
        "link": _links(numbers, statements),
    }
    content = msgspec.json.encode({key: part for key, part in body.items() if part != []})
    return SharedPatient(content, version_id, last_updated)


def _parse(statement: PatientStatement, mark: str) -> ParsedStatement:
    """The statement with its elements. Ids of contained resources begin with `mark`, so those of two sources differ."""
    parts = elements(statement.content)
    if "contained" not in parts:
        return statement, parts
    renamed = {name: rename_local_references(element, mark) for name, element in parts.items() if name != "contained"}
    resources = [msgspec.Raw(resource) for resource in renamed_contained(parts["contained"], mark)]
    return statement, {**renamed, "contained": {"contained": msgspec.Raw(msgspec.json.encode(resources))}}


def _choose_elements(parsed: Sequence[ParsedStatement]) -> dict[str, tuple[PatientStatement, Element]]:
    chosen: dict[str, tuple[PatientStatement, Element]] = {}
    for statement, parts in parsed:
        for name, element in parts.items():
            if name not in _NOT_COPIED and name not in _CHOSEN_BY_URL:
                chosen.setdefault(name, (statement, element))
    return chosen


def _members(chosen: dict[str, tuple[PatientStatement, Element]]) -> Element:
    return {key: raw for _, element in chosen.values() for key, raw in element.items()}


def _contained_resources(
    parsed: Sequence[ParsedStatement], chosen: dict[str, tuple[PatientStatement, Element]], extensions: Sequence[Any]
) -> list[msgspec.Raw]:
    resources = [bytes(raw) for _, parts in parsed for raw in _items(parts, "contained")]
    shown = [*_members(chosen).values(), *extensions]
    return referenced_contained(resources, [msgspec.json.encode(part) for part in shown]) if resources else []


def _choose_by_url(parsed: Sequence[ParsedStatement], name: str) -> list[Any]:
    """The extensions. All repetitions of a URL come from the first statement that has that URL."""
    by_url: dict[str, tuple[PatientStatement, list[msgspec.Raw]]] = {}
    for statement, parts in parsed:
        for raw in _items(parts, name):
            winner, repetitions = by_url.setdefault(msgspec.json.decode(raw)["url"], (statement, []))
            if winner is statement:
                repetitions.append(raw)
    return [raw for _, repetitions in by_url.values() for raw in repetitions]


def _identifiers(numbers: NhsNumbers, parsed: Sequence[ParsedStatement]) -> list[Any]:
    """The own NHS number first, as the sources state it (it may be marked as verified), then all other identifiers."""
    identifiers: dict[tuple[str | None, str | None], Any] = {(NHS_NUMBER_SYSTEM, numbers.own): _nhs_number(numbers.own)}
    stated = [raw for _, parts in parsed for raw in _items(parts, "identifier")]
    for raw in reversed(stated):
        decoded = msgspec.json.decode(raw)
        key = (decoded.get("system"), decoded.get("value"))
        if key[0] != NHS_NUMBER_SYSTEM or key[1] == numbers.own:
            identifiers[key] = raw
    other_numbers = {(NHS_NUMBER_SYSTEM, number): _nhs_number(number) for number in _other_numbers(numbers)}
    first = identifiers.pop((NHS_NUMBER_SYSTEM, numbers.own))
    return [first, *other_numbers.values(), *reversed(identifiers.values())]


def _nhs_number(number: str) -> dict[str, Any]:
    return {"system": NHS_NUMBER_SYSTEM, "value": number}


def _other_numbers(numbers: NhsNumbers) -> list[str]:
    return [*numbers.replaced_by, *numbers.replaces, *numbers.others]


def _links(numbers: NhsNumbers, statements: Sequence[PatientStatement]) -> list[dict[str, Any]]:
    pairs = [
        *[(number, "replaced-by") for number in numbers.replaced_by],
        *[(number, "replaces") for number in numbers.replaces],
        *[(statement.shared_id, "seealso") for statement in statements],
    ]
    return [{"other": {"reference": f"Patient/{target}"}, "type": kind} for target, kind in pairs]


def _meta(parsed: Sequence[ParsedStatement], version_id: str, last_updated: datetime | None) -> dict[str, Any]:
    labels: dict[tuple[Any, Any], Any] = {}
    for _, parts in parsed:
        for label in (element_value(parts.get("meta", {}), "meta") or {}).get("security", []):
            labels.setdefault((label.get("system"), label.get("code")), label)
    return {
        "versionId": version_id,
        **({"lastUpdated": last_updated} if last_updated else {}),
        **({"security": list(labels.values())} if labels else {}),
    }


def _version_id(numbers: NhsNumbers, statements: Sequence[PatientStatement]) -> str:
    # The order of precedence counts, because it decides what the Patient shows.
    parts = [f"{statement.shared_id}/{statement.event_id}" for statement in statements]
    text = "\n".join([numbers.own, *numbers.replaces, "", *numbers.replaced_by, "", *numbers.others, "", *parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _items(parts: dict[str, Element], name: str) -> list[msgspec.Raw]:
    raw = parts.get(name, {}).get(name)
    return [] if raw is None else msgspec.json.decode(raw, type=list[msgspec.Raw])


# Contained resources of several statements in one Patient.

# A quote inside a JSON string is escaped, so a text that looks like a reference never matches.
_LOCAL_REFERENCE = re.compile(rb'("reference"\s*:\s*"#)([^"]+")')


def rename_local_references(element: Element, mark: str) -> Element:
    """The element with `#id` changed to `#mark-id`."""
    return {key: msgspec.Raw(_rename_in(bytes(raw), mark)) for key, raw in element.items()}


def renamed_contained(element: Element | None, mark: str) -> list[bytes]:
    """The contained resources of a statement, with changed ids and references."""
    resources: Sequence[dict[str, msgspec.Raw]] = (
        msgspec.json.decode(element["contained"], type=list[dict[str, msgspec.Raw]]) if element else ()
    )
    return [
        _rename_in(msgspec.json.encode({**resource, "id": f"{mark}-{_id(resource)}"}), mark) for resource in resources
    ]


def referenced_contained(resources: Sequence[bytes], shown: Sequence[bytes]) -> list[msgspec.Raw]:
    """The contained resources that something refers to, directly or through another one (FHIR R4 dom-3)."""
    by_id = {_id(msgspec.json.decode(resource, type=dict[str, msgspec.Raw])): resource for resource in resources}
    referenced: dict[str, bytes] = {}
    to_search = list(shown)
    while to_search:
        for match in _LOCAL_REFERENCE.finditer(to_search.pop()):
            local_id = match[2][:-1].decode()
            if local_id in by_id and local_id not in referenced:
                referenced[local_id] = by_id[local_id]
                to_search.append(by_id[local_id])
    return [msgspec.Raw(resource) for resource in referenced.values()]


def _rename_in(raw: bytes, mark: str) -> bytes:
    return _LOCAL_REFERENCE.sub(rb"\g<1>%b-\g<2>" % mark.encode(), raw)


def _id(resource: dict[str, msgspec.Raw]) -> str:
    return str(element_value(resource, "id"))


# Security labels.

_RESTRICTED_CODES = {"R", "V"}


class _SecurityLabel(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Meta(msgspec.Struct):
    security: list[_SecurityLabel] = []


class _Patient(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta)


_DECODER = msgspec.json.Decoder(_Patient)


def is_restricted(patient: bytes) -> bool:
    """Whether a Patient has a security label restricted or very restricted, in any spelling of v3-Confidentiality.

    Also true for a Patient that cannot be parsed, because it may have such a label. FHIR R4,
    http://hl7.org/fhir/R4/security-labels.html.
    """
    try:
        labels = _DECODER.decode(patient).meta.security
    except msgspec.DecodeError:
        return True
    return any(label.code in _RESTRICTED_CODES and _is_confidentiality_system(label.system) for label in labels)


def _is_confidentiality_system(system: str) -> bool:
    # Without a system, these codes are commonly meant as v3-Confidentiality.
    return not system or "confidentiality" in system.lower()
