"""Finds a person in a resource of the directory. Everyone may read the directory, so it holds nobody.

A person is there by a contained resource, by a reference or an address of any kind, by an NHS number, as the patient or
subject of the resource, or as a member of a Group of persons. A name in free text cannot be recognised. An actor with a
display only may be a practitioner, so it is no person here.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from onestory.shared.fhir.definitions import directory_types, patient_compartment, resource_types
from onestory.shared.fhir.references import type_name
from onestory.shared.identity import is_nhs_number, is_nhs_number_system, parse_shared_id

_PERSONS = frozenset({"Patient", "RelatedPerson", "Person"})
# Elements of this name refer to a person, whatever the reference looks like.
_PERSON_ELEMENTS = frozenset({"patient", "subject"})
_REFERENCE_MEMBERS = frozenset({"reference", "identifier", "display"})
_EXTENSIONS = frozenset({"extension", "modifierExtension"})
_LITERAL = re.compile(r"(?:\S*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/\S*)?")
_CONDITIONAL = re.compile(r"(?:\S*/)?(?P<type>[A-Z][A-Za-z]+)\?\S*")
# `Patient/1` in an address, with anything behind it.
_IN_ADDRESS = re.compile(r"(?:^|/)(?:Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}(?:[/?#]|$)")
_LINK = re.compile(r"""(?:href|src)\s*=\s*["']([^"']*)["']""", re.I)
# Ten digits together or as 3-3-4, as NHS numbers are written.
_NUMBER = re.compile(r"(?<![0-9])([0-9]{3})[ \-\u2010-\u2015]?([0-9]{3})[ \-\u2010-\u2015]?([0-9]{4})(?![0-9])")
_COUNTRY_CODE = re.compile(r"\+[0-9]{1,3}[ \-]?(?:\(0\))?[ \-]?\Z")
_NOT_DIGITS = re.compile(r"[^0-9]")
# Their values are names of systems and definitions, or numbers of another kind. A narrative may repeat the numbers.
_OTHER_NUMBERS = frozenset(
    {"identifier", "telecom", "code", "serialNumber", "lotNumber", "distinctIdentifier", "udiCarrier", "partNumber"}
)
_NO_TEXT = frozenset({"url", "system", "profile", "id", "reference", "data", "version"})
_NUMBER_LENGTH = 10


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """The place of a person in a resource: the FHIRPath, and what is there."""

    path: str
    what: str


def person_in(resource: Mapping[str, Any], path: str) -> FoundPerson | None:
    """Return the first place where a resource contains, names or refers to a person; None for a resource without."""
    if resource.get("resourceType") == "Group" and resource.get("type") == "person" and resource.get("member"):
        return FoundPerson(f"{path}.member", "the members of a group of persons")
    return next(_Search(_other_numbers(resource)).in_object(resource, "", path, False), None)


@cache
def _types_about_persons() -> frozenset[str]:
    return _PERSONS | (patient_compartment().keys() - directory_types())


class _Search:
    """Searches one resource. `others` are the digits of its identifiers, codes and telephone numbers."""

    def __init__(self, others: frozenset[str]) -> None:
        self._others = others

    def in_object(self, members: Mapping[str, Any], name: str, path: str, is_number: bool) -> Iterator[FoundPerson]:
        """Yield the places in an object. `name` is that of its element; empty for the resource.

        `is_number`: it is part of an identifier or a number of another kind.
        """
        kind = members.get("resourceType")
        if isinstance(kind, str) and kind in _types_about_persons():
            yield FoundPerson(path, f"a {kind}")
        if is_nhs_number_system(members.get("system")) and members.get("value"):
            yield FoundPerson(path, "an NHS number")
        if _refers_to_person(members, name):
            yield FoundPerson(path, "a reference to a person")
        # The address of a definition names no resource.
        is_definition = "resourceType" in members or name in _EXTENSIONS
        for member, value in members.items():
            if member == "url" and is_definition:
                continue
            yield from self._in_value(value, member, f"{path}.{member}", is_number or member in _OTHER_NUMBERS)

    def _in_value(self, value: Any, name: str, path: str, is_number: bool) -> Iterator[FoundPerson]:
        if isinstance(value, dict):
            yield from self.in_object(value, name, path, is_number)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._in_value(item, name, f"{path}[{index}]", is_number)
        elif isinstance(value, str):
            yield from self._in_text(value, name, path, is_number)

    def _in_text(self, text: str, name: str, path: str, is_number: bool) -> Iterator[FoundPerson]:
        if (name == "reference" or name.startswith("value")) and _leads_to_person(text):
            yield FoundPerson(path, "a reference to a person")
        if _is_address(name) and _addresses_person(text):
            yield FoundPerson(path, "the address of a person")
        if name == "div" and any(_addresses_person(html.unescape(link)) for link in _LINK.findall(text)):
            yield FoundPerson(path, "a link to a person")
        if not is_number and name not in _NO_TEXT and _has_nhs_number(text, name, self._others):
            yield FoundPerson(path, "an NHS number")


def _refers_to_person(members: Mapping[str, Any], name: str) -> bool:
    """Return whether an object is a Reference whose element or type says that it leads to a person."""
    if _REFERENCE_MEMBERS.isdisjoint(members):
        return False
    target = members.get("type")
    kind = type_name(target) if isinstance(target, str) else ""
    if kind in _types_about_persons():
        return True
    if name not in _PERSON_ELEMENTS:
        return False
    match = _LITERAL.fullmatch(str(members.get("reference", "")))
    # A subject may be a Group or a Device, if the reference says so.
    literal = match["type"] if match and match["type"] in resource_types() else ""
    return name == "patient" or not (kind or literal)


def _is_address(name: str) -> bool:
    return name in ("url", "uri", "address", "value") or name.endswith(("Url", "Uri"))


def _addresses_person(address: str) -> bool:
    return _leads_to_person(address) or _IN_ADDRESS.search(address) is not None


def _leads_to_person(reference: str) -> bool:
    match = _LITERAL.fullmatch(reference)
    if match and match["type"] in resource_types():
        return match["type"] in _types_about_persons() or parse_shared_id(match["id"]) is not None
    search = _CONDITIONAL.fullmatch(reference)
    return search is not None and search["type"] in _types_about_persons()


def _has_nhs_number(text: str, name: str, others: frozenset[str]) -> bool:
    if not any(character.isdigit() for character in text):
        return False
    plain = unicodedata.normalize("NFKC", html.unescape(text) if name == "div" else text)
    for match in _NUMBER.finditer(plain):
        number = "".join(match.groups())
        is_telephone = bool(_COUNTRY_CODE.search(plain[: match.start()]))
        if is_nhs_number(number) and not is_telephone and not any(number in other for other in others):
            return True
    return False


def _other_numbers(resource: Mapping[str, Any]) -> frozenset[str]:
    """Return the digits of the resource's own identifiers, codes and telephone numbers."""
    numbers = (_NOT_DIGITS.sub("", text) for text in _number_texts(resource, False))
    return frozenset(digits for digits in numbers if len(digits) >= _NUMBER_LENGTH)


def _number_texts(value: Any, is_number: bool) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _number_texts(item, is_number)
    elif isinstance(value, dict) and not is_nhs_number_system(value.get("system")):
        for name, member in value.items():
            yield from _number_texts(member, is_number or name in _OTHER_NUMBERS)
    elif isinstance(value, str) and is_number:
        yield value
