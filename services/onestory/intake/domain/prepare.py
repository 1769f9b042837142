"""A submission becomes what to publish: the whole decision of the door, without clock or I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from onestory.intake.domain.events import (
    NewId,
    accepted,
    directory_event,
    person_event,
    refuse_outside_directory,
    refuse_whole_list,
    state,
)
from onestory.intake.domain.item import Item
from onestory.intake.domain.parse import Opened, all_of
from onestory.intake.domain.request import AcceptedEntry, KnownResource, PreparedSubmission, Reception, RefusedEntry
from onestory.intake.domain.validate import Examination, Examined
from onestory.shared.errors import Issue, OneStoryError, Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, RecordChanged
from onestory.shared.identity import PersonIdentifier

# A batch: several people in one Bundle, all or nothing for each of them (design: intake).

_REFERENCE = re.compile(rb'"reference"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")', re.S)


def prepare_batch(opened: Opened, examination: Examination, new_id: NewId) -> PreparedSubmission:
    """The events of the people whose entries are all good, and what became of each entry."""
    batch = _Batch(opened, examination, new_id)
    people = batch.people()
    if len(people) != 1:
        refuse_whole_list(examination.reception)
    for person, own in people.items():
        batch.state_person(person, own)
    batch.state_directory()
    batch.refuse_part_of_a_whole_list()
    outcomes = [batch.outcome(index) for index in range(opened.size)]
    return PreparedSubmission("batch", tuple(batch.events), tuple(outcomes))


class _Batch:
    """What has been decided so far."""

    def __init__(self, opened: Opened, examination: Examination, new_id: NewId) -> None:
        self._items = {item.index: item for item in opened.items}
        self._examination = examination
        self._new_id = new_id
        self._errors = dict(examination.errors)
        self._accepted: dict[int, AcceptedEntry] = {}
        # Entries that some person's entry leads to: they are no part of the directory.
        self._taken: set[int] = set()
        self.events: list[RecordChanged | DirectoryChanged] = []

    def people(self) -> dict[PersonIdentifier, list[int]]:
        """Who owns which entries, refused ones among them where it can be told whose they are."""
        found: dict[PersonIdentifier, list[int]] = {}
        for index, item in self._items.items():
            fit = self._examination.fit.get(index)
            owner = fit.owner if fit else self._examination.owner_of_refused(item)
            if owner:
                found.setdefault(owner.person, []).append(index)
        return found

    def state_person(self, person: PersonIdentifier, own: Sequence[int]) -> None:
        indexes = sorted({*own, *self._supporting(own)})
        self._taken |= set(indexes)
        if broken := [index for index in indexes if index in self._examination.errors]:
            self._refuse_with(indexes, broken[0])
            return
        items = [self._examination.fit[index] for index in indexes]
        stated = state(items, person, self._examination)
        if stated.errors:
            self._errors |= stated.errors
            self._refuse_with(indexes, min(stated.errors))
            return
        entries = list(stated.entries.values())
        event = person_event(entries, person, self._examination.said_at, self._examination.reception, self._new_id)
        self.events.append(event)
        for each, entry in zip(items, entries, strict=True):
            # What supports two people has one answer: the first one's.
            self._accepted.setdefault(each.item.index, accepted(each, entry, event.event_id))

    def state_directory(self) -> None:
        """What is about nobody, and nobody's entries lead to."""
        free = [each for index, each in self._examination.fit.items() if index not in self._taken]
        fit = []
        for each in free:
            try:
                refuse_outside_directory(each)
                fit.append(each)
            except OneStoryError as error:
                self._errors[each.item.index] = error
        stated = state(fit, None, self._examination)
        self._errors |= stated.errors
        for each in fit:
            entry = stated.entries.get(each.item.index)
            if entry:
                event = directory_event(entry, self._examination.reception, self._new_id)
                self.events.append(event)
                self._accepted[each.item.index] = accepted(each, entry, event.event_id)

    def refuse_part_of_a_whole_list(self) -> None:
        """Raise `Unprocessable` where this is a whole list, and entries are refused: they would count as left out."""
        if self._errors and self._examination.reception.complete_types:
            causes = self._examination.errors or self._errors
            issues = [issue for index in sorted(causes) for issue in causes[index].issues]
            says = "It is said to be a whole list, and entries of it are refused: mend them, and send all of it again."
            raise Unprocessable(says, issues=[Issue("business-rule", says, "Bundle"), *issues])

    def outcome(self, index: int) -> AcceptedEntry | RefusedEntry:
        return self._accepted.get(index) or RefusedEntry(self._errors[index])

    def _refuse_with(self, indexes: Sequence[int], broken: int) -> None:
        for index in indexes:
            self._errors.setdefault(index, _because_of(broken))

    def _supporting(self, own: Sequence[int]) -> set[int]:
        """The entries that belong to nobody and that these lead to, directly or through each other."""
        found: set[int] = set()
        waiting = list(own)
        while waiting:
            for item in self._referenced(self._items[waiting.pop()]):
                fit = self._examination.fit.get(item.index)
                if item.index not in found and item.index not in own and not (fit and fit.owner):
                    found.add(item.index)
                    waiting.append(item.index)
        return found

    def _referenced(self, item: Item) -> list[Item]:
        references = {msgspec.json.decode(literal) for literal in _REFERENCE.findall(item.raw)}
        targets = [self._examination.index.find(reference) for reference in sorted(references)]
        return [target for target in targets if target is not None]


def _because_of(index: int) -> OneStoryError:
    return Unprocessable(
        "It is all or nothing for each person, and this entry is refused: mend it, and send all of this person again.",
        code="business-rule",
        expression=f"Bundle.entry[{index}]",
    )


def prepare(
    opened: Opened, reception: Reception, known: Mapping[str, KnownResource], new_id: NewId
) -> PreparedSubmission:
    """The events, and what became of each entry. `known` has what the ids in our own form stand for.

    Raises the error families of the door: for a batch only for what concerns all of it, else for anything.
    """
    examination = Examination(opened, reception, known)
    if opened.is_batch:
        return prepare_batch(opened, examination, new_id)
    if examination.errors:
        raise all_of([examination.errors[index] for index in sorted(examination.errors)])
    items = [examination.fit[item.index] for item in opened.items]
    person = _the_person(items)
    stated = state(items, person, examination)
    if stated.errors:
        raise all_of(list(stated.errors.values()))
    entries = list(stated.entries.values())
    if person is None:
        return _to_directory(opened, items, entries, reception, new_id)
    # One resource was recorded when it says; a Bundle when the Bundle says.
    moment = examination.said_at if opened.bundle_type else entries[0].recorded_at
    event = person_event(entries, person, moment, reception, new_id)
    outcomes = [accepted(each, entry, event.event_id) for each, entry in zip(items, entries, strict=True)]
    return PreparedSubmission(opened.bundle_type, (event,), tuple(outcomes))


def _the_person(items: Sequence[Examined]) -> PersonIdentifier | None:
    owners = [each.owner for each in items if each.owner]
    for owner in owners:
        if owner.person != owners[0].person:
            raise Unprocessable(
                "This is about a second person. One submission is about one person: send a submission for each, or a "
                "batch.",
                code="business-rule",
                expression=owner.path,
            )
    return owners[0].person if owners else None


def _to_directory(
    opened: Opened, items: Sequence[Examined], entries: Sequence[Entry], reception: Reception, new_id: NewId
) -> PreparedSubmission:
    refuse_whole_list(reception)
    for each in items:
        refuse_outside_directory(each)
    events = [directory_event(entry, reception, new_id) for entry in entries]
    said = zip(items, entries, events, strict=True)
    outcomes = [accepted(each, entry, event.event_id) for each, entry, event in said]
    return PreparedSubmission(opened.bundle_type, tuple(events), tuple(outcomes))
