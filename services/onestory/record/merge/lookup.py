"""Finds the resources that statements refer to: contained, in the person's record, or in the directory.

A medicine that is named by reference is read as if its source had named it in the statement. So merging, conflicts and
the summary all know its code and its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onestory.record.merge.model import Statement
from onestory.record.merge.reading import MEDICINE_TYPES, MODIFIER_ELEMENTS, WITHDRAWN
from onestory.record.merge.values import reference_id
from onestory.shared.fhir.json import concept_text, first_object, objects, text, text_of
from onestory.shared.identity import is_directory_id, parse_shared_id

MEDICINE = "medicationCodeableConcept"

DirectoryContents = Mapping[str, Mapping[str, Any]]
"""Resources of the directory as plain JSON values, by their ids."""


class ResourceLookup:
    """Finds resources by reference, among the statements that a caller sees of one person and in the directory.

    The directory and a person's record give one resource of a source different ids, and so do two identities of the
    person. All these ids end with the same hash of source, type and local id (`shared/identity.py`). So a reference
    that the source sent before the resource, or before the person's NHS number, still leads to its own resource.
    """

    def __init__(self, statements: Iterable[Statement], directory: DirectoryContents) -> None:
        self._by_id = {statement.shared_id: statement for statement in statements}
        self._directory = directory
        self._ids_by_hash: dict[str, str] | None = None

    def find(self, holder: Mapping[str, Any], reference: object) -> Mapping[str, Any] | None:
        """The resource that a Reference of the resource `holder` points to; None if the caller sees none."""
        target = reference_id(reference)
        if target.startswith("#"):
            contained = (each for each in objects(holder.get("contained")) if text_of(each, "id") == target[1:])
            return next(contained, None)
        found = self.current_id(target)
        if found is None:
            return None
        statement = self._by_id.get(found)
        return statement.content if statement else self._directory[found]

    def current_id(self, target: str) -> str | None:
        """The id under which a caller sees the resource with this id or an earlier one; None if the caller does not."""
        if target in self._by_id or target in self._directory:
            return target
        parsed = parse_shared_id(target)
        resource_hash = parsed.resource_hash if parsed else target if is_directory_id(target) else None
        return self._by_hash().get(resource_hash) if resource_hash else None

    def _by_hash(self) -> Mapping[str, str]:
        if self._ids_by_hash is None:
            parsed = {shared_id: parse_shared_id(shared_id) for shared_id in sorted(self._by_id)}
            self._ids_by_hash = {parts.resource_hash: shared_id for shared_id, parts in parsed.items() if parts}
        return self._ids_by_hash


def with_named_medicines(statements: Sequence[Statement], lookup: ResourceLookup) -> list[Statement]:
    """The statements; those that name their medicine by reference have its CodeableConcept too."""
    return [
        replace(statement, content={**statement.content, MEDICINE: concept})
        if statement.resource_type in MEDICINE_TYPES and (concept := _medicine(statement.content, lookup))
        else statement
        for statement in statements
    ]


def _medicine(content: Mapping[str, Any], lookup: ResourceLookup) -> Mapping[str, Any] | None:
    """The CodeableConcept of a medicine that is named by reference only."""
    reference = first_object(content.get("medicationReference"))
    if MEDICINE in content or not reference:
        return None
    medication = lookup.find(content, reference) or {}
    code = first_object(medication.get("code"))
    if concept_text(code):
        # A code that a modifier or an error may have changed is shown, and compared with no other.
        return {"text": concept_text(code)} if _is_doubtful(medication) else code
    # Neither ingredients nor a display are the code of the product, so they give words only.
    words = text(reference.get("display")) or " + ".join(_ingredients(medication, lookup))
    return {"text": words} if words else None


def _is_doubtful(medication: Mapping[str, Any]) -> bool:
    return medication.get("status") == WITHDRAWN or not MODIFIER_ELEMENTS.isdisjoint(medication)


def _ingredients(medication: Mapping[str, Any], lookup: ResourceLookup) -> Iterator[str]:
    for ingredient in objects(medication.get("ingredient")):
        item = lookup.find(medication, ingredient.get("itemReference")) or {}
        name = concept_text(ingredient.get("itemCodeableConcept")) or concept_text(item.get("code"))
        yield name or text(first_object(ingredient.get("itemReference")).get("display")) or "(unnamed ingredient)"
