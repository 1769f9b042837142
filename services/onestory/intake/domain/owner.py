"""Finds the person whom a resource is about, by the resource's place in the Patient compartment.

A person is an NHS number, or a provisional identity of one source. Two people are never joined by inference. A
reference that leads to no known person is refused, with advice what to send instead.

NHS numbers: NHS Data Dictionary, NHS NUMBER; https://fhir.nhs.uk/Id/nhs-number.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from onestory.intake.domain.contained import ContainedResource, ContainedResources
from onestory.intake.domain.earlier import EarlierStatements, OwnPatient
from onestory.intake.domain.identifiable import refuse_members_without_identity
from onestory.intake.domain.identified import IdentifiedPeople, identifiers_with_paths, person_by_nhs_number
from onestory.intake.domain.item import Item, ItemIndex, parse_relative_reference
from onestory.intake.domain.judgement import LINKAGE, subject_of_linkage
from onestory.intake.domain.local_ids import LocalIds
from onestory.intake.domain.patients import SubmittedPatients
from onestory.intake.domain.person_elements import (
    ABOUT_OTHERS,
    BINARY,
    LEADS_NOWHERE,
    MAY_NAME_ANOTHER,
    NO_OWN_PATIENT,
    NUMBER_OF_TWO,
    PEOPLE,
    SEVERAL_PERSONS,
    STANDS_FOR_PERSON,
    may_be_patient,
    person_elements,
    references_at,
    refuse_other_type,
    type_of_thing,
)
from onestory.intake.domain.request import KnownResource, SubmissionContext
from onestory.shared.errors import OneStoryError, Unprocessable, at_path
from onestory.shared.fhir.references import pds_patient_id
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
)

# These elements say whose the resource is. If they are there and lead to no known person, that is an error: the
# resource may be about somebody else than the person of its Bundle.
_ONLY_PATIENT = {"subject", "patient", "for", "beneficiary", "candidate", "individual", "deliverTo"}

_References = Sequence[tuple[str, dict[str, Any]]]
_Result = PersonIdentifier | OneStoryError | None


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
        self._index = index
        self._invalid = invalid
        self._context = context
        self._known = known
        self._patients = SubmittedPatients(context, known, local_ids, invalid, matched)
        self._contained: dict[int, ContainedResources] = {}
        self._by_bytes: dict[tuple[str | None, tuple[str, ...], bytes], PersonIdentifier] = {}
        self._people_in_contained: dict[str, _Result] = {}
        self._people_of_entries: dict[int, _Result] = {}
        patients = (item for item in index.of_type("Patient") if item.index not in invalid)
        self._identified = IdentifiedPeople(patients, self.person_of_patient, earlier)

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
            # A retraction has no content that names the person. Its id is the source's own, never an NHS number.
            retracted = self._earlier.person(OwnPatient(item.resource_id))
            if retracted is None:
                raise Unprocessable(NO_OWN_PATIENT, code="not-found", expression=item.request_path or item.path)
            return Owner(retracted, item.path)
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
                if (item.resource_type, steps[0]) not in MAY_NAME_ANOTHER or error.issues[0].code != "not-found":
                    raise
                unknown, owner = error, None
            if owner:
                return owner
        if unknown:
            raise unknown
        return None

    def person_of_patient(self, item: Item) -> PersonIdentifier:
        """Return the person of a Patient in the submission. Raises `Unprocessable`."""
        return self._patients.person_of(item)

    def identify_patient(self, item: Item) -> PersonIdentifier:
        """Return the person of a Patient in the submission, also of one that is refused. Raises `Unprocessable`."""
        return self._patients.identify(item)

    def person_at_reference(self, reference: str) -> PersonIdentifier | None:
        """Return the person at a reference that names no entry of the submission; None when it is not known.

        It is `Patient/<id>`, `Patient?identifier=`, or a PDS URL.
        """
        normalised = self._index.normalise(reference)
        target = parse_relative_reference(normalised)
        if target and target[0] == "Patient":
            person = self._person_of_id(target[1])
            if person and is_nhs_number(target[1]) and self._earlier.contradicts(OwnPatient(target[1]), person):
                raise Unprocessable(NUMBER_OF_TWO, code="multiple-matches")
            return person
        if normalised.startswith("Patient?"):
            return self._identified.find_by_search(normalised.removeprefix("Patient?"))
        number = pds_patient_id(normalised)
        return PersonIdentifier(NHS_NUMBER_SYSTEM, number) if number else None

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
        owner = self._single_owner(references, item, strict=steps[-1] in _ONLY_PATIENT)
        if owner and b"#" not in key[2]:
            self._by_bytes[key] = owner.person
        return owner

    def _single_owner(self, references: _References, item: Item, *, strict: bool) -> Owner | None:
        owners = [Owner(person, path) for path, person in self._people_in(references, item, strict=strict) if person]
        second = next((owner for owner in owners if owner.person != owners[0].person), None)
        if second:
            text = "This reference names a second person. A resource must be about one person."
            raise Unprocessable(text, expression=second.path)
        if strict and not owners:
            for path, reference in references:
                self._refuse_nobody(reference, path, item)
        return owners[0] if owners else None

    def _people_in(
        self, references: _References, item: Item, *, strict: bool
    ) -> list[tuple[str, PersonIdentifier | None]]:
        """Return the person of each Reference of an element, with its path. Raises the error of the first at fault.

        All are read before that, so that a decision asks the record for all of them at once.
        """
        people: list[tuple[str, PersonIdentifier | None]] = []
        errors: list[OneStoryError] = []
        for path, reference in references:
            try:
                people.append((path, self._person_in_reference(reference, path, item, strict=strict)))
            except OneStoryError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return people

    def _person_in_reference(
        self, reference: dict[str, Any], path: str, item: Item, *, strict: bool
    ) -> PersonIdentifier | None:
        by_reference = by_number = None
        target, identifier = reference.get("reference"), reference.get("identifier")
        if target:
            by_reference = self._person_at_target(target, f"{path}.reference", item, strict=strict)
        if identifier and is_nhs_number_system(identifier.get("system")):
            by_number = person_by_nhs_number([(identifier, f"{path}.identifier")])
        elif identifier and not target and may_be_patient(reference.get("type"), assumed=strict):
            by_number = self._identified.find_or_ask(identifier, f"{path}.identifier")
            if by_number is None:
                raise Unprocessable(LEADS_NOWHERE, code="not-found", expression=f"{path}.identifier")
        elif identifier and by_reference:
            by_number = self._identified.confirmed(identifier, by_reference, f"{path}.identifier")
        if by_reference and by_number and by_reference != by_number:
            raise Unprocessable("reference and identifier name different people. Send one of them.", expression=path)
        return by_reference or by_number

    def _refuse_nobody(self, reference: dict[str, Any], path: str, item: Item) -> None:
        """Raise `Unprocessable` for a subject that is no known person, unless it surely is a thing, such as a place."""
        target = reference.get("reference", "")
        kind = self._type_of(target, item) if target else ""
        if not kind:
            raise Unprocessable(LEADS_NOWHERE, code="not-found", expression=path)
        refuse_other_type(kind, item, path)
        if kind in PEOPLE:
            raise Unprocessable(ABOUT_OTHERS, code="not-found", expression=path)

    def _type_of(self, target: str, item: Item) -> str:
        if target.startswith("#"):
            contained = self.contained_in(item).find(target)
            return contained.resource_type if contained else ""
        entry = self._index.find(target, item)
        return entry.resource_type if entry else type_of_thing(self._index.normalise(target))

    def _person_at_target(self, target: str, path: str, item: Item, *, strict: bool) -> PersonIdentifier | None:
        """Return the person at a reference of `item`, or None. `strict`: the element names whose the item is."""
        try:
            if target.startswith("#"):
                return self._person_in_contained(target, item, path, strict=strict)
            entry = self._index.find(target, item)
            if entry and strict:
                refuse_other_type(entry.resource_type, item, path)
            person = self._person_of_entry(entry, item, strict) if entry else self.person_at_reference(target)
        except OneStoryError as error:
            raise at_path(error, path) from error
        if entry is None and person is None and _is_to_patient(target):
            raise Unprocessable(LEADS_NOWHERE, code="not-found", expression=path)
        if entry is None and person is None and item.resource_type == BINARY:
            return self._person_of_own(target)
        return person

    def _person_of_entry(self, entry: Item, referrer: Item, strict: bool) -> PersonIdentifier | None:
        if entry.resource_type == "Patient":
            return self.person_of_patient(entry)
        # The resource that securityContext names stands for the Binary (http://hl7.org/fhir/R4/binary.html).
        stands = entry.resource_type != BINARY if referrer.resource_type == BINARY else strict
        if not stands or entry.index in self._invalid:
            return None
        if referrer.resource_type != BINARY and entry.resource_type not in STANDS_FOR_PERSON:
            return None
        if entry.index not in self._people_of_entries:
            try:
                owner = self.owner_of(entry)
                self._people_of_entries[entry.index] = owner.person if owner else None
            except OneStoryError as error:
                self._people_of_entries[entry.index] = error
        return _found(self._people_of_entries[entry.index])

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
        if contained.resource_type != "Patient" and not strict:
            return None
        if contained.path not in self._people_in_contained:
            try:
                self._people_in_contained[contained.path] = self._person_of_contained(contained, item)
            except OneStoryError as error:
                self._people_in_contained[contained.path] = error
        return _found(self._people_in_contained[contained.path])

    def _person_of_contained(self, contained: ContainedResource, item: Item) -> PersonIdentifier | None:
        if contained.resource_type == "Patient":
            identifiers = identifiers_with_paths(contained.members.get("identifier", []), contained.path)
            person = person_by_nhs_number(identifiers)
            if person is None:
                raise Unprocessable(LEADS_NOWHERE, code="not-found")
            return person
        # A subject may be a contained Group or Device. Then its members, or its patient, say whose the item is.
        references = list(self.contained_in(item).references_in(contained, STANDS_FOR_PERSON))
        people = self._people_in(references, item, strict=True)
        if len({person for _, person in people}) > 1:
            raise Unprocessable(SEVERAL_PERSONS, expression=contained.path)
        if people and people[0][1] is None:
            raise Unprocessable(LEADS_NOWHERE, code="not-found", expression=people[0][0])
        return people[0][1] if people else None


def _found(result: _Result) -> PersonIdentifier | None:
    if isinstance(result, OneStoryError):
        raise result
    return result


def _is_to_patient(target: str) -> bool:
    return "Patient/" in target or "Patient?" in target or target.startswith("urn:")
