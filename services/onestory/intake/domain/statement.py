"""Items become entries: with shared ids, and with content whose references lead where the record has things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onestory.intake.domain.content import assemble
from onestory.intake.domain.examination import Examination, Examined
from onestory.intake.domain.item import Item
from onestory.intake.domain.references import rewrite
from onestory.intake.domain.submission import Reception
from onestory.intake.domain.targets import Target, Targets
from onestory.shared.errors import OneStoryError
from onestory.shared.events import Entry, Operation
from onestory.shared.identity import PersonIdentifier


@dataclass(frozen=True, slots=True)
class Stated:
    """The entries of a statement by their items' place, and the errors of those that could not be stated."""

    entries: dict[int, Entry]
    errors: dict[int, OneStoryError]


def state(items: Sequence[Examined], person: PersonIdentifier | None, examination: Examination) -> Stated:
    """The entries for one person, or for the directory when `person` is None."""
    reception = examination.reception
    person_key = reception.door.keys.person_key(person) if person else None
    shared_ids = {each.item.index: _shared_id(each, person_key, reception) for each in items}

    def patient_id(item: Item) -> str:
        return _patient_id(item, examination)

    targets = Targets(examination.index, examination.people, reception, person_key, shared_ids, patient_id)
    cache: dict[bytes, Target] = {}
    stated = Stated({}, {})
    for each in items:
        try:
            stated.entries[each.item.index] = _entry(each, shared_ids[each.item.index], targets, cache, reception)
        except OneStoryError as error:
            stated.errors[each.item.index] = error
    return stated


def _shared_id(each: Examined, person_key: str | None, reception: Reception) -> str:
    keys, source = reception.door.keys, reception.source
    name = (source.organisation, source.system, each.item.resource_type, each.local_id)
    return keys.shared_id(person_key, *name) if person_key else keys.resource_hash(*name)


def _patient_id(item: Item, examination: Examination) -> str:
    person = examination.people.of_patient(item)
    if person.is_nhs_number:
        return person.value
    examined = examination.fit[item.index]
    return _shared_id(examined, examination.reception.door.keys.person_key(person), examination.reception)


def _entry(each: Examined, shared_id: str, targets: Targets, cache: dict[bytes, Target], reception: Reception) -> Entry:
    item = each.item
    content = None
    if item.operation is Operation.ASSERT:
        assembled = assemble(item, each.meta, shared_id, reception.source.organisation)
        content = rewrite(assembled, item, targets, cache)
    return Entry(item.resource_type, each.local_id, shared_id, each.recorded_at, item.operation, content)
