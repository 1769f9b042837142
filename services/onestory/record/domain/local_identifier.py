"""What a source calls a person in its own numbering: a medical record number, not an NHS number."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple
from uuid import UUID

import orjson

from onestory.shared.events import Operation, RecordChanged
from onestory.shared.identity import is_keepable, is_nhs_number_system


class LocalIdentifier(NamedTuple):
    """A row of `patient_identifier`: an identifier of a Patient statement."""

    system: str
    value: str
    person_key: str
    shared_id: str
    event_id: UUID
    organisation: str


class Bearer(NamedTuple):
    """A person of whom an organisation says that this is the local identifier."""

    person_key: str
    organisation: str


def local_identifiers(event: RecordChanged, person_key: str) -> Iterator[LocalIdentifier]:
    """The identifiers of the Patients that an event asserts, which are valid FHIR."""
    for entry in event.entries:
        if entry.resource_type != "Patient" or entry.operation is not Operation.ASSERT:
            continue
        stated = {
            (system, value)
            for each in orjson.loads(entry.content or b"{}").get("identifier", ())
            if (system := each.get("system")) and (value := each.get("value")) and not is_nhs_number_system(system)
        }
        for system, value in sorted(stated):
            if is_keepable(system) and is_keepable(value):
                yield LocalIdentifier(
                    system, value, person_key, entry.shared_id, event.event_id, event.source.organisation
                )


def candidates(bearers: Collection[Bearer], organisation: str) -> list[str]:
    """Keys of those whom the asker means: whom its own organisation calls so, else whom anybody does.

    Two organisations may number people in the same system, so another one's numbers never stand beside one's own.
    """
    own = {each.person_key for each in bearers if each.organisation == organisation}
    return sorted(own or {each.person_key for each in bearers})
