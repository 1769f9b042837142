"""What a clinician judges of a person's statements: these say the same (Linkage), or they are to be kept apart (Basic).

http://hl7.org/fhir/R4/linkage.html, http://hl7.org/fhir/R4/basic.html; `schemas/fhir/` has the profiles. A judgement is
a statement like any other: corrected by an update, undone by a retraction, there again after a rebuild. It may be about
what other sources said. It is about facts of one person: nobody is joined by it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from onestory.intake.domain.ids import Index, relative
from onestory.intake.domain.item import Item
from onestory.intake.domain.request import KnownResource
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import Entry, Operation
from onestory.shared.identity import parse_shared_id

LINKAGE, BASIC = "Linkage", "Basic"
JUDGEMENT = "https://onestory.nhs.uk/CodeSystem/record-judgement"
KEEP_APART = "keep-apart"
KEPT_APART = "https://onestory.nhs.uk/StructureDefinition/kept-apart"
"""Extension on Basic: one of the statements that are kept apart."""

# Job roles of clinicians (NHS National RBAC Database), which a token may give with what stands above them.
_CLINICIANS = {"R8000", "R8001", "R8003"}
_SHARED_ID = re.compile(rb"/([a-z2-7]{26}-[a-z2-7]{26})\b")
_KEY_LENGTH = 26


class Judged(NamedTuple):
    """A statement that a judgement names: where, and what the record has there."""

    path: str
    shared_id: str
    known: KnownResource


def is_judgement(item: Item) -> bool:
    """Whether the item is a "same" or a "keep apart". A retraction cannot be told: it has no content."""
    if item.resource_type == LINKAGE:
        return bool(item.members)
    codes = _of(item, "code").get("coding", ()) if item.resource_type == BASIC and "code" in item.members else ()
    return any(coding.get("system") == JUDGEMENT for coding in codes)


def named_ids(item: Item) -> set[str]:
    """The ids in our own form that a judgement may name: what they stand for decides."""
    if item.resource_type not in (LINKAGE, BASIC):
        return set()
    return {match.decode() for match in _SHARED_ID.findall(bytes(item.raw))}


def refuse_unless_clinician(item: Item, role: str) -> None:
    """Raise `Forbidden` for a judgement of anybody else, and for a retraction that may undo one."""
    undoes = item.operation is Operation.RETRACT and item.resource_type in (LINKAGE, BASIC)
    if (undoes or is_judgement(item)) and not _is_clinician(role):
        raise _only_clinicians(item.path)


def refuse_list_unless_clinician(complete_types: Collection[str], role: str) -> None:
    """Raise `Forbidden` for a whole list that may retire judgements."""
    if not {LINKAGE, BASIC}.isdisjoint(complete_types) and not _is_clinician(role):
        raise _only_clinicians("X-Complete-Types")


def overwriting(entries: Iterable[Entry], role: str) -> list[str]:
    """Shared ids under which somebody who is no clinician says a Basic: they may stand as a judgement."""
    return [] if _is_clinician(role) else [each.shared_id for each in entries if each.resource_type == BASIC]


def refuse_overwritten(shared_ids: Collection[str]) -> None:
    """Raise `Forbidden` if there are any that stand as a judgement."""
    if shared_ids:
        raise _only_clinicians(BASIC)


def judged(item: Item, index: Index, known: Mapping[str, KnownResource]) -> list[Judged]:
    """What the judgement names, in order. Raises `Unprocessable` for what the record does not have."""
    return [_judged(path, reference, index, known) for path, reference in _references(item)]


def about(item: Item, index: Index, known: Mapping[str, KnownResource]) -> Judged:
    """The named statement whose person a Linkage is about: by preference one with an NHS number."""
    named = judged(item, index, known)
    if not named:
        raise _too_few(item)
    return next((each for each in named if each.known.person.is_nhs_number), named[0])


def refuse_unfounded(item: Item, person_key: str, index: Index, known: Mapping[str, KnownResource]) -> None:
    """Raise `Unprocessable` for a judgement without author, of fewer than two statements, or of a second person."""
    if item.resource_type == BASIC and not _is_keep_apart(item):
        says = f"The one judgement of this kind is {KEEP_APART}: correct the code."
        raise Unprocessable(says, code="code-invalid", expression=f"{item.path}.code")
    author = _of(item, "author") if "author" in item.members else {}
    if not (author.get("display") or author.get("identifier", {}).get("value")):
        says = "Say who judges: give author an identifier or a display."
        raise Unprocessable(says, code="required", expression=f"{item.path}.author")
    named = judged(item, index, known)
    for each in named:
        if person_key not in {each.shared_id[:_KEY_LENGTH], *each.known.joined}:
            raise Unprocessable(
                "This is of a second person. A judgement is about facts of one person: that two numbers are one person "
                "is for a demographic authority to say.",
                code="business-rule",
                expression=each.path,
            )
    if len({each.shared_id for each in named}) < 2:
        raise _too_few(item)


def _judged(path: str, reference: Any, index: Index, known: Mapping[str, KnownResource]) -> Judged:
    target = relative(index.plain(str(reference.get("reference", "")))) if isinstance(reference, dict) else None
    if target is None or not parse_shared_id(target[1]):
        says = "Name what the record has: Type/id, with the id that a read or a search gave."
        raise Unprocessable(says, code="value", expression=path)
    if target[0] == "Patient":
        says = "Patients are not judged: that they are one person is for a demographic authority to say."
        raise Unprocessable(says, code="business-rule", expression=path)
    meant = known.get(target[1])
    if meant is None or meant.resource_type != target[0]:
        says = "The record does not have this (yet): correct the reference, or send it again later."
        raise Unprocessable(says, code="not-found", expression=path)
    return Judged(path, target[1], meant)


def _references(item: Item) -> Iterator[tuple[str, Any]]:
    if item.resource_type == LINKAGE:
        for place, each in enumerate(_of(item, "item")):
            yield f"{item.path}.item[{place}].resource", each.get("resource")
        return
    for place, each in enumerate(_of(item, "extension") if "extension" in item.members else ()):
        if each.get("url") == KEPT_APART:
            yield f"{item.path}.extension[{place}].valueReference", each.get("valueReference")


def _is_keep_apart(item: Item) -> bool:
    codes = _of(item, "code").get("coding", ())
    return any((coding.get("system"), coding.get("code")) == (JUDGEMENT, KEEP_APART) for coding in codes)


def _of(item: Item, name: str) -> Any:
    return msgspec.json.decode(item.members[name])


def _is_clinician(role: str) -> bool:
    return role.rpartition(":")[2] in _CLINICIANS


def _only_clinicians(path: str) -> Forbidden:
    roles = ", ".join(sorted(_CLINICIANS))
    says = f"That facts are the same or apart is for a clinician to say or take back: send a token with role {roles}."
    return Forbidden(says, expression=path)


def _too_few(item: Item) -> Unprocessable:
    says = "A judgement is about two statements or more: name each of them."
    return Unprocessable(says, code="required", expression=item.path)
