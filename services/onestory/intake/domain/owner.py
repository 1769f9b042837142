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

from onestory.intake.domain.contained import ContainedResources
from onestory.intake.domain.earlier import EarlierStatements, IdentifiedPatient, OwnPatient
from onestory.intake.domain.identifiable import refuse_members_without_identity, refuse_patient_without_name
from onestory.intake.domain.identified import IdentifiedPeople
from onestory.intake.domain.item import Item, ItemIndex, parse_relative_reference
from onestory.intake.domain.judgement import LINKAGE, subject_of_linkage
from onestory.intake.domain.local_ids import LocalIds
from onestory.intake.domain.person_elements import BINARY, person_elements, references_at, refuse_other_type
from onestory.intake.domain.request import KnownResource, SubmissionContext, identifier_condition
from onestory.shared.errors import Malformed, OneStoryError, Unprocessable, at_path
from onestory.shared.fhir.references import pds_patient_id
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
    provisional_identity,
)

# These elements can name only a Patient. If their reference leads to no known person, that is an error.
_ONLY_PATIENT = {"subject", "patient", "for", "beneficiary", "candidate", "individual", "deliverTo"}
_INSTEAD = (
    "This leads to no person that the record knows (yet). Include the Patient in the submission, publish it before "
    "this, reference Patient/<NHS number>, or send an identifier with the NHS number."
)
# Coverage is in the record of its beneficiary and of its subscriber (http://hl7.org/fhir/R4/coverage.html). So an
# unknown beneficiary is no reason to refuse it when the subscriber is known.
_MAY_NAME_ANOTHER = {("Coverage", "beneficiary")}


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
        earlier: EarlierStatements,
        local_ids: LocalIds,
        invalid: Collection[int] = (),
        matched: Mapping[int, PersonIdentifier] = MappingProxyType({}),
    ) -> None:
        """`invalid` are the indexes of items that are not valid FHIR. No person is read from them.

        `matched` are the persons of Patients that a condition found, by the index of the entry.
        """
        self._earlier = earlier
        self._local_ids = local_ids
        self._matched = matched
        self._index = index
        self._invalid = invalid
        self._context = context
        self._known = known
        self._patients: dict[int, PersonIdentifier] = {}
        self._contained: dict[int, ContainedResources] = {}
        self._by_bytes: dict[tuple[str | None, tuple[str, ...], bytes], PersonIdentifier] = {}
        self._people_in_contained: dict[str, PersonIdentifier | None] = {}
        self._identified: IdentifiedPeople | None = None

    def owner_of(self, item: Item) -> Owner | None:
        """Return the owner of an item, or None when the item names no person. Raises `Unprocessable`."""
        known = self._known.get(item.resource_id)
        if item.person:
            return Owner(self._person_in_query(item, known), item.request_path)
        if item.resource_type == LINKAGE and item.members:
            statement = subject_of_linkage(item, self._index, self._known)
            return Owner(statement.known.person, statement.path)
        if item.resource_type == "Patient" and (item.members or known):
            return Owner(self.person_of_patient(item), item.path)
        if item.resource_type == "Patient":
            # A retraction by local id has no content that names the person.
            retracted = self._person_of_id(item.resource_id)
            return Owner(retracted, item.path) if retracted else None
        owner = self._owner_in_elements(item)
        if item.resource_type == "Group":
            refuse_members_without_identity(item)
        return owner or (Owner(known.person, f"{item.path}.id") if known else None)

    def _owner_in_elements(self, item: Item) -> Owner | None:
        """Return the owner whom the elements of the item name. The first of the elements decides."""
        unknown: Unprocessable | None = None
        for steps in person_elements(item.resource_type):
            raw = item.members.get(steps[0])
            if raw is None:
                continue
            try:
                owner = self._owner_at(steps, raw, item)
            except Unprocessable as error:
                if (item.resource_type, steps[0]) not in _MAY_NAME_ANOTHER or error.issues[0].code != "not-found":
                    raise
                unknown, owner = error, None
            if owner:
                return owner
        if unknown:
            raise unknown
        return None

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
        """Return the person at a reference that names no entry of the submission; None when it is not known.

        It is `Patient/<id>`, `Patient?identifier=`, or a PDS URL.
        """
        normalised = self._index.normalise(reference)
        target = parse_relative_reference(normalised)
        if target and target[0] == "Patient":
            return self._person_of_id(target[1])
        if normalised.startswith("Patient?"):
            return self._person_of_search(normalised.removeprefix("Patient?"))
        number = pds_patient_id(normalised)
        return PersonIdentifier(NHS_NUMBER_SYSTEM, number) if number else None

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
        refuse_patient_without_name(item)
        source = self._context.source
        return provisional_identity(source.organisation, source.system, self._local_ids.of_patient(item))

    def _person_of_search(self, search: str) -> PersonIdentifier | None:
        try:
            system, _, value = identifier_condition(search, "").partition("|")
        except Malformed:
            return None
        if is_nhs_number_system(system):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, value) if is_nhs_number(value) else None
        return self._person_with_identifier({"system": system, "value": value})

    def _person_of_id(self, patient_id: str) -> PersonIdentifier | None:
        """Return the person of an NHS number, of a Patient's shared id, or of the source's own earlier Patient."""
        if is_nhs_number(patient_id):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, patient_id)
        if not parse_shared_id(patient_id):
            return self._earlier.person(OwnPatient(patient_id))
        known = self._known.get(patient_id)
        return known.person if known and known.resource_type == "Patient" else None

    def _person_in_query(self, item: Item, known: KnownResource | None) -> PersonIdentifier:
        person = self._person_of_id(item.person)
        if person and known and known.person != person:
            text = "The resource with this id is about another person. Send the NHS number of its person."
            raise Unprocessable(text, code="value", expression=item.request_path)
        if person is None:
            raise Unprocessable(
                "patient must be an NHS number with a correct check digit, the id of a Patient that you published, or "
                "the shared id of a Patient that you may read.",
                code="value",
                expression=item.request_path,
            )
        return person

    def _owner_at(self, steps: tuple[str, ...], raw: msgspec.Raw, item: Item) -> Owner | None:
        # The entries of a Bundle usually have the same subject in the same bytes.
        # A relative reference depends on the server of the entry in which it stands.
        key = (self._index.root_of(item), steps, bytes(raw))
        cached = self._by_bytes.get(key)
        if cached:
            return Owner(cached, f"{item.path}.{'.'.join(steps)}")
        references = list(references_at(msgspec.json.decode(raw), steps, f"{item.path}.{steps[0]}"))
        owner = self._single_owner(references, steps, item)
        if owner and b"#" not in key[2]:
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
            by_reference = self._person_at_target(target, f"{path}.reference", item, strict=strict)
        if identifier and is_nhs_number_system(identifier.get("system")):
            by_number = person_by_nhs_number([(identifier, f"{path}.identifier")])
        elif identifier and not target and strict and reference.get("type") in (None, "Patient"):
            by_number = self._person_with_identifier(identifier, f"{path}.identifier")
            if by_number is None:
                raise Unprocessable(_INSTEAD, code="not-found", expression=f"{path}.identifier")
        if by_reference and by_number and by_reference != by_number:
            raise Unprocessable("reference and identifier name different people. Send one of them.", expression=path)
        return by_reference or by_number

    def _person_at_target(self, target: str, path: str, item: Item, *, strict: bool) -> PersonIdentifier | None:
        """Return the person at a reference of `item`, or None. `strict`: the element names whose the item is."""
        try:
            if target.startswith("#"):
                return self._person_in_contained(target, item, path, strict=strict)
            entry = self._index.find(target, item)
            person = self._person_of_entry(entry, item) if entry else self.person_at_reference(target)
        except OneStoryError as error:
            raise at_path(error, path) from error
        if entry is not None and strict:
            refuse_other_type(entry.resource_type, item, path)
        if entry is None and person is None and _is_to_patient(target):
            raise Unprocessable(_INSTEAD, code="not-found", expression=path)
        if entry is None and person is None and item.resource_type == BINARY:
            return self._person_of_own(target)
        return person

    def _person_of_entry(self, entry: Item, referrer: Item) -> PersonIdentifier | None:
        if entry.resource_type == "Patient":
            return self.person_of_patient(entry)
        if referrer.resource_type != BINARY or entry.resource_type == BINARY or entry.index in self._invalid:
            return None
        # The resource that securityContext names stands for the Binary (http://hl7.org/fhir/R4/binary.html).
        owner = self.owner_of(entry)
        return owner.person if owner else None

    def _person_of_own(self, reference: str) -> PersonIdentifier | None:
        """Return the person of a statement that this source made before, by its shared id."""
        kind, shared_id = parse_relative_reference(self._index.normalise(reference)) or ("", "")
        known = self._known.get(shared_id)
        return known.person if known and known.resource_type == kind and known.source == self._context.source else None

    def contained_in(self, item: Item) -> ContainedResources:
        """Return the contained resources of an item."""
        if item.index not in self._contained:
            self._contained[item.index] = ContainedResources(item)
        return self._contained[item.index]

    def _person_in_contained(self, reference: str, item: Item, path: str, *, strict: bool) -> PersonIdentifier | None:
        contained = self.contained_in(item).find(reference)
        if contained is None:
            return None
        if strict:
            refuse_other_type(contained.resource_type, item, path)
        if contained.resource_type != "Patient":
            return None
        if contained.path not in self._people_in_contained:
            identifiers = identifiers_with_paths(contained.members.get("identifier", []), contained.path)
            self._people_in_contained[contained.path] = person_by_nhs_number(identifiers)
        person = self._people_in_contained[contained.path]
        if person is None:
            raise Unprocessable(_INSTEAD, code="not-found")
        return person

    def _person_with_identifier(self, identifier: Mapping[str, Any], path: str = "") -> PersonIdentifier | None:
        """Return the person of the source's Patient that has this identifier, or None.

        The Patient is in the submission, or was published before. Raises `Unprocessable`, at `path`, when Patients of
        several people have it.
        """
        if self._identified is None:
            patients = (item for item in self._index.of_type("Patient") if item.index not in self._invalid)
            self._identified = IdentifiedPeople(patients, self.person_of_patient)
        try:
            person = self._identified.find(identifier)
        except OneStoryError as error:
            raise at_path(error, path) from error
        system, value = identifier.get("system"), identifier.get("value")
        return person or (self._earlier.person(IdentifiedPatient(system, value)) if system and value else None)


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
