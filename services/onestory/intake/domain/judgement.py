"""The rules of judgements: statements of a clinician that facts of one person are the same, or must be kept apart.

"Same" is a Linkage (http://hl7.org/fhir/R4/linkage.html), "keep apart" a Basic (http://hl7.org/fhir/R4/basic.html).
`schemas/fhir/` has the profiles. A judgement is a statement like any other: an update corrects it, a retraction undoes
it, and a rebuild restores it. It may be about statements of other sources. It never joins two people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from onestory.intake.domain.item import Item, ItemIndex, parse_relative_reference, shared_ids_in
from onestory.intake.domain.request import KnownResource
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import Entry, Operation
from onestory.shared.identity import parse_shared_id

LINKAGE, BASIC = "Linkage", "Basic"
JUDGEMENT_SYSTEM = "https://onestory.nhs.uk/CodeSystem/record-judgement"
KEEP_APART = "keep-apart"
KEPT_APART_EXTENSION = "https://onestory.nhs.uk/StructureDefinition/kept-apart"
"""An extension of Basic: it names one of the statements that must be kept apart."""

# Job roles of clinicians (NHS National RBAC Database). A token may give a role with its parents before it.
_CLINICIANS = {"R8000", "R8001", "R8003"}
_KEY_LENGTH = 26


class JudgedStatement(NamedTuple):
    """A statement that a judgement names: the FHIRPath of the reference, and the resource in the record."""

    path: str
    shared_id: str
    known: KnownResource


def is_judgement(item: Item) -> bool:
    """Return whether the item is a judgement. For a retraction this is False, because it has no content."""
    if item.resource_type == LINKAGE:
        return bool(item.members)
    codes = _member(item, "code").get("coding", ()) if item.resource_type == BASIC and "code" in item.members else ()
    return any(coding.get("system") == JUDGEMENT_SYSTEM for coding in codes)


def ids_in_judgement(item: Item) -> set[str]:
    """Return the shared ids in an item that may be a judgement. The decision looks them up in the record."""
    if item.resource_type not in (LINKAGE, BASIC):
        return set()
    return shared_ids_in(item.raw)


def refuse_unless_clinician(item: Item, role: str) -> None:
    """Raise `Forbidden` when a role that is no clinician's sends a judgement, or a retraction that may undo one."""
    may_undo = item.operation is Operation.RETRACT and item.resource_type in (LINKAGE, BASIC)
    if (may_undo or is_judgement(item)) and not _is_clinician(role):
        raise _only_clinicians(item.path)


def refuse_list_unless_clinician(complete_types: Collection[str], role: str) -> None:
    """Raise `Forbidden` when a role that is no clinician's sends a whole list that may retire judgements."""
    if not {LINKAGE, BASIC}.isdisjoint(complete_types) and not _is_clinician(role):
        raise _only_clinicians("X-Complete-Types")


def ids_that_may_be_judgements(entries: Iterable[Entry], role: str) -> list[str]:
    """Return the shared ids of Basic resources that a role publishes which is no clinician's.

    The current statement under such an id may be a judgement, which only a clinician may replace.
    """
    return [] if _is_clinician(role) else [entry.shared_id for entry in entries if entry.resource_type == BASIC]


def refuse_replacing_judgements(shared_ids: Collection[str]) -> None:
    """Raise `Forbidden` if there are any of these shared ids, whose current statements are judgements."""
    if shared_ids:
        raise _only_clinicians(BASIC)


def subject_of_linkage(item: Item, index: ItemIndex, known: Mapping[str, KnownResource]) -> JudgedStatement:
    """Return the named statement whose person a Linkage is about: the first with an NHS number, else the first.

    Raises `Unprocessable` for a Linkage without statements, and for a statement that the record does not have.
    """
    statements = judged_statements(item, index, known)
    if not statements:
        raise _too_few(item)
    return next((statement for statement in statements if statement.known.person.is_nhs_number), statements[0])


def refuse_invalid_judgement(item: Item, person_key: str, index: ItemIndex, known: Mapping[str, KnownResource]) -> None:
    """Raise `Unprocessable` for a judgement without author, of fewer than two statements, or about a second person."""
    if item.resource_type == BASIC and not _is_keep_apart(item):
        text = f"A judgement of type Basic must have the code {KEEP_APART}. Correct the code."
        raise Unprocessable(text, code="code-invalid", expression=f"{item.path}.code")
    author = _member(item, "author") if "author" in item.members else {}
    if not (author.get("display") or author.get("identifier", {}).get("value")):
        text = "A judgement must name its author. Send author with an identifier or a display."
        raise Unprocessable(text, code="required", expression=f"{item.path}.author")
    statements = judged_statements(item, index, known)
    for statement in statements:
        if person_key not in {statement.shared_id[:_KEY_LENGTH], *statement.known.linked_person_keys}:
            raise Unprocessable(
                "This is about a second person, but a judgement is about one. Only a demographic authority can state "
                "that two NHS numbers are one person.",
                code="business-rule",
                expression=statement.path,
            )
    if len({statement.shared_id for statement in statements}) < 2:
        raise _too_few(item)


def judged_statements(item: Item, index: ItemIndex, known: Mapping[str, KnownResource]) -> list[JudgedStatement]:
    """Return the statements that a judgement names, in order. Raises `Unprocessable` if the record lacks one."""
    return [_judged_statement(path, reference, index, known) for path, reference in _references(item)]


def _judged_statement(
    path: str, reference: Any, index: ItemIndex, known: Mapping[str, KnownResource]
) -> JudgedStatement:
    literal = str(reference.get("reference", "")) if isinstance(reference, dict) else None
    target = parse_relative_reference(index.normalise(literal)) if literal is not None else None
    if target is None or not parse_shared_id(target[1]):
        text = "A judgement must name statements of the record. Send Type/id with the id from a read or a search."
        raise Unprocessable(text, code="value", expression=path)
    if target[0] == "Patient":
        text = "A judgement must not name a Patient. Only a demographic authority can join two Patients."
        raise Unprocessable(text, code="business-rule", expression=path)
    known_resource = known.get(target[1])
    if known_resource is None or known_resource.resource_type != target[0]:
        text = "The record does not have this resource (yet). Correct the reference, or send the judgement again later."
        raise Unprocessable(text, code="not-found", expression=path)
    return JudgedStatement(path, target[1], known_resource)


def _references(item: Item) -> Iterator[tuple[str, Any]]:
    if item.resource_type == LINKAGE:
        for index, linked in enumerate(_member(item, "item")):
            yield f"{item.path}.item[{index}].resource", linked.get("resource")
        return
    for index, extension in enumerate(_member(item, "extension") if "extension" in item.members else ()):
        if extension.get("url") == KEPT_APART_EXTENSION:
            yield f"{item.path}.extension[{index}].valueReference", extension.get("valueReference")


def _is_keep_apart(item: Item) -> bool:
    codes = _member(item, "code").get("coding", ())
    return any((coding.get("system"), coding.get("code")) == (JUDGEMENT_SYSTEM, KEEP_APART) for coding in codes)


def _member(item: Item, name: str) -> Any:
    return msgspec.json.decode(item.members[name])


def _is_clinician(role: str) -> bool:
    return role.rpartition(":")[2] in _CLINICIANS


def _only_clinicians(path: str) -> Forbidden:
    roles = ", ".join(sorted(_CLINICIANS))
    text = f"Only a clinician may make or retract a judgement. Send a token with one of the roles {roles}."
    return Forbidden(text, expression=path)


def _too_few(item: Item) -> Unprocessable:
    text = "A judgement must name at least two statements. Send a reference to each."
    return Unprocessable(text, code="required", expression=item.path)
