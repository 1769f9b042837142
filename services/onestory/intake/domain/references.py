"""Rewrites the references of a resource to the record's ids, in its bytes. All other bytes stay as they were.

Specification: http://hl7.org/fhir/R4/references.html.

In the bytes, `"reference"` before a colon can only be the name of an element. Only References have a string element of
this name, apart from three types of element. A resource that may hold one of those is parsed. Text that merely looks
like a reference has its quotes escaped, so it never matches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from onestory.intake.domain.earlier import EarlierStatements, OwnReference
from onestory.intake.domain.item import Item, ItemIndex, parse_relative_reference
from onestory.intake.domain.links import LinkKind, find_linked, rewrite_links
from onestory.intake.domain.owner import PersonResolver
from onestory.intake.domain.request import SubmissionContext, identifier_condition
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.definitions import directory_types, resource_types
from onestory.shared.fhir.references import ReferenceObject, references_in
from onestory.shared.identity import (
    is_directory_id,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
    provisional_identity,
)

_ADVICE = (
    "Send Type/id, an absolute URL, Type?identifier=system|value, the fullUrl of an entry in the submission, or "
    "#id of a contained resource."
)
_NAME = b'"reference"'
_VALUE = re.compile(rb'(\s*:\s*)("[^"\\]*(?:\\.[^"\\]*)*")', re.S)
# The rest of a Reference that has no element after `reference` but display.
_REST_OF_LITERAL = re.compile(rb'\s*(?:,\s*"display"\s*:\s*"[^"\\]*(?:\\.[^"\\]*)*"\s*)?\}', re.S)
_COMMA = re.compile(rb"\s*,\s*")
# In Expression (also in criteria and triggers), DetectedIssue and Immunization.education, `reference` is a uri.
_MAY_HOLD_URI = (b'xpression"', b"rigger", b'criteria"', b'"education"', b"DetectedIssue")


@dataclass(frozen=True, slots=True)
class LogicalReference:
    """A reference by identifier (http://hl7.org/fhir/R4/references.html#logical)."""

    resource_type: str
    system: str
    value: str


Target = str | LogicalReference
"""A literal reference in the record, or a logical one. An empty string: the reference keeps its bytes."""


def rewrite(content: bytes, item: Item, targets: ReferenceTargets) -> bytes:
    """Return the content with the record's ids in references and links. Raises `Unprocessable` with the path."""
    return targets.rewrite_links(_rewrite_references(content, item, targets), item)


def _rewrite_references(content: bytes, item: Item, targets: ReferenceTargets) -> bytes:
    """Return the content with the record's references.

    Raises `Unprocessable` with the path of the first reference that leads nowhere.
    """
    if _NAME not in content:
        return content
    pieces = content.split(_NAME)
    parsed = _reference_objects(content, item) if any(mark in content for mark in _MAY_HOLD_URI) else None
    rewritten = _rewrite_pieces(pieces, parsed, item, targets)
    if rewritten is None:
        rewritten = _rewrite_pieces(pieces, _reference_objects(content, item), item, targets)
    assert rewritten is not None
    return b"".join(rewritten)


class ReferenceTargets:
    """Finds the target of each reference in one statement.

    `person_key` is None in the directory. `shared_ids` has the shared ids of the statement's items, by index.
    `patient_id` returns the id of a Patient in the record.
    """

    def __init__(
        self,
        index: ItemIndex,
        people: PersonResolver,
        earlier: EarlierStatements,
        context: SubmissionContext,
        person_key: str | None,
        shared_ids: Mapping[int, str],
        patient_id: Callable[[Item], str],
    ) -> None:
        self._index = index
        self._people = people
        self._earlier = earlier
        self._context = context
        self._person_key = person_key
        self._shared_ids = shared_ids
        self._patient_id = patient_id
        self._caches: dict[str | None, dict[bytes, Target]] = {}

    def cache_of(self, item: Item) -> dict[bytes, Target]:
        """Return the targets that were found before, by the bytes of the reference, for references in `item`."""
        # The same bytes mean another resource in an entry of another server.
        return self._caches.setdefault(self._index.root_of(item), {})

    def refuse_uncontained(self, reference: str, item: Item) -> None:
        """Raise `Unprocessable` unless `item` contains the resource that `#id` names."""
        self._people.contained_in(item).find(reference)

    def find(self, reference: str, item: Item) -> Target:
        """Return the target of a reference that stands in `item`. Raises `Unprocessable` for one that leads nowhere."""
        entry = self._index.find(reference, item)
        if entry is not None:
            return self._item(entry)
        normalised = self._index.normalise(reference)
        if normalised.startswith(("http://", "https://")):
            return reference if normalised == reference or "/_history/" in reference else normalised
        if "?" in normalised:
            return self._conditional(normalised)
        target = parse_relative_reference(normalised)
        if target:
            return self._relative(*target)
        if normalised.startswith("urn:"):
            text = f"No entry of the submission has this fullUrl. Include that resource. {_ADVICE}"
            raise Unprocessable(text, code="not-found")
        raise Unprocessable(f"This is not a valid reference. {_ADVICE}", code="value")

    def rewrite_links(self, content: bytes, item: Item) -> bytes:
        """Return the content with the record's ids in links.

        Raises `Unprocessable` for a link to an entry about another person, and as `ItemIndex.find` does.
        """
        return rewrite_links(content, item, self._index, lambda text, kind: self._link(text, kind, item))

    def _link(self, text: str, kind: LinkKind, item: Item) -> str:
        entry = find_linked(text, kind, item, self._index)
        if entry is not None:
            return self._item(entry)
        target = parse_relative_reference(self._index.normalise(text)) if kind is LinkKind.URL else None
        # The address of a document that this source published before.
        return self._relative(*target) if target and target[0] == "Binary" else ""

    def _item(self, item: Item) -> str:
        if item.resource_type == "Patient":
            return f"Patient/{self._patient_id(item)}"
        if item.index not in self._shared_ids:
            raise Unprocessable(
                "This reference leads to an entry about another person. Refer to an entry about the same person.",
                code="business-rule",
            )
        return f"{item.resource_type}/{self._shared_ids[item.index]}"

    def _relative(self, kind: str, target_id: str) -> str:
        if kind not in resource_types():
            raise Unprocessable(f"This names no FHIR R4 resource type. {_ADVICE}", code="value")
        if kind == "Patient":
            return self._patient(target_id)
        if parse_shared_id(target_id) or is_directory_id(target_id):
            return f"{kind}/{target_id}"
        source, keys = self._context.source, self._context.deployment.keys
        resource_hash = keys.resource_hash(source.organisation, source.system, kind, target_id)
        if self._person_key is None:
            return f"{kind}/{resource_hash}"
        # A directory resource was published without a person, so its id has no person key.
        computed = resource_hash if kind in directory_types() else f"{self._person_key}-{resource_hash}"
        shared_id = self._earlier.target(OwnReference(self._person_key, kind, target_id), computed)
        if shared_id is None:
            raise Unprocessable(
                f"Your {kind} with this id is about another person. Refer to a resource about the same person. To move "
                f"the {kind} to this person, send both in one Bundle.",
                code="business-rule",
            )
        return f"{kind}/{shared_id}"

    def _patient(self, target_id: str) -> str:
        """Return the Patient with this id. It does not decide whose the statement is: `owner.py` does."""
        person = self._people.person_at_reference(f"Patient/{target_id}")
        if parse_shared_id(target_id):
            if person is None:
                text = (
                    "This leads to no Patient that you may read. Send Patient/<NHS number>, or your own Patient's id."
                )
                raise Unprocessable(text, code="not-found")
            return f"Patient/{target_id}"
        if person and person.is_nhs_number:
            return f"Patient/{person.value}"
        source, keys = self._context.source, self._context.deployment.keys
        person_key = keys.person_key(person or provisional_identity(source.organisation, source.system, target_id))
        return f"Patient/{keys.shared_id(person_key, source.organisation, source.system, 'Patient', target_id)}"

    def _conditional(self, reference: str) -> Target:
        kind, _, search = reference.partition("?")
        if kind not in resource_types():
            raise Unprocessable(f"This names no FHIR R4 resource type. {_ADVICE}", code="value")
        try:
            system, _, value = identifier_condition(search, "").partition("|")
        except Malformed as error:
            text = (
                "The only search in a reference is Type?identifier=system|value. It becomes a reference by identifier."
            )
            raise Unprocessable(text, code="not-supported") from error
        if kind == "Patient" and is_nhs_number_system(system):
            return self._numbered_patient(unquote(value))
        person = self._people.person_at_reference(reference) if kind == "Patient" else None
        if person and person.is_nhs_number:
            return f"Patient/{person.value}"
        return LogicalReference(kind, system, value)

    def _numbered_patient(self, number: str) -> Target:
        if is_nhs_number(number):
            return f"Patient/{number}"
        text = "This is not a valid NHS number (ten digits without spaces, with a correct check digit). Correct it."
        raise Unprocessable(text, code="value")


def _rewrite_pieces(
    pieces: list[bytes],
    parsed: list[ReferenceObject] | None,
    item: Item,
    targets: ReferenceTargets,
) -> list[bytes] | None:
    """Return the parts of the new content. `pieces` are the bytes between the names `"reference"`.

    None: a logical reference must be merged into a Reference with other elements, and for that `parsed` is needed.
    """
    out, cache = [pieces[0]], targets.cache_of(item)
    position = 0
    for piece in pieces[1:]:
        match = _VALUE.match(piece)
        if match is None:
            out += (_NAME, piece)
            continue
        element = parsed[position] if parsed is not None else None
        position += 1
        if element is not None and not element.is_reference:
            out += (_NAME, piece)
            continue
        target, rest = _target(match[2], item, targets, cache), piece[match.end() :]
        if isinstance(target, str):
            out.append(b'%b%b"%b"%b' % (_NAME, match[1], target.encode(), rest) if target else _NAME + piece)
        elif element is not None:
            _append_logical(out, target, rest, element.members)
        elif out[-1].rstrip().endswith(b"{") and _REST_OF_LITERAL.match(rest):
            out.append(_logical_members(target, ()) + rest)
        else:
            return None
    return out


def _target(literal: bytes, item: Item, targets: ReferenceTargets, cache: dict[bytes, Target]) -> Target:
    """Return the target of a reference, given as a JSON string. Raises `Unprocessable` with the reference's path."""
    cached = cache.get(literal)
    if cached is not None:
        return cached
    reference: str = msgspec.json.decode(literal)
    try:
        if reference.startswith("#"):
            targets.refuse_uncontained(reference, item)
            return ""
        target = targets.find(reference, item)
    except Unprocessable as error:
        issue = error.issues[0]
        raise Unprocessable(issue.diagnostics, code=issue.code, expression=_path(item, reference)) from error
    cache[literal] = "" if target == reference else target
    return cache[literal]


def _append_logical(out: list[bytes], target: LogicalReference, rest: bytes, members: Mapping[str, Any]) -> None:
    written = _logical_members(target, members)
    if written:
        out.append(written + rest)
        return
    # The Reference already has type and identifier. So `reference` goes, with one comma.
    comma = _COMMA.match(rest)
    if comma:
        out.append(rest[comma.end() :])
    else:
        out[-1] = out[-1].rstrip().removesuffix(b",")
        out.append(rest)


def _logical_members(target: LogicalReference, present: Mapping[str, Any] | tuple[()]) -> bytes:
    """Return type and identifier as JSON members, without those that are present already."""
    members = {"type": target.resource_type, "identifier": {"system": target.system, "value": target.value}}
    return msgspec.json.encode({name: value for name, value in members.items() if name not in present})[1:-1]


def _reference_objects(content: bytes, item: Item) -> list[ReferenceObject]:
    return list(references_in(msgspec.json.decode(content), item.path))


def _path(item: Item, reference: str) -> str:
    resource = msgspec.json.decode(item.raw)
    paths = (found.path for found in references_in(resource, item.path) if found.members["reference"] == reference)
    return f"{next(paths, item.path)}.reference"
