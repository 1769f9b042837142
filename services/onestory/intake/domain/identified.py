"""The Patients of a submission by their identifiers. An identifier that names several people names none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from onestory.intake.domain.item import Item
from onestory.shared.errors import OneStoryError, Unprocessable
from onestory.shared.identity import PersonIdentifier

PersonOfPatient = Callable[[Item], PersonIdentifier]


class IdentifiedPeople:
    """The people of a submission's Patients, by system and value of an identifier. Each is computed once.

    `person_of_patient` returns the person of a Patient, or raises the error with which it is refused.
    """

    def __init__(self, patients: Iterable[Item], person_of_patient: PersonOfPatient) -> None:
        self._person_of_patient = person_of_patient
        self._found: dict[tuple[object, object], PersonIdentifier | OneStoryError] = {}
        self._patients: dict[tuple[object, object], list[Item]] = {}
        for patient in patients:
            for name in _names(patient):
                self._patients.setdefault(name, []).append(patient)

    def find(self, identifier: Mapping[str, Any]) -> PersonIdentifier | None:
        """Return the person whose Patient has this identifier, or None.

        Raises `Unprocessable` when Patients of several people have it, and the error of a Patient that is refused.
        """
        name = (identifier.get("system"), identifier.get("value"))
        if name not in self._patients:
            return None
        if name not in self._found:
            self._found[name] = self._find(self._patients[name])
        found = self._found[name]
        if isinstance(found, OneStoryError):
            raise found
        return found

    def _find(self, patients: list[Item]) -> PersonIdentifier | OneStoryError:
        try:
            first = self._person_of_patient(patients[0])
            second = next((patient for patient in patients if self._person_of_patient(patient) != first), None)
        except OneStoryError as error:
            return error
        if second is None:
            return first
        return Unprocessable(
            f"Patients of several people have this identifier: see {patients[0].path} and {second.path}. Refer to one "
            "by its fullUrl, or by its NHS number.",
            code="multiple-matches",
        )


def _names(patient: Item) -> set[tuple[object, object]]:
    raw = patient.members.get("identifier")
    identifiers = msgspec.json.decode(raw) if raw is not None else []
    return {(identifier.get("system"), identifier["value"]) for identifier in identifiers if identifier.get("value")}
