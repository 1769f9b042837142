"""Finds people by identifiers: by the NHS number, and by those that Patients of the source have.

An identifier that names several people names none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from onestory.intake.domain.earlier import EarlierStatements, IdentifiedPatient
from onestory.intake.domain.item import Item
from onestory.intake.domain.person_elements import IDENTIFIER_OF_TWO
from onestory.intake.domain.request import identifier_condition
from onestory.shared.errors import Malformed, OneStoryError, Unprocessable, at_path
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_former_use,
    is_nhs_number,
    is_nhs_number_system,
)

PersonOfPatient = Callable[[Item], PersonIdentifier]


class IdentifiedPeople:
    """The people of a source's Patients, by system and value of an identifier that they have now.

    A Patient is in the submission, or was published before. `person_of_patient` returns the person of a Patient in the
    submission, or raises the error with which it is refused.
    """

    def __init__(
        self, patients: Iterable[Item], person_of_patient: PersonOfPatient, earlier: EarlierStatements
    ) -> None:
        """`patients` are those of the submission. Their identifiers are read when the first one is needed."""
        self._submitted = patients
        self._person_of_patient = person_of_patient
        self._earlier = earlier
        self._found: dict[tuple[object, object], PersonIdentifier | OneStoryError] = {}
        self._patients: dict[tuple[object, object], list[Item]] | None = None

    def find_or_ask(self, identifier: Mapping[str, Any], path: str = "") -> PersonIdentifier | None:
        """Return the person of the Patient with this identifier, or None.

        Raises `Unprocessable`, at `path`, when Patients of several people have it, and the error of a Patient that is
        refused.
        """
        if is_former_use(identifier.get("use")):
            return None
        try:
            person = self._in_submission(identifier)
        except OneStoryError as error:
            raise at_path(error, path) from error
        if person is None:
            question = _question(identifier)
            return self._earlier.person(question) if question else None
        self._refuse_reassigned(identifier, person, path)
        return person

    def find_by_search(self, search: str) -> PersonIdentifier | None:
        """Return the person of the Patient that a search by identifier finds, or None. Raises as `find_or_ask`."""
        try:
            system, _, value = identifier_condition(search, "").partition("|")
        except Malformed:
            return None
        if is_nhs_number_system(system):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, value) if is_nhs_number(value) else None
        return self.find_or_ask({"system": system, "value": value})

    def confirmed(self, identifier: Mapping[str, Any], person: PersonIdentifier, path: str) -> PersonIdentifier | None:
        """Return the person of the submission's only Patient with this identifier, or None.

        `person` is the one whom the reference beside the identifier names. Raises `Unprocessable`, at `path`, when the
        identifier is another person's in the record.
        """
        if is_former_use(identifier.get("use")):
            return None
        self._refuse_reassigned(identifier, person, path)
        try:
            return self._in_submission(identifier)
        except OneStoryError:
            # The reference decides. The identifier may be one that several people have.
            return None

    def _refuse_reassigned(self, identifier: Mapping[str, Any], person: PersonIdentifier, path: str) -> None:
        question = _question(identifier)
        if question and self._earlier.contradicts(question, person):
            raise Unprocessable(IDENTIFIER_OF_TWO, code="multiple-matches", expression=path)

    def _in_submission(self, identifier: Mapping[str, Any]) -> PersonIdentifier | None:
        if self._patients is None:
            self._patients = {}
            for patient in self._submitted:
                for each in _names(patient):
                    self._patients.setdefault(each, []).append(patient)
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


def _question(identifier: Mapping[str, Any]) -> IdentifiedPatient | None:
    system, value = identifier.get("system"), identifier.get("value")
    return IdentifiedPatient(system, value) if system and value else None


def _names(patient: Item) -> set[tuple[object, object]]:
    """Return system and value of the identifiers that the Patient has now."""
    raw = patient.members.get("identifier")
    identifiers = msgspec.json.decode(raw) if raw is not None else []
    return {
        (identifier.get("system"), identifier["value"])
        for identifier in identifiers
        if identifier.get("value") and not is_former_use(identifier.get("use"))
    }


def person_by_nhs_number(identifiers: Iterable[tuple[Mapping[str, Any], str]]) -> PersonIdentifier | None:
    """Return the person whom identifiers name by NHS number, or None without one. Each has its FHIRPath.

    A number with use `old` or `temp` is ignored. Raises `Unprocessable` for a wrong check digit, and for two numbers.
    """
    path_by_number: dict[str, str] = {}
    for identifier, path in identifiers:
        if not _is_current_nhs_number(identifier):
            continue
        if not is_nhs_number(identifier["value"]):
            raise Unprocessable(
                "This is not a valid NHS number (ten digits without spaces, with a correct check digit). Correct it or "
                "leave the identifier out.",
                code="value",
                expression=f"{path}.value",
            )
        path_by_number.setdefault(identifier["value"], path)
    if len(path_by_number) > 1:
        text = "A person has one NHS number. Send other numbers with use old, or as Patient.link."
        raise Unprocessable(text, code="invariant", expression=f"{list(path_by_number.values())[1]}.value")
    return next((PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in path_by_number), None)


def identifiers_with_paths(identifiers: Sequence[Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield the identifiers of the resource at `path`, each with its own FHIRPath."""
    return ((identifier, f"{path}.identifier[{index}]") for index, identifier in enumerate(identifiers))


def _is_current_nhs_number(identifier: Mapping[str, Any]) -> bool:
    is_number = is_nhs_number_system(identifier.get("system")) and "value" in identifier
    return is_number and not is_former_use(identifier.get("use"))
