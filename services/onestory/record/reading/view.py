"""What one caller sees of one person: policy first, and everything else follows from the visible entries."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from onestory.record.domain.digest import record_digest
from onestory.record.domain.patient import SharedPatient
from onestory.record.domain.search import Place, Question
from onestory.record.reading.person import Person
from onestory.record.reading.store import CurrentEntry
from onestory.shared.policy import Decision, Visibility

PATIENT = "Patient"


class Shown(NamedTuple):
    """One resource in an answer: a stored entry, or the shared Patient. `content` is None where it was not fetched."""

    place: Place
    resource_type: str
    id: str
    version_id: str
    last_updated: datetime | None
    content: bytes | None
    entry: CurrentEntry | None


@dataclass(frozen=True, slots=True)
class View:
    """What a caller sees of a person. `patients` are the shared Patients by person key."""

    person: Person
    decision: Decision
    entries: Sequence[CurrentEntry]
    patients: Mapping[str, SharedPatient]

    def digest(self) -> str:
        """The record digest over what the caller sees."""
        return record_digest((entry.shared_id, entry.content_digest) for entry in self.entries)

    def matching(self, question: Question) -> list[Shown]:
        """All that the question asks for, in the order of `Place`: the shared Patients, then entries by type and id."""
        stored = [
            Shown(
                Place(entry.resource_type, entry.shared_id),
                entry.resource_type,
                entry.shared_id,
                str(entry.event_id),
                entry.broker_time,
                entry.content,
                entry,
            )
            for entry in self.entries
            if entry.matches
        ]
        return [*self._shared_patients(question), *stored]

    def _shared_patients(self, question: Question) -> list[Shown]:
        if question.types is not None and PATIENT not in question.types:
            return []
        return [
            Shown(
                Place("", key),
                PATIENT,
                self.person.numbers[key],
                patient.version_id,
                patient.last_updated,
                patient.content,
                None,
            )
            for key, patient in sorted(self.patients.items())
            if _in_answer(self.person.numbers[key], patient, question)
        ]


def visible(entries: Sequence[CurrentEntry], visibility: Visibility, organisation: str) -> Sequence[CurrentEntry]:
    """The entries that a caller of this organisation sees."""
    match visibility:
        case Visibility.ALL:
            return entries
        case Visibility.OWN:
            return [entry for entry in entries if entry.organisation == organisation]
        case _:
            return ()


def page(matching: Sequence[Shown], question: Question) -> tuple[list[Shown], Place | None]:
    """The part of an answer that goes onto this page, and where the next page begins."""
    ahead = [shown for shown in matching if shown.place > question.after]
    held = ahead[: question.count]
    return held, held[-1].place if held and len(ahead) > len(held) else None


def tag(matching: Sequence[Shown], address: str, visibility: Visibility) -> str:
    """What changes when the answer to this address changes: the versions in it, and how much the caller sees."""
    said = [f"{shown.id}/{shown.version_id}" for shown in matching]
    return hashlib.sha256("\n".join([address, visibility, *said]).encode()).hexdigest()[:32]


def _in_answer(number: str, patient: SharedPatient, question: Question) -> bool:
    if question.ids is not None and number not in question.ids:
        return False
    since, before = question.span
    at = patient.last_updated
    return (since is None or (at is not None and at >= since)) and (before is None or (at is not None and at < before))
