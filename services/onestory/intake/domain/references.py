"""A resource's references rewritten in its bytes, so that all other bytes stay as they were.

A name before a colon can only be an element's, and only References have a string element `reference`, apart from three
types that are looked at closely. Text that merely looks like a reference has its quotes escaped, and is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from onestory.intake.domain.ids import Index, relative
from onestory.intake.domain.item import Item
from onestory.intake.domain.owner import PersonResolver
from onestory.intake.domain.request import Reception, identifier_in
from onestory.shared.errors import PreconditionFailed, Unprocessable
from onestory.shared.fhir.definitions import directory_types, resource_types
from onestory.shared.fhir.references import FoundReference, references_in
from onestory.shared.identity import is_directory_id, is_nhs_number, is_nhs_number_system, parse_shared_id

# What a publisher's reference becomes in the record (http://hl7.org/fhir/R4/references.html).

_WHAT_TO_SEND = (
    "Send Type/id, an absolute URL, Type?identifier=system|value, the fullUrl of an entry in the submission, or "
    "#id of a contained resource."
)


@dataclass(frozen=True, slots=True)
class Logical:
    """A reference by identifier (http://hl7.org/fhir/R4/references.html#logical)."""

    resource_type: str
    system: str
    value: str


Target = str | Logical


class Targets:
    """Where the references of one statement lead. `person_key` is None in the directory.

    `shared_ids` has those of the statement's own items, by index; `patient_id` gives a Patient's id in the record.
    """

    def __init__(
        self,
        index: Index,
        people: PersonResolver,
        reception: Reception,
        person_key: str | None,
        shared_ids: Mapping[int, str],
        patient_id: Callable[[Item], str],
    ) -> None:
        self._index = index
        self._people = people
        self._reception = reception
        self._person_key = person_key
        self._shared_ids = shared_ids
        self._patient_id = patient_id

    def of(self, reference: str) -> Target:
        """What stands in its place. Raises `Unprocessable` for one that leads nowhere."""
        item = self._index.find(reference)
        if item is not None:
            return self._item(item)
        plain = self._index.plain(reference)
        if plain.startswith(("http://", "https://")):
            return reference if plain == reference or "/_history/" in reference else plain
        if "?" in plain:
            return self._conditional(plain)
        target = relative(plain)
        if target:
            return self._relative(*target)
        if plain.startswith("urn:"):
            says = f"No entry of the submission has this fullUrl: include what it means. {_WHAT_TO_SEND}"
            raise Unprocessable(says, code="not-found")
        raise Unprocessable(f"This is no reference. {_WHAT_TO_SEND}", code="value")

    def _item(self, item: Item) -> Target:
        if item.resource_type == "Patient":
            return f"Patient/{self._patient_id(item)}"
        if item.index not in self._shared_ids:
            raise Unprocessable("This leads to an entry that is not about the same person.", code="business-rule")
        return f"{item.resource_type}/{self._shared_ids[item.index]}"

    def _relative(self, kind: str, target_id: str) -> Target:
        if kind not in resource_types():
            raise Unprocessable(f"This names no FHIR R4 resource type. {_WHAT_TO_SEND}", code="value")
        if kind == "Patient":
            return self._patient(target_id)
        if parse_shared_id(target_id) or is_directory_id(target_id):
            return f"{kind}/{target_id}"
        source, keys = self._reception.source, self._reception.door.keys
        # What is about no person was said to the directory, by itself.
        if self._person_key is None or kind in directory_types():
            return f"{kind}/{keys.resource_hash(source.organisation, source.system, kind, target_id)}"
        return f"{kind}/{keys.shared_id(self._person_key, source.organisation, source.system, kind, target_id)}"

    def _patient(self, target_id: str) -> Target:
        if is_nhs_number(target_id) or self._people.at_reference(f"Patient/{target_id}"):
            return f"Patient/{target_id}"
        raise Unprocessable(
            "This leads to nobody we know: include the Patient in the submission, or send Patient/<NHS number>.",
            code="not-found",
        )

    def _conditional(self, reference: str) -> Target:
        kind, _, search = reference.partition("?")
        if kind not in resource_types():
            raise Unprocessable(f"This names no FHIR R4 resource type. {_WHAT_TO_SEND}", code="value")
        try:
            system, _, value = identifier_in(search, "").partition("|")
        except PreconditionFailed as error:
            says = "Only Type?identifier=system|value can stand in a reference: it becomes a reference by identifier."
            raise Unprocessable(says, code="not-supported") from error
        if kind == "Patient" and is_nhs_number_system(system):
            return self._patient(unquote(value))
        return Logical(kind, system, value)


_NAME = b'"reference"'
_VALUE = re.compile(rb'(\s*:\s*)("[^"\\]*(?:\\.[^"\\]*)*")', re.S)
# A Reference that begins with `reference` and has nothing else that a logical reference would need.
_ALONE = re.compile(rb'\s*(?:,\s*"display"\s*:\s*"[^"\\]*(?:\\.[^"\\]*)*"\s*)?\}', re.S)
_COMMA = re.compile(rb"\s*,\s*")
# Expressions (also in criteria and triggers), DetectedIssue and Immunization.education have a URI of this name.
_LOOK_CLOSELY = (b'xpression"', b"rigger", b'criteria"', b'"education"', b"DetectedIssue")


def rewrite(content: bytes, item: Item, targets: Targets, cache: dict[bytes, Target]) -> bytes:
    """The content with its references as they are in the record. `cache` is that of one statement.

    Raises `Unprocessable` with the path of the first reference that leads nowhere.
    """
    if _NAME not in content:
        return content
    pieces = content.split(_NAME)
    found = _found(content, item) if any(mark in content for mark in _LOOK_CLOSELY) else None
    rewritten = _pieces(pieces, found, item, targets, cache)
    if rewritten is None:
        rewritten = _pieces(pieces, _found(content, item), item, targets, cache)
    assert rewritten is not None
    return b"".join(rewritten)


def _pieces(
    pieces: list[bytes], found: list[FoundReference] | None, item: Item, targets: Targets, cache: dict[bytes, Target]
) -> list[bytes] | None:
    """The pieces between the names, each with its reference; None when one needs `found` to be rewritten rightly."""
    out = [pieces[0]]
    at = 0
    for piece in pieces[1:]:
        match = _VALUE.match(piece)
        if match is None:
            out += (_NAME, piece)
            continue
        place = found[at] if found is not None else None
        at += 1
        if place is not None and not place.is_reference:
            out += (_NAME, piece)
            continue
        target, rest = _target(match[2], item, targets, cache), piece[match.end() :]
        if isinstance(target, str):
            out.append(b'%b%b"%b"%b' % (_NAME, match[1], target.encode(), rest) if target else _NAME + piece)
        elif place is not None:
            _put_logical(out, target, rest, place.members)
        elif out[-1].rstrip().endswith(b"{") and _ALONE.match(rest):
            out.append(_logical(target, ()) + rest)
        else:
            return None
    return out


def _target(literal: bytes, item: Item, targets: Targets, cache: dict[bytes, Target]) -> Target:
    """What stands in place of a JSON string; an empty string keeps its bytes."""
    known = cache.get(literal)
    if known is not None:
        return known
    reference: str = msgspec.json.decode(literal)
    try:
        if reference.startswith("#"):
            _refuse_uncontained(reference, item, cache)
            return ""
        target = targets.of(reference)
    except Unprocessable as error:
        issue = error.issues[0]
        raise Unprocessable(issue.diagnostics, code=issue.code, expression=_path(item, reference)) from error
    cache[literal] = "" if target == reference else target
    return cache[literal]


def _refuse_uncontained(reference: str, item: Item, cache: dict[bytes, Target]) -> None:
    # What an item contains is read once, however often it is referenced. No JSON string begins like these keys.
    mine = b"#%d " % item.index
    if mine not in cache:
        contained = msgspec.json.decode(item.members.get("contained", b"[]"))
        cache |= {mine: "", **{mine + str(each.get("id")).encode(): "" for each in contained}}
    if reference != "#" and mine + reference[1:].encode() not in cache:
        raise Unprocessable("No contained resource has this id: include it, or send Type/id.", code="not-found")


def _put_logical(out: list[bytes], target: Logical, rest: bytes, members: Mapping[str, Any]) -> None:
    written = _logical(target, members)
    if written:
        out.append(written + rest)
        return
    # The Reference has type and identifier already: the member goes, and one of the commas beside it.
    comma = _COMMA.match(rest)
    if comma:
        out.append(rest[comma.end() :])
    else:
        out[-1] = out[-1].rstrip().removesuffix(b",")
        out.append(rest)


def _logical(target: Logical, members: Mapping[str, Any] | tuple[()]) -> bytes:
    said = {"type": target.resource_type, "identifier": {"system": target.system, "value": target.value}}
    return msgspec.json.encode({name: value for name, value in said.items() if name not in members})[1:-1]


def _found(content: bytes, item: Item) -> list[FoundReference]:
    return list(references_in(msgspec.json.decode(content), item.path))


def _path(item: Item, reference: str) -> str:
    resource = msgspec.json.decode(item.raw)
    places = (found.path for found in references_in(resource, item.path) if found.members["reference"] == reference)
    return f"{next(places, item.path)}.reference"
