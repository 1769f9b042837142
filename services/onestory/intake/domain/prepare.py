"""Decides what a submission becomes: events to publish, or a refusal. It is pure: no clock and no I/O.

`parse.py` comes before this. `prepare` is all or nothing for one person, or for the directory. It validates the items
(`validate.py`) and builds entries and events from them (`events.py`). A batch may be about several people: it is all or
nothing for each of them (design: intake).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from onestory.intake.domain.conditions import NO_CONDITIONS, DecidedConditions
from onestory.intake.domain.earlier import EarlierStatements, SystemQuestion
from onestory.intake.domain.events import (
    NewId,
    accepted_entry,
    build_entries,
    directory_event,
    existing_entry,
    person_event,
    refuse_complete_types,
    refuse_person_in_directory,
    refuse_without_person,
)
from onestory.intake.domain.item import Item
from onestory.intake.domain.parse import ParsedSubmission, combined_error
from onestory.intake.domain.replacement import (
    Replacement,
    refuse_invalid_replacement,
    replacement_of,
    retiring_events,
)
from onestory.intake.domain.request import (
    AcceptedEntry,
    ExistingEntry,
    KnownResource,
    PreparedSubmission,
    ReadEntry,
    RefusedEntry,
    SubmissionContext,
)
from onestory.intake.domain.supporting import statement_indexes
from onestory.intake.domain.validate import SubmissionValidation, ValidItem
from onestory.shared.errors import Issue, OneStoryError, Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, Operation, RecordChanged, rank_of
from onestory.shared.identity import PersonIdentifier


def prepare(
    parsed: ParsedSubmission,
    context: SubmissionContext,
    known: Mapping[str, KnownResource],
    new_id: NewId,
    earlier: EarlierStatements | None = None,
    conditions: DecidedConditions = NO_CONDITIONS,
) -> PreparedSubmission:
    """Return the events, and the outcome of each entry. `known` has the resources behind the shared ids.

    `earlier` notes what the decision must ask about the source's earlier statements. Without it the record knows none.

    Raises the error of the first fault, with the issues of all faults of the same family. For a batch it raises only
    for faults of the whole Bundle.
    """
    if context.replaced_system:
        refuse_invalid_replacement(context, parsed.bundle_type, context.deployment.sequenced_sources)
    validation = SubmissionValidation(parsed, context, known, earlier=earlier, conditions=conditions)
    if parsed.is_batch:
        return _prepare_batch(parsed, validation, new_id)
    if validation.errors:
        raise combined_error([validation.errors[index] for index in sorted(validation.errors)])
    items = [validation.valid[item.index] for item in parsed.items]
    person = _single_person(items)
    built = build_entries(items, person, validation)
    if built.errors:
        raise combined_error(list(built.errors.values()))
    if person is None:
        return _prepare_directory(parsed, items, built.entries, context, new_id)
    entries = list(built.entries.values())
    if not entries:
        return PreparedSubmission(parsed.bundle_type, (), tuple(_outcome(item, {}, {}) for item in items))
    # A Bundle has one time of recording; one resource has its own.
    recorded_at = validation.recorded_at if parsed.bundle_type else entries[0].recorded_at
    event = person_event(entries, person, recorded_at, context, new_id)
    event_ids = dict.fromkeys(built.entries, event.event_id)
    outcomes = [_outcome(item, built.entries, event_ids) for item in items]
    if not context.replaced_system:
        return PreparedSubmission(parsed.bundle_type, (event,), tuple(outcomes))
    replacement = _replacement(event, validation)
    # The new statements come first: for a moment the record has both, and never neither.
    events = (event, *retiring_events(event, replacement))
    return PreparedSubmission(parsed.bundle_type, events, tuple(outcomes), replacement)


def _replacement(event: RecordChanged, validation: SubmissionValidation) -> Replacement:
    context = validation.context
    person_key, rank = context.deployment.keys.person_key(event.person), rank_of(None, event.recorded_at)
    question = SystemQuestion(person_key, context.replaced_system, rank, event.published_at)
    has = validation.earlier.resources_of_system(question)
    stated = {entry.resource_type for entry in event.entries if entry.operation is Operation.ASSERT}
    return replacement_of(context.replaced_system, has, stated, event.complete_types)


def condition_scopes(
    parsed: ParsedSubmission,
    context: SubmissionContext,
    known: Mapping[str, KnownResource],
    earlier: EarlierStatements,
    conditions: DecidedConditions,
) -> dict[int, PersonIdentifier | None]:
    """Return where the resource of each condition would be: the person, or None for the directory.

    An item without a person is part of the statement about the only person of the submission, if there is one. In a
    batch it is part of the statement that refers to it. Refused items are left out.
    """
    validation = SubmissionValidation(parsed, context, known, earlier=earlier, conditions=conditions)
    if parsed.is_batch:
        return _batch_scopes(parsed, validation)
    persons = {item.owner.person for item in validation.valid.values() if item.owner}
    only = next(iter(persons)) if len(persons) == 1 else None
    return {
        index: valid_item.owner.person if valid_item.owner else only
        for index, valid_item in validation.valid.items()
        if valid_item.item.identifier
    }


def _batch_scopes(parsed: ParsedSubmission, validation: SubmissionValidation) -> dict[int, PersonIdentifier | None]:
    persons: dict[int, list[PersonIdentifier]] = {}
    for person, indexes in statement_indexes({item.index: item for item in parsed.items}, validation).items():
        for index in indexes:
            persons.setdefault(index, []).append(person)
    # An entry that supports several people can be found in the directory only.
    return {
        index: persons[index][0] if len(persons.get(index, ())) == 1 else None
        for index, valid_item in validation.valid.items()
        if valid_item.item.identifier
    }


def _outcome(
    valid_item: ValidItem, entries: Mapping[int, Entry], event_ids: Mapping[int, UUID]
) -> AcceptedEntry | ExistingEntry:
    if valid_item.existing:
        return existing_entry(valid_item.existing)
    index = valid_item.item.index
    return accepted_entry(valid_item, entries[index], event_ids[index])


def _single_person(items: Sequence[ValidItem]) -> PersonIdentifier | None:
    owners = [item.owner for item in items if item.owner]
    for owner in owners:
        if owner.person != owners[0].person:
            raise Unprocessable(
                "This is about a second person. A batch may have several. Send one submission for each person, or a "
                "batch.",
                code="business-rule",
                expression=owner.path,
            )
    return owners[0].person if owners else None


def _prepare_directory(
    parsed: ParsedSubmission,
    items: Sequence[ValidItem],
    entries: Mapping[int, Entry],
    context: SubmissionContext,
    new_id: NewId,
) -> PreparedSubmission:
    refuse_complete_types(context)
    for item in items:
        refuse_without_person(item)
    for item in items:
        if entry := entries.get(item.item.index):
            refuse_person_in_directory(item, entry)
    events = {index: directory_event(entry, context, new_id) for index, entry in entries.items()}
    event_ids = {index: event.event_id for index, event in events.items()}
    outcomes = [_outcome(item, entries, event_ids) for item in items]
    return PreparedSubmission(parsed.bundle_type, tuple(events.values()), tuple(outcomes))


def _prepare_batch(parsed: ParsedSubmission, validation: SubmissionValidation, new_id: NewId) -> PreparedSubmission:
    statements = statement_indexes({item.index: item for item in parsed.items}, validation)
    if len(statements) != 1:
        refuse_complete_types(validation.context)
    batch = _BatchDecision(parsed, validation, new_id)
    batch.refuse_shared_conditions(statements)
    for person, indexes in statements.items():
        batch.add_person(person, indexes)
    batch.add_directory()
    batch.refuse_incomplete_whole_list()
    outcomes = [batch.outcome(index) for index in range(parsed.size)]
    return PreparedSubmission("batch", tuple(batch.events), tuple(outcomes))


class _BatchDecision:
    """The events of a batch, and the outcome of each entry by its index. It grows person by person."""

    def __init__(self, parsed: ParsedSubmission, validation: SubmissionValidation, new_id: NewId) -> None:
        self._items = {item.index: item for item in parsed.items}
        self._reads = parsed.reads
        self._validation = validation
        self._new_id = new_id
        self._errors = dict(validation.errors)
        self._accepted: dict[int, AcceptedEntry | ExistingEntry] = {}
        # Entries that are part of a person's statement, so they are not for the directory.
        self._with_person: set[int] = set()
        self.events: list[RecordChanged | DirectoryChanged] = []

    def refuse_shared_conditions(self, statements: Mapping[PersonIdentifier, Sequence[int]]) -> None:
        """Refuse conditions on entries that support several people, unless the directory has the resource.

        Each of the people may have the resource, or not.
        """
        used = Counter(index for indexes in statements.values() for index in indexes)
        for index, times in used.items():
            item = self._items[index]
            if times > 1 and item.identifier and not self._validation.is_matched(index):
                error = _shared_condition(item)
                self._validation.errors.setdefault(index, error)
                self._errors.setdefault(index, error)

    def add_person(self, person: PersonIdentifier, indexes: Sequence[int]) -> None:
        """Add the event of one person, or refuse all entries of that person when one of them is refused."""
        self._with_person |= set(indexes)
        if refused := [index for index in indexes if index in self._validation.errors]:
            self._refuse_all(indexes, refused[0])
            return
        items = [self._validation.valid[index] for index in indexes]
        built = build_entries(items, person, self._validation)
        if built.errors:
            self._errors |= built.errors
            self._refuse_all(indexes, min(built.errors))
            return
        entries = list(built.entries.values())
        event_ids: dict[int, UUID] = {}
        if entries:
            event = person_event(entries, person, self._validation.recorded_at, self._validation.context, self._new_id)
            self.events.append(event)
            event_ids = dict.fromkeys(built.entries, event.event_id)
        for valid_item in items:
            # An entry that supports two people is in both events, and its outcome names the first.
            self._accepted.setdefault(valid_item.item.index, _outcome(valid_item, built.entries, event_ids))

    def add_directory(self) -> None:
        """Add one event for each remaining entry of a directory type, and refuse the others."""
        remaining = [item for index, item in self._validation.valid.items() if index not in self._with_person]
        items = []
        for valid_item in remaining:
            try:
                refuse_without_person(valid_item)
                items.append(valid_item)
            except OneStoryError as error:
                self._errors[valid_item.item.index] = error
        built = build_entries(items, None, self._validation)
        self._errors |= built.errors
        for valid_item in items:
            index = valid_item.item.index
            if valid_item.existing:
                self._accepted[index] = existing_entry(valid_item.existing)
            elif (entry := built.entries.get(index)) and self._is_about_no_person(valid_item, entry):
                event = directory_event(entry, self._validation.context, self._new_id)
                self.events.append(event)
                self._accepted[index] = accepted_entry(valid_item, entry, event.event_id)

    def _is_about_no_person(self, valid_item: ValidItem, entry: Entry) -> bool:
        try:
            refuse_person_in_directory(valid_item, entry)
        except OneStoryError as error:
            self._errors[valid_item.item.index] = error
            return False
        return True

    def refuse_incomplete_whole_list(self) -> None:
        """Raise `Unprocessable` when a whole list has refused entries: the record would retire them as left out."""
        if self._errors and self._validation.context.complete_types:
            causes = self._validation.errors or self._errors
            issues = [issue for index in sorted(causes) for issue in causes[index].issues]
            text = "Entries of this whole list are refused. Correct them, and send the whole list again."
            raise Unprocessable(text, issues=[Issue("business-rule", text, "Bundle"), *issues])

    def outcome(self, index: int) -> AcceptedEntry | ExistingEntry | RefusedEntry | ReadEntry:
        """Return the outcome of the entry at this index."""
        return self._accepted.get(index) or self._reads.get(index) or RefusedEntry(self._errors[index])

    def _refuse_all(self, indexes: Sequence[int], cause: int) -> None:
        for index in indexes:
            self._errors.setdefault(index, _refused_with_person(cause))


def _shared_condition(item: Item) -> OneStoryError:
    return Unprocessable(
        "This entry supports several people of the batch, and each of them may have the resource already. So its "
        "condition cannot be checked. Send a batch for each person, or publish the resource alone first.",
        code="business-rule",
        expression=item.identifier_path,
    )


def _refused_with_person(index: int) -> OneStoryError:
    return Unprocessable(
        "This entry is refused, and with it all entries about its person. Correct it, and send all of them again.",
        code="business-rule",
        expression=f"Bundle.entry[{index}]",
    )
