"""Elements of the shared Patient that are shown as the word of a source, because its word does not make them facts.

`docs/explanation/decisions/0029-whose-word-counts.md` says which. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from onestory.record.person.statements import PatientStatement, Trust, statement_reference
from onestory.shared.fhir.json import Element, element_value, objects_at, stated_death, text_at
from onestory.shared.identity import is_nhs_number_system

STATED_BY_SOURCE = "https://onestory.nhs.uk/StructureDefinition/stated-by-source"
"""Extension on Patient: `element` (code), `source` (organisation), `statement` (reference) and each `value`."""

FROM_ANY_SOURCE = frozenset({"name", "birthDate", "gender", "maritalStatus", "multipleBirth"})
"""The elements that the shared Patient may take from any source: authority, then registered practice, then newest."""

DEATH = "deceased: true"
"""The fact that an authority states a death."""

ParsedStatement = tuple[PatientStatement, dict[str, Element]]

# The type of each repetition, for the name of `value[x]`.
_TYPES = {
    "telecom": "ContactPoint",
    "address": "Address",
    "photo": "Attachment",
    "generalPractitioner": "Reference",
    "managingOrganization": "Reference",
    "active": "Boolean",
    "identifier": "Identifier",
    "security": "Coding",
    # Members of contact and communication.
    "relationship": "CodeableConcept",
    "name": "HumanName",
    "gender": "Code",
    "organization": "Reference",
    "period": "Period",
    "language": "CodeableConcept",
    "preferred": "Boolean",
}
_EXTENSIONS = ("extension", "modifierExtension")


def counts(trust: Trust, statement: PatientStatement, element: str) -> bool:
    """Whether the word of this statement's source makes the element a fact about the person."""
    if element == "deceased":
        return trust.is_authority(statement.organisation)
    return element in FROM_ANY_SOURCE or trust.counts(statement.organisation)


def words(
    parsed: Sequence[ParsedStatement], trust: Trust, facts: Iterable[str], identifiers: Iterable[tuple[Any, Any]]
) -> Iterator[dict[str, Any]]:
    """One extension for each element that a source states, and that is no fact.

    `facts` are the names of the elements that are facts, `extension <url>` for an extension, and `DEATH` if the death
    is one. `identifiers` are the (system, value) that are facts. A death is shown as a word also against an authority
    that says otherwise.
    """
    known, numbers = set(facts), set(identifiers)
    someone_died = any(stated_death(parts) for _, parts in parsed)
    for statement, parts in parsed:
        for element, content in parts.items():
            if counts(trust, statement, element) or element in _NEVER_SHOWN:
                continue
            if element == "deceased":
                if someone_died and DEATH not in known:
                    yield _word(element, statement, [_renamed(content)])
            elif element == "meta":
                if values := [_value("security", each) for each in _labels(content)]:
                    yield _word("meta.security", statement, values)
            elif values := list(_values(element, content, known, numbers)):
                yield _word(element, statement, values)


_NEVER_SHOWN = {"resourceType", "id", "implicitRules", "language", "text", "contained", "link"}


def _values(element: str, content: Element, known: set[str], numbers: set[tuple[Any, Any]]) -> Iterator[dict[str, Any]]:
    if element in _EXTENSIONS:
        for raw in items({element: content}, element):
            if f"{element} {msgspec.json.decode(raw)['url']}" not in known:
                yield {"url": "value", "extension": _extension_parts(raw)}
    elif element == "identifier":
        for raw in items({element: content}, element):
            identifier = msgspec.json.decode(raw)
            key = (identifier.get("system"), identifier.get("value"))
            if key not in numbers and not is_nhs_number_system(key[0]):
                yield _value(element, raw)
    elif element not in known and not (element == "active" and element_value(content, element) is not False):
        for raw in repetitions(content, element):
            if element not in ("contact", "communication"):
                yield _value(element, raw)
            elif members := list(_members(raw)):
                yield {"url": "value", "extension": members}


def _members(raw: msgspec.Raw) -> Iterator[dict[str, Any]]:
    """The members of a contact or a communication: an extension has no value of these types."""
    for name, member in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        for each in _listed(member):
            if name in _EXTENSIONS:
                yield {"url": name, "extension": _extension_parts(each)}
            elif name in _TYPES:
                yield {**_value(name, each), "url": name}


def _extension_parts(raw: msgspec.Raw) -> list[Any]:
    """The URL of an extension as `url`, its value, and each inner extension in the same form.

    An extension may stand only where its definition allows, so it cannot be repeated here as it is.
    """
    parts: list[Any] = []
    for name, member in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
        if name == "url":
            parts.append({"url": "url", "valueUri": member})
        elif name == "extension":
            parts += [{"url": "extension", "extension": _extension_parts(each)} for each in _listed(member)]
        elif name.startswith("value"):
            parts.append({"url": "value", name: member})
    return parts


def _value(element: str, raw: Any) -> dict[str, Any]:
    return {"url": "value", f"value{_TYPES[element]}": raw}


def _renamed(deceased: Element) -> dict[str, Any]:
    return {"url": "value", **{name.replace("deceased", "value"): raw for name, raw in deceased.items()}}


def _word(element: str, statement: PatientStatement, values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"url": STATED_BY_SOURCE, "extension": [*statement_reference(element, statement), *values]}


def _labels(meta: Element) -> list[Any]:
    return list((element_value(meta, "meta") or {}).get("security", ()))


class SourcesWord(NamedTuple):
    """An element of a shared Patient that is the word of one organisation; `values` are inner extensions, parsed."""

    element: str
    organisation: str
    values: Sequence[Mapping[str, Any]]


def words_in(patient: Mapping[str, Any]) -> list[SourcesWord]:
    """The words of sources that a parsed shared Patient shows."""
    found = []
    for extension in objects_at(patient, "extension"):
        if extension.get("url") == STATED_BY_SOURCE:
            parts = objects_at(extension, "extension")
            organisation = next((text_at(part, "valueReference", "identifier", "value") for part in parts[1:2]), "")
            values = [part for part in parts if part.get("url") == "value"]
            found.append(SourcesWord(text_at(parts[0], "valueCode"), organisation, values))
    return found


def repetitions(content: Element, name: str) -> list[msgspec.Raw]:
    """The repetitions of an element; one for an element that does not repeat."""
    raw = content.get(name)
    return [] if raw is None else _listed(raw)


def items(parts: Mapping[str, Element], name: str) -> list[msgspec.Raw]:
    """The items of an element that is a list."""
    return repetitions(parts.get(name, {}), name)


def _listed(raw: msgspec.Raw) -> list[msgspec.Raw]:
    return msgspec.json.decode(raw, type=list[msgspec.Raw]) if bytes(raw).lstrip()[:1] == b"[" else [raw]
