"""Finds the person whom a resource is about, by the resource's place in the Patient compartment.

A person is an NHS number, or a provisional identity of one source. Two people are never joined by inference. A
reference that leads to no known person is refused, with advice what to send instead.

NHS numbers: NHS Data Dictionary, NHS NUMBER; https://fhir.nhs.uk/Id/nhs-number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from onestory.intake.domain.item import Item, ItemIndex, local_id_of, parse_relative_reference
from onestory.intake.domain.judgement import LINKAGE, subject_of_linkage
from onestory.intake.domain.request import KnownResource, SubmissionContext, identifier_condition
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.definitions import patient_compartment
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
    provisional_identity,
)

# PDS is the authority for identity, and its Patient ids are NHS numbers. Its host differs by environment.
_PDS = "/personal-demographics/FHIR/R4/Patient/"
# These elements can name only a Patient. If their reference leads to no known person, that is an error.
_ONLY_PATIENT = {"subject", "patient", "for", "beneficiary", "candidate", "individual", "deliverTo"}
_INSTEAD = (
    "This leads to no known person. Include the Patient in the submission, reference Patient/<NHS number>, or send "
    "an identifier with the NHS number."
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The person whom a resource is about, and the FHIRPath of the element that names the person."""

    person: PersonIdentifier
    path: str


class PersonResolver:
    """Finds the persons of one submission. It computes each Patient and each reference once."""

    def __init__(
        self,
        index: ItemIndex,
        context: SubmissionContext,
        known: Mapping[str, KnownResource],
        invalid: Collection[int] = (),
        matched: Mapping[int, PersonIdentifier] = MappingProxyType({}),
    ) -> None:
        """`invalid` are the indexes of items that are not valid FHIR. No person is read from them.

        `matched` are the persons of Patients that a condition found, by the index of the entry.
        """
        self._matched = matched
        self._index = index
        self._invalid = invalid
        self._context = context
        self._known = known
        self._patients: dict[int, PersonIdentifier] = {}
        self._contained: dict[int, list[Any]] = {}
        self._by_bytes: dict[tuple[tuple[str, ...], bytes], PersonIdentifier] = {}

    def owner_of(self, item: Item) -> Owner | None:
        """Return the owner of an item, or None when the item names no person. Raises `Unprocessable`."""
        known = self._known.get(item.resource_id)
        if item.person:
            return Owner(self._person_in_query(item, known), item.request_path)
        if item.resource_type == LINKAGE and item.members:
            statement = subject_of_linkage(item, self._index, self._known)
            return Owner(statement.known.person, statement.path)
        # The local id of a retracted Patient does not lead to its person: earlier statements are not known here.
        if item.resource_type == "Patient" and (item.members or known):
            return Owner(self.person_of_patient(item), item.path)
        for steps in patient_compartment().get(item.resource_type, ()):
            raw = item.members.get(steps[0])
            if raw is not None:
                owner = self._owner_at(steps, raw, item)
                if owner:
                    return owner
        return Owner(known.person, f"{item.path}.id") if known else None

    def person_of_patient(self, item: Item) -> PersonIdentifier:
        """Return the person of a Patient in the submission. Raises `Unprocessable`."""
        if item.index in self._invalid:
            raise Unprocessable(
                "This entry refers to a Patient that is refused. Correct the Patient, and send both again.",
                code="business-rule",
                expression=item.path,
            )
        if item.index not in self._patients:
            self._patients[item.index] = self.identify_patient(item)
        return self._patients[item.index]

    def person_at_reference(self, reference: str) -> PersonIdentifier | None:
        """Return the person at `Patient/<id>`, at `Patient?identifier=`, or at a PDS URL; None when it is not known."""
        item = self._index.find(reference)
        if item:
            return self.person_of_patient(item) if item.resource_type == "Patient" else None
        normalised = self._index.normalise(reference)
        target = parse_relative_reference(normalised)
        if target and target[0] == "Patient":
            return self._person_of_id(target[1])
        if normalised.startswith("Patient?"):
            return self._person_of_search(normalised.removeprefix("Patient?"))
        if _PDS in normalised and is_nhs_number(normalised.partition(_PDS)[2]):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, normalised.partition(_PDS)[2])
        return None

    def identify_patient(self, item: Item) -> PersonIdentifier:
        """Return the person of a Patient: by NHS number, else by shared id, else a provisional identity of this source.

        The Patient's local id never counts as an NHS number: one in eleven ten-digit ids has a correct check digit.
        """
        raw = item.members.get("identifier")
        identifiers = msgspec.json.decode(raw) if raw is not None else []
        number = person_by_nhs_number(identifiers_with_paths(identifiers, item.path))
        if number:
            return number
        if item.index in self._matched:
            return self._matched[item.index]
        known = self._known.get(item.resource_id)
        if known:
            return known.person
        source = self._context.source
        return provisional_identity(source.organisation, source.system, local_id_of(item, self._context, self._known))

    def _person_of_search(self, search: str) -> PersonIdentifier | None:
        try:
            system, _, value = identifier_condition(search, "").partition("|")
        except Malformed:
            return None
        if is_nhs_number_system(system):
            return self._person_of_id(value)
        return self._person_with_identifier({"system": system, "value": value})

    def _person_of_id(self, patient_id: str) -> PersonIdentifier | None:
        if is_nhs_number(patient_id):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, patient_id)
        known = self._known.get(patient_id) if parse_shared_id(patient_id) else None
        return known.person if known else None

    def _person_in_query(self, item: Item, known: KnownResource | None) -> PersonIdentifier:
        person = self._person_of_id(item.person)
        if person and known and known.person != person:
            text = "The resource with this id is about another person. Send the NHS number of its person."
            raise Unprocessable(text, code="value", expression=item.request_path)
        if person is None:
            raise Unprocessable(
                "patient must be an NHS number with a correct check digit, or the shared id of a Patient.",
                code="value",
                expression=item.request_path,
            )
        return person

    def _owner_at(self, steps: tuple[str, ...], raw: msgspec.Raw, item: Item) -> Owner | None:
        # The entries of a Bundle usually have the same subject in the same bytes.
        key = (steps, bytes(raw))
        cached = self._by_bytes.get(key)
        if cached:
            return Owner(cached, f"{item.path}.{'.'.join(steps)}")
        references = list(_references_at(msgspec.json.decode(raw), steps, f"{item.path}.{steps[0]}"))
        owner = self._single_owner(references, steps, item)
        if owner and b"#" not in key[1]:
            self._by_bytes[key] = owner.person
        return owner

    def _single_owner(
        self, references: list[tuple[str, dict[str, Any]]], steps: tuple[str, ...], item: Item
    ) -> Owner | None:
        owner: Owner | None = None
        for path, reference in references:
            person = self._person_in_reference(reference, path, item, strict=steps[-1] in _ONLY_PATIENT)
            if person and owner and person != owner.person:
                raise Unprocessable(
                    "This reference names a second person. A resource must be about one person.", expression=path
                )
            if person:
                owner = owner or Owner(person, path)
        return owner

    def _person_in_reference(
        self, reference: dict[str, Any], path: str, item: Item, *, strict: bool
    ) -> PersonIdentifier | None:
        by_reference = by_number = None
        target, identifier = reference.get("reference"), reference.get("identifier")
        if target:
            by_reference = self._person_at_target(target, f"{path}.reference", item)
        if identifier and is_nhs_number_system(identifier.get("system")):
            by_number = person_by_nhs_number([(identifier, f"{path}.identifier")])
        elif identifier and not target and strict and reference.get("type") in (None, "Patient"):
            by_number = self._person_with_identifier(identifier)
            if by_number is None:
                raise Unprocessable(_INSTEAD, code="not-found", expression=f"{path}.identifier")
        if by_reference and by_number and by_reference != by_number:
            raise Unprocessable("reference and identifier name different people. Send one of them.", expression=path)
        return by_reference or by_number

    def _person_at_target(self, target: str, path: str, item: Item) -> PersonIdentifier | None:
        if target.startswith("#"):
            return self._person_in_contained(target[1:], item, path)
        person = self.person_at_reference(target)
        if person is None and self._index.find(target) is None and _is_to_patient(target):
            raise Unprocessable(_INSTEAD, code="not-found", expression=path)
        return person

    def _person_in_contained(self, contained_id: str, item: Item, path: str) -> PersonIdentifier | None:
        if item.index not in self._contained:
            self._contained[item.index] = msgspec.json.decode(item.members.get("contained", b"[]"))
        for index, resource in enumerate(self._contained[item.index]):
            if resource.get("id") == contained_id and resource["resourceType"] == "Patient":
                identifiers = resource.get("identifier", [])
                person = person_by_nhs_number(identifiers_with_paths(identifiers, f"{item.path}.contained[{index}]"))
                if person is None:
                    raise Unprocessable(_INSTEAD, code="not-found", expression=path)
                return person
        return None

    def _person_with_identifier(self, identifier: Mapping[str, Any]) -> PersonIdentifier | None:
        """Return the person of the Patient in the submission that has this identifier, or None."""
        for item in self._index.of_type("Patient"):
            raw = item.members.get("identifier") if item.index not in self._invalid else None
            for own in msgspec.json.decode(raw) if raw is not None else []:
                if own.get("value") and all(own.get(part) == identifier.get(part) for part in ("system", "value")):
                    return self.person_of_patient(item)
        return None


def person_by_nhs_number(identifiers: Iterable[tuple[Mapping[str, Any], str]]) -> PersonIdentifier | None:
    """Return the person whom identifiers name by NHS number, or None without one. Each has its FHIRPath.

    A number with use `old` is ignored. Raises `Unprocessable` for a wrong check digit, and for two numbers.
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
    return is_nhs_number_system(identifier.get("system")) and "value" in identifier and identifier.get("use") != "old"


def _is_to_patient(target: str) -> bool:
    return "Patient/" in target or target.startswith(("Patient?", "urn:"))


def _references_at(value: Any, steps: tuple[str, ...], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the References at the end of the steps, each with its FHIRPath. `value` is the first step's element."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references_at(item, steps, f"{path}[{index}]")
    elif len(steps) > 1 and isinstance(value, dict) and steps[1] in value:
        yield from _references_at(value[steps[1]], steps[1:], f"{path}.{steps[1]}")
    elif len(steps) == 1 and isinstance(value, dict):
        yield path, value
