"""The shared Patient: composed element by element of all sources' Patient statements (design section 5). Pure.

FHIR R4, http://hl7.org/fhir/R4/patient.html. Elements keep the bytes of their source. An element whose source is
neither a demographic authority nor the registered practice may be shown as that source's word only: see
`sources_words`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from onestory.record.person.labels import REDACTED, without_contact_members
from onestory.record.person.sources_words import DEATH, ParsedStatement, counts, items, words
from onestory.record.person.statements import PatientStatement, Trust, by_precedence, disagreements
from onestory.shared.fhir.json import Element, element_value, elements, stated_death
from onestory.shared.identity import NHS_NUMBER_SYSTEM, is_nhs_number_system

# Computed for the shared Patient, or specific to one source.
_NOT_COPIED = {"resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "link", "identifier"}
_MAX_PATIENTS_OF_A_SOURCE = 20
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


def compose(
    numbers: NhsNumbers, stated: Iterable[PatientStatement], trust: Trust, *, withhold_contact: bool = False
) -> SharedPatient:
    """The shared Patient whose id is `numbers.own`.

    Each element is taken from the first statement, by precedence, that has it and whose word counts for it.
    `withhold_contact`: the Patient has no address and no phone. The newest 20 Patients of each source that is
    neither an authority nor the registered practice count, so that no source can make the Patient slow to read.
    """
    statements = _limited(by_precedence(stated, trust.authorities, trust.practice), trust)
    parsed = [_parse(statement, f"s{index}", withhold_contact) for index, statement in enumerate(statements)]
    trusted = [(statement, parts) for statement, parts in parsed if trust.counts(statement.organisation)]
    chosen, first = _choose_elements(parsed, trust)
    own_extensions, modifiers = (_choose_by_url(trusted, name) for name in _CHOSEN_BY_URL)
    identifiers = _identifiers(numbers, trusted)
    facts = [
        *chosen,
        *(f"extension {url}" for url in own_extensions),
        *(f"modifierExtension {url}" for url in modifiers),
    ]
    if any(trust.is_authority(statement.organisation) and stated_death(parts) for statement, parts in parsed):
        facts.append(DEATH)
    extensions = [
        *_flat(own_extensions),
        *words(parsed, trust, facts, identifiers),
        *disagreements({**first, **chosen}, parsed),
    ]
    version_id = _version_id(numbers, statements, trust, withhold_contact)
    last_updated = max((statement.broker_time for statement in statements if statement.broker_time), default=None)
    shown = [*_members(chosen).values(), *extensions, *_flat(modifiers), *identifiers.values()]
    body = {
        "resourceType": "Patient",
        "id": numbers.own,
        "meta": _meta(trusted, version_id, last_updated, withhold_contact),
        "contained": _contained_resources(parsed, shown),
        "extension": extensions,
        "modifierExtension": _flat(modifiers),
        "identifier": list(identifiers.values()),
        **_members(chosen),
        **({"active": False} if numbers.replaced_by else {}),
        "link": _links(numbers, statements),
    }
    content = msgspec.json.encode({key: part for key, part in body.items() if part != []})
    return SharedPatient(content, version_id, last_updated)


def _limited(statements: Iterable[PatientStatement], trust: Trust) -> list[PatientStatement]:
    taken: Counter[str] = Counter()
    kept = []
    for statement in statements:
        taken[statement.organisation] += 1
        if taken[statement.organisation] <= _MAX_PATIENTS_OF_A_SOURCE or trust.counts(statement.organisation):
            kept.append(statement)
    return kept


def _parse(statement: PatientStatement, mark: str, withhold_contact: bool) -> ParsedStatement:
    """The statement with its elements. Ids of contained resources begin with `mark`, so those of two sources differ."""
    parts = elements(statement.content)
    if withhold_contact:
        parts = {name: kept for name, part in parts.items() if (kept := without_contact_members(part))}
    if "contained" not in parts:
        return statement, parts
    renamed = {name: rename_local_references(element, mark) for name, element in parts.items() if name != "contained"}
    resources = [msgspec.Raw(resource) for resource in renamed_contained(parts["contained"], mark)]
    return statement, {**renamed, "contained": {"contained": msgspec.Raw(msgspec.json.encode(resources))}}


_ChosenElements = dict[str, tuple[PatientStatement, Element]]


def _choose_elements(parsed: Sequence[ParsedStatement], trust: Trust) -> tuple[_ChosenElements, _ChosenElements]:
    """The elements that are shown as facts, and the first statement of each element, whoever states it."""
    chosen: _ChosenElements = {}
    first: _ChosenElements = {}
    for statement, parts in parsed:
        for name, element in parts.items():
            if name in _NOT_COPIED or name in _CHOSEN_BY_URL:
                continue
            first.setdefault(name, (statement, element))
            if counts(trust, statement, name):
                chosen.setdefault(name, (statement, element))
    return chosen, first


def _members(chosen: _ChosenElements) -> Element:
    return {key: raw for _, element in chosen.values() for key, raw in element.items()}


def _contained_resources(parsed: Sequence[ParsedStatement], shown: Sequence[Any]) -> list[msgspec.Raw]:
    resources = [bytes(raw) for _, parts in parsed for raw in items(parts, "contained")]
    return referenced_contained(resources, [msgspec.json.encode(part) for part in shown]) if resources else []


def _choose_by_url(parsed: Sequence[ParsedStatement], name: str) -> dict[str, list[msgspec.Raw]]:
    """The extensions by URL. All repetitions of a URL come from the first statement that has that URL."""
    by_url: dict[str, tuple[PatientStatement, list[msgspec.Raw]]] = {}
    for statement, parts in parsed:
        for raw in items(parts, name):
            winner, repetitions = by_url.setdefault(msgspec.json.decode(raw)["url"], (statement, []))
            if winner is statement:
                repetitions.append(raw)
    return {url: repetitions for url, (_, repetitions) in by_url.items()}


def _flat(by_url: Mapping[str, Sequence[msgspec.Raw]]) -> list[Any]:
    return [raw for repetitions in by_url.values() for raw in repetitions]


def _identifiers(numbers: NhsNumbers, parsed: Sequence[ParsedStatement]) -> dict[tuple[str | None, str | None], Any]:
    """By (system, value): the own NHS number first, as sources state it (perhaps marked as verified), then the others.

    `parsed` are the statements whose word counts.
    """
    identifiers: dict[tuple[str | None, str | None], Any] = {(NHS_NUMBER_SYSTEM, numbers.own): _nhs_number(numbers.own)}
    stated = [raw for _, parts in parsed for raw in items(parts, "identifier")]
    for raw in reversed(stated):
        decoded = msgspec.json.decode(raw)
        key = (decoded.get("system"), decoded.get("value"))
        if key == (NHS_NUMBER_SYSTEM, numbers.own) or not is_nhs_number_system(key[0]):
            identifiers[key] = raw
    other_numbers: dict[tuple[str | None, str | None], Any] = {
        (NHS_NUMBER_SYSTEM, number): _nhs_number(number) for number in _other_numbers(numbers)
    }
    first = identifiers.pop((NHS_NUMBER_SYSTEM, numbers.own))
    return {(NHS_NUMBER_SYSTEM, numbers.own): first, **other_numbers, **dict(reversed(identifiers.items()))}


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


def _meta(
    trusted: Sequence[ParsedStatement], version_id: str, last_updated: datetime | None, withhold_contact: bool
) -> dict[str, Any]:
    labels: dict[tuple[Any, Any], Any] = {}
    for _, parts in trusted:
        for label in (element_value(parts.get("meta", {}), "meta") or {}).get("security", []):
            labels.setdefault((label.get("system"), label.get("code")), label)
    if withhold_contact:
        labels.setdefault((REDACTED["system"], REDACTED["code"]), REDACTED)
    return {
        "versionId": version_id,
        **({"lastUpdated": last_updated} if last_updated else {}),
        **({"security": list(labels.values())} if labels else {}),
    }


def _version_id(
    numbers: NhsNumbers, statements: Sequence[PatientStatement], trust: Trust, withhold_contact: bool
) -> str:
    # The order of precedence counts, and so does whose word counts: both decide what the Patient shows.
    parts = [
        f"{statement.shared_id}/{statement.event_id}/{trust.standing(statement.organisation)}"
        for statement in statements
    ]
    text = "\n".join([numbers.own, *numbers.replaces, "", *numbers.replaced_by, "", *numbers.others, "", *parts])
    return hashlib.sha256(f"{text}\n{withhold_contact}".encode()).hexdigest()[:32]


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
