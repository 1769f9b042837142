"""Questions about a source's earlier statements, for references that lead out of a submission.

A source may refer to what it published before: by its own Type/id, or to its Patient by an identifier of its own. The
decision runs first without answers and notes its questions. The record answers them, and the decision runs again.
Nothing is guessed: a Patient that the record does not know leads to no person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from onestory.shared.identity import PersonIdentifier


class OwnPatient(NamedTuple):
    """A Patient that the source published before, by its local id."""

    local_id: str


class IdentifiedPatient(NamedTuple):
    """A Patient that the source published before, by an identifier that the source gave to it."""

    system: str
    value: str


class OwnReference(NamedTuple):
    """A resource that the source published before, to which its statement about a person refers by local id."""

    person_key: str
    resource_type: str
    local_id: str


class SystemQuestion(NamedTuple):
    """The current resources that another system of the source has about a person.

    `rank` and `published_at` are those of the statement that replaces them.
    """

    person_key: str
    system: str
    rank: int
    published_at: datetime


class SystemResources(NamedTuple):
    """The current resources of one type that another system has under one identity of a person.

    `earlier` and `later` count those that were stated before the replacing statement, and the others. `person` is the
    identity: the person, or a provisional identity of nobody else. It is None for another NHS number, and for a
    provisional identity that more persons may have.
    """

    resource_type: str
    person: PersonIdentifier | None
    earlier: int
    later: int


PatientQuestion = OwnPatient | IdentifiedPatient
Question = PatientQuestion | OwnReference | SystemQuestion
Answer = PersonIdentifier | str | Sequence[SystemResources] | None


@dataclass(frozen=True, slots=True)
class EarlierStatements:
    """The answers of the record about the source's earlier statements, as far as it was asked.

    - `patients`: the person of each Patient; None when the record knows none, or several.
    - `targets`: the shared id of each resource; None when the resource belongs to another person.
    - `systems`: the current resources that another system has.
    - `questions`: what a decision asked, each with the answer on which it went on.
    """

    patients: Mapping[PatientQuestion, PersonIdentifier | None] = field(default_factory=dict)
    targets: Mapping[OwnReference, str | None] = field(default_factory=dict)
    systems: Mapping[SystemQuestion, Sequence[SystemResources]] = field(default_factory=dict)
    questions: dict[Question, Answer] = field(default_factory=dict)

    def person(self, question: PatientQuestion) -> PersonIdentifier | None:
        """Return the person of a Patient, or None when the record knows none (yet)."""
        answer = self.patients.get(question)
        self.questions[question] = answer
        return answer

    def contradicts(self, question: PatientQuestion, person: PersonIdentifier) -> bool:
        """Return whether the record knows another person for a Patient that the submission takes for `person`.

        Such a check alone asks the record nothing: it is asked together with other questions. An identifier may lead
        from a provisional identity to its NHS number, and that is no contradiction.
        """
        answer = self.patients.get(question)
        self.questions.setdefault(question, person)
        if answer is None or answer == person:
            return False
        return isinstance(question, OwnPatient) or (answer.is_nhs_number and person.is_nhs_number)

    @staticmethod
    def is_check(assumed: Answer) -> bool:
        """Return whether a question is only a check, by the answer on which the decision went on."""
        return isinstance(assumed, PersonIdentifier)

    def target(self, question: OwnReference, computed: str) -> str | None:
        """Return the shared id of a resource, or None when it belongs to another person.

        It is `computed` when the record does not have the resource (yet): publishes may come in any order.
        """
        answer = self.targets.get(question, computed)
        self.questions[question] = answer
        return answer

    def resources_of_system(self, question: SystemQuestion) -> Sequence[SystemResources]:
        """Return the current resources that another system of the source has, by type and identity."""
        answer = self.systems.get(question, ())
        self.questions[question] = answer
        return answer

    def unanswered(self, asked: Iterable[Question]) -> list[Question]:
        """Return those of the asked questions that the record has not answered."""
        answered = self.patients.keys() | self.targets.keys() | self.systems.keys()
        return [each for each in asked if each not in answered]
