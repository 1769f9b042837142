"""A submission becomes what to publish: the whole decision of the door, without clock or I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onestory.intake.domain.batch import prepare_batch
from onestory.intake.domain.examination import Examination, Examined
from onestory.intake.domain.opening import Opened, all_of
from onestory.intake.domain.publication import (
    NewId,
    accepted,
    directory_event,
    person_event,
    refuse_outside_directory,
    refuse_whole_list,
)
from onestory.intake.domain.statement import state
from onestory.intake.domain.submission import Known, Prepared, Reception
from onestory.shared.errors import Unprocessable
from onestory.shared.events import Entry
from onestory.shared.identity import PersonIdentifier


def prepare(opened: Opened, reception: Reception, known: Mapping[str, Known], new_id: NewId) -> Prepared:
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
    return Prepared(opened.bundle_type, (event,), tuple(outcomes))


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
) -> Prepared:
    refuse_whole_list(reception)
    for each in items:
        refuse_outside_directory(each)
    events = [directory_event(entry, reception, new_id) for entry in entries]
    said = zip(items, entries, events, strict=True)
    outcomes = [accepted(each, entry, event.event_id) for each, entry, event in said]
    return Prepared(opened.bundle_type, tuple(events), tuple(outcomes))
