"""Finds the entries of a batch that belong to no person, and that a person's entries refer to.

They become part of that person's statement. An entry that supports several people is copied into each statement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from onestory.intake.domain.item import Item
from onestory.intake.domain.links import linked_items
from onestory.intake.domain.validate import SubmissionValidation
from onestory.shared.errors import Unprocessable
from onestory.shared.fhir.definitions import directory_types, is_about_a_person
from onestory.shared.identity import PersonIdentifier

MAX_COPIES = 20_000
"""The most supporting entries that the statements of one batch may hold together."""
MAX_COPIED_BYTES = 32_000_000
"""The most bytes that these entries may have together."""
MAX_STEPS = 10 * MAX_COPIES
"""The most references that are followed to find them."""
_REFERENCE = re.compile(rb'"reference"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.S)


def statement_indexes(items: Mapping[int, Item], validation: SubmissionValidation) -> dict[PersonIdentifier, list[int]]:
    """Return the indexes of the entries in the statement about each person of a batch, in their order.

    Refused entries whose person can be found are among them. Raises `Unprocessable` for too many supporting entries.
    """
    by_person: dict[PersonIdentifier, list[int]] = {}
    for index, item in items.items():
        valid_item = validation.valid.get(index)
        owner = valid_item.owner if valid_item else validation.owner_of_refused(item)
        if owner:
            by_person.setdefault(owner.person, []).append(index)
    support = SupportingEntries(items, validation)
    return {person: sorted({*own, *support.of(own)}) for person, own in by_person.items()}


class SupportingEntries:
    """The supporting entries of each person in one batch. The references of each entry are read once."""

    def __init__(self, items: Mapping[int, Item], validation: SubmissionValidation) -> None:
        self._items = items
        self._validation = validation
        self._without_person: dict[int, frozenset[int]] = {}
        self._of_one_person: set[int] = set()
        self._is_needed = not all(map(self._has_person, items))
        self._copies = self._bytes = self._steps = 0

    def of(self, own: Sequence[int]) -> set[int]:
        """Return the entries without a person that a person's `own` entries refer to, directly or through each other.

        Raises `Unprocessable` when the statements of the batch would hold too many of them together.
        """
        of_person, supporting = set(own), set[int]()
        # Mostly every entry has a person, and then nothing needs to be followed.
        waiting = list(own) if self._is_needed else []
        while waiting:
            targets = self._targets(waiting.pop())
            self._steps += len(targets)
            new = targets - supporting - of_person
            supporting |= new
            waiting += new
            self._count(new)
        self._refuse_second_person(supporting)
        return supporting

    def _refuse_second_person(self, supporting: set[int]) -> None:
        """Raise `Unprocessable` when entries of two people refer to an entry that is about one, and does not say whom.

        Types of the directory, such as Medication, may support several people.
        """
        about_one = {index for index in supporting if _is_about_one_person(self._items[index].resource_type)}
        if ambiguous := about_one & self._of_one_person:
            raise Unprocessable(
                "Entries about several people refer to this entry, and it does not say whom it is about. Send its "
                "reference to the person.",
                code="business-rule",
                expression=self._items[min(ambiguous)].path,
            )
        self._of_one_person |= about_one

    def _count(self, copied: frozenset[int]) -> None:
        self._copies += len(copied)
        self._bytes += sum(len(self._items[index].raw) for index in copied)
        if self._copies > MAX_COPIES or self._bytes > MAX_COPIED_BYTES or self._steps > MAX_STEPS:
            raise Unprocessable(
                "The entries that support several people would be copied into too many statements: at most "
                f"{MAX_COPIES} entries and {MAX_COPIED_BYTES // 1_000_000} MB. Send fewer people in one batch.",
                code="too-costly",
                expression="Bundle.entry",
            )

    def _targets(self, index: int) -> frozenset[int]:
        if index not in self._without_person:
            referenced = self._referenced(self._items[index])
            self._without_person[index] = frozenset(target for target in referenced if not self._has_person(target))
        return self._without_person[index]

    def _has_person(self, index: int) -> bool:
        valid_item = self._validation.valid.get(index)
        return bool(valid_item and valid_item.owner)

    def _referenced(self, item: Item) -> set[int]:
        found = set()
        for literal in set(_REFERENCE.findall(item.raw)):
            try:
                target = self._validation.index.find(msgspec.json.decode(literal), item)
            except Unprocessable:
                # The entry is refused for this reference when its content is built.
                continue
            if target is not None:
                found.add(target.index)
        return found | {target.index for target in linked_items(item, self._validation.index)}


def _is_about_one_person(resource_type: str) -> bool:
    return is_about_a_person(resource_type) and resource_type not in directory_types()
