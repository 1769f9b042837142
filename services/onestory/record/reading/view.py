"""What one caller sees of one person: policy first, and everything else follows from the visible entries."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from onestory.record.domain.search.place import START, Place
from onestory.record.domain.search.question import Question
from onestory.record.reading.person import Person
from onestory.record.store.entries import CurrentEntry
from onestory.shared.policy import Decision, Visibility

PATIENT = "Patient"


@dataclass(frozen=True, slots=True)
class View:
    """What a caller sees of a person: `entries` as they were stated, and the shared Patients."""

    person: Person
    decision: Decision
    entries: Sequence[CurrentEntry]
    patients: Sequence[CurrentEntry]

    def matching(self, question: Question) -> list[CurrentEntry]:
        """All that the question asks for, in order: the shared Patients, then entries by type and id."""
        everything = [*self.patients, *self.entries]
        return everything if question.asks_for_all else [entry for entry in everything if _matches(entry, question)]


def visible(entries: Sequence[CurrentEntry], visibility: Visibility, organisation: str) -> Sequence[CurrentEntry]:
    """The entries that a caller of this organisation sees."""
    match visibility:
        case Visibility.ALL:
            return entries
        case Visibility.OWN:
            return [entry for entry in entries if entry.organisation == organisation]
        case _:
            return ()


def page(matching: Sequence[CurrentEntry], question: Question) -> tuple[Sequence[CurrentEntry], Place | None]:
    """The part of an answer that goes onto this page, and where the next page begins."""
    first_page = question.after == START
    ahead = matching if first_page else [entry for entry in matching if entry.place > question.after]
    held = ahead[: question.count]
    return held, held[-1].place if held and len(ahead) > len(held) else None


def tag(matching: Sequence[CurrentEntry], address: str, visibility: str) -> str:
    """What changes when the answer to this address changes: the versions in it, and how much the caller sees."""
    said = [f"{entry.shared_id}/{entry.event_id}" for entry in matching]
    return hashlib.sha256("\n".join([address, visibility, *said]).encode()).hexdigest()[:32]


def _matches(entry: CurrentEntry, question: Question) -> bool:
    if question.types is not None and entry.resource_type not in question.types:
        return False
    if question.ids is not None and entry.shared_id not in question.ids:
        return False
    return question.span.holds(entry.broker_time)
