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

MAX_COPIES = 20_000
"""The most supporting entries that the statements of one batch may hold together."""
MAX_STEPS = 10 * MAX_COPIES
"""The most references that are followed to find them."""
_REFERENCE = re.compile(rb'"reference"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.S)


class SupportingEntries:
    """The supporting entries of each person in one batch. The references of each entry are read once."""

    def __init__(self, items: Mapping[int, Item], validation: SubmissionValidation) -> None:
        self._items = items
        self._validation = validation
        self._without_person: dict[int, frozenset[int]] = {}
        self._copies = 0
        self._steps = 0

    def of(self, own: Sequence[int]) -> set[int]:
        """Return the entries without a person that a person's `own` entries refer to, directly or through each other.

        Raises `Unprocessable` when the statements of the batch would hold too many of them together.
        """
        of_person, supporting = set(own), set[int]()
        waiting = list(own)
        while waiting:
            targets = self._targets(waiting.pop())
            self._steps += len(targets)
            new = targets - supporting - of_person
            supporting |= new
            waiting += new
            if self._copies + len(supporting) > MAX_COPIES or self._steps > MAX_STEPS:
                raise _too_many()
        self._copies += len(supporting)
        return supporting

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


def _too_many() -> Unprocessable:
    text = (
        f"The entries that support several people would be copied more than {MAX_COPIES} times. Send fewer people in "
        "one batch."
    )
    return Unprocessable(text, code="too-costly", expression="Bundle.entry")
