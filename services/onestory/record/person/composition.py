"""The shared Patient: composed of what the sources say, element by element (design section 5).

FHIR R4, http://hl7.org/fhir/R4/patient.html. Elements keep their bytes.
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
from onestory.shared.fhir.json import Element, elements, value
from onestory.shared.identity import NHS_NUMBER_SYSTEM

# Contained resources of several Patient statements in one Patient: each keeps its own, under a name of its own.

# A quote inside a JSON string is escaped, so text that looks like a reference does not match.
_LOCAL = re.compile(rb'("reference"\s*:\s*"#)([^"]+")')


def renamed(element: Element, mark: str) -> Element:
    """The element with `#id` turned into `#mark-id`, so that two sources' ids cannot meet."""
    return {key: msgspec.Raw(_renamed(bytes(raw), mark)) for key, raw in element.items()}


def contained(element: Element | None, mark: str) -> list[bytes]:
    """The contained resources of a statement, renamed likewise."""
    resources: Sequence[dict[str, msgspec.Raw]] = (
        msgspec.json.decode(element["contained"], type=list[dict[str, msgspec.Raw]]) if element else ()
    )
    return [_renamed(msgspec.json.encode({**each, "id": f"{mark}-{_id(each)}"}), mark) for each in resources]


def referred(resources: Sequence[bytes], shown: Sequence[bytes]) -> list[msgspec.Raw]:
    """Those that something refers to (FHIR R4 dom-3), directly or through another one of them."""
    named = {_id(msgspec.json.decode(resource, type=dict[str, msgspec.Raw])): resource for resource in resources}
    kept: dict[str, bytes] = {}
    ahead = list(shown)
    while ahead:
        for match in _LOCAL.finditer(ahead.pop()):
            name = match[2][:-1].decode()
            if name in named and name not in kept:
                kept[name] = named[name]
                ahead.append(named[name])
    return [msgspec.Raw(resource) for resource in kept.values()]


def _renamed(raw: bytes, mark: str) -> bytes:
    return _LOCAL.sub(rb"\g<1>%b-\g<2>" % mark.encode(), raw)


def _id(resource: dict[str, msgspec.Raw]) -> str:
    return str(value(resource, "id"))


Said = tuple[PatientStatement, dict[str, Element]]
# Written anew for the shared Patient, or true of one source's resource only.
_NOT_CARRIED = {"resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "link", "identifier"}
_BY_URL = ("extension", "modifierExtension")


@dataclass(frozen=True, slots=True)
class Numbers:
    """The NHS numbers of one person: the one that the Patient is for, and those before and after it."""

    own: str
    replaces: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    """All the rest of the person's numbers, however far along a chain of successions."""


@dataclass(frozen=True, slots=True)
class SharedPatient:
    """A Patient resource as JSON bytes. `last_updated` is None when no source has stated a Patient."""

    content: bytes
    version_id: str
    last_updated: datetime | None


def compose(numbers: Numbers, statements: Sequence[PatientStatement]) -> SharedPatient:
    """The Patient whose id is `numbers.own`. `statements` come in the order in which they are heard."""
    said = [_localised(statement, f"s{place}") for place, statement in enumerate(statements)]
    chosen = _chosen(said)
    extensions = [*_by_url(said, "extension"), *disagreements(chosen, said)]
    version_id = _version(numbers, statements)
    last_updated = max((each.broker_time for each in statements if each.broker_time), default=None)
    body = {
        "resourceType": "Patient",
        "id": numbers.own,
        "meta": _meta(said, version_id, last_updated),
        "contained": _contained(said, chosen, extensions),
        "extension": extensions,
        "modifierExtension": _by_url(said, "modifierExtension"),
        "identifier": _identifiers(numbers, said),
        **_raw(chosen),
        **({"active": False} if numbers.replaced_by else {}),
        "link": _links(numbers, statements),
    }
    content = msgspec.json.encode({key: part for key, part in body.items() if part != []})
    return SharedPatient(content, version_id, last_updated)


def _localised(statement: PatientStatement, mark: str) -> Said:
    found = elements(statement.content)
    if "contained" not in found:
        return statement, found
    local = {name: renamed(element, mark) for name, element in found.items() if name != "contained"}
    resources = [msgspec.Raw(resource) for resource in contained(found["contained"], mark)]
    return statement, {**local, "contained": {"contained": msgspec.Raw(msgspec.json.encode(resources))}}


def _chosen(said: Sequence[Said]) -> dict[str, tuple[PatientStatement, Element]]:
    chosen: dict[str, tuple[PatientStatement, Element]] = {}
    for statement, found in said:
        for name, element in found.items():
            if name not in _NOT_CARRIED and name not in _BY_URL:
                chosen.setdefault(name, (statement, element))
    return chosen


def _raw(chosen: dict[str, tuple[PatientStatement, Element]]) -> Element:
    return {key: raw for _, element in chosen.values() for key, raw in element.items()}


def _contained(
    said: Sequence[Said], chosen: dict[str, tuple[PatientStatement, Element]], extensions: Sequence[Any]
) -> list[msgspec.Raw]:
    resources = [bytes(raw) for _, found in said for raw in _list(found, "contained")]
    shown = [*_raw(chosen).values(), *extensions]
    return referred(resources, [msgspec.json.encode(part) for part in shown]) if resources else []


def _by_url(said: Sequence[Said], name: str) -> list[Any]:
    """An extension counts as an element of its own: all of its repetitions come from the first who has it."""
    kept: dict[str, tuple[PatientStatement, list[msgspec.Raw]]] = {}
    for statement, found in said:
        for raw in _list(found, name):
            winner, repetitions = kept.setdefault(msgspec.json.decode(raw)["url"], (statement, []))
            if winner is statement:
                repetitions.append(raw)
    return [raw for _, repetitions in kept.values() for raw in repetitions]


def _identifiers(numbers: Numbers, said: Sequence[Said]) -> list[Any]:
    """The own number first, as it was stated (it may say that it is verified); then what else anybody knows."""
    known: dict[tuple[str | None, str | None], Any] = {(NHS_NUMBER_SYSTEM, numbers.own): _nhs_number(numbers.own)}
    stated = [raw for _, found in said for raw in _list(found, "identifier")]
    for raw in reversed(stated):
        decoded = msgspec.json.decode(raw)
        key = (decoded.get("system"), decoded.get("value"))
        if key[0] != NHS_NUMBER_SYSTEM or key[1] == numbers.own:
            known[key] = raw
    old = {(NHS_NUMBER_SYSTEM, number): _nhs_number(number) for number in _other_numbers(numbers)}
    first = known.pop((NHS_NUMBER_SYSTEM, numbers.own))
    return [first, *old.values(), *reversed(known.values())]


def _nhs_number(number: str) -> dict[str, Any]:
    return {"system": NHS_NUMBER_SYSTEM, "value": number}


def _other_numbers(numbers: Numbers) -> list[str]:
    return [*numbers.replaced_by, *numbers.replaces, *numbers.others]


def _links(numbers: Numbers, statements: Sequence[PatientStatement]) -> list[dict[str, Any]]:
    pairs = [
        *[(number, "replaced-by") for number in numbers.replaced_by],
        *[(number, "replaces") for number in numbers.replaces],
        *[(statement.shared_id, "seealso") for statement in statements],
    ]
    return [{"other": {"reference": f"Patient/{target}"}, "type": kind} for target, kind in pairs]


def _meta(said: Sequence[Said], version_id: str, last_updated: datetime | None) -> dict[str, Any]:
    labels: dict[tuple[Any, Any], Any] = {}
    for _, found in said:
        for label in (value(found.get("meta", {}), "meta") or {}).get("security", []):
            labels.setdefault((label.get("system"), label.get("code")), label)
    return {
        "versionId": version_id,
        **({"lastUpdated": last_updated} if last_updated else {}),
        **({"security": list(labels.values())} if labels else {}),
    }


def _version(numbers: Numbers, statements: Sequence[PatientStatement]) -> str:
    # In the order in which they are heard, which decides what the Patient says.
    parts = [f"{each.shared_id}/{each.event_id}" for each in statements]
    known = "\n".join([numbers.own, *numbers.replaces, "", *numbers.replaced_by, "", *numbers.others, "", *parts])
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def _list(found: dict[str, Element], name: str) -> list[msgspec.Raw]:
    raw = found.get(name, {}).get(name)
    return [] if raw is None else msgspec.json.decode(raw, type=list[msgspec.Raw])


# Whether a source says of a person that few may see them (http://hl7.org/fhir/R4/security-labels.html).

_FEW = {"R", "V"}


class _SecurityLabel(msgspec.Struct):
    system: str = ""
    code: str = ""


class _Meta(msgspec.Struct):
    security: list[_SecurityLabel] = []


class _Patient(msgspec.Struct):
    meta: _Meta = msgspec.field(default_factory=_Meta)


_DECODER = msgspec.json.Decoder(_Patient)


def is_restricted(patient: bytes) -> bool:
    """Whether a Patient is labelled restricted or very restricted, in whatever spelling of v3-Confidentiality.

    One that cannot be read may be labelled so.
    """
    try:
        labels = _DECODER.decode(patient).meta.security
    except msgspec.DecodeError:
        return True
    return any(label.code in _FEW and _is_confidentiality(label.system) for label in labels)


def _is_confidentiality(system: str) -> bool:
    # Without a system it is one of the few words that everybody takes for it.
    return not system or "confidentiality" in system.lower()
