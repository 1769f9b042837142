"""Whom a resource is about: the NHS number of its Patient, found by its place in the Patient compartment.

Two people are never joined by inference: what leads to nobody is refused, with what to send instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from onestory.intake.domain.ids import Index, local_id, relative
from onestory.intake.domain.item import Item
from onestory.intake.domain.judgement import LINKAGE, about
from onestory.intake.domain.request import KnownResource, Reception, identifier_in
from onestory.shared.errors import PreconditionFailed, Unprocessable
from onestory.shared.fhir.definitions import patient_compartment
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
    provisional,
)

# NHS numbers in identifiers (NHS Data Dictionary, NHS NUMBER; https://fhir.nhs.uk/Id/nhs-number).


def person_of_number(identifiers: Iterable[tuple[Mapping[str, Any], str]]) -> PersonIdentifier | None:
    """The person that identifiers, each with its FHIRPath, name by NHS number; None without one.

    A number marked `old` is not the person's. Raises `Unprocessable` for a wrong check digit, and for two numbers.
    """
    found: dict[str, str] = {}
    for identifier, path in identifiers:
        if not _is_in_force(identifier):
            continue
        if not is_nhs_number(identifier["value"]):
            raise Unprocessable(
                "This is no NHS number (ten digits without spaces, the last a modulus 11 check digit): correct it, or "
                "leave the identifier out.",
                code="value",
                expression=f"{path}.value",
            )
        found.setdefault(identifier["value"], path)
    if len(found) > 1:
        says = "A person has one NHS number: send others with use old, or as Patient.link."
        raise Unprocessable(says, code="invariant", expression=f"{list(found.values())[1]}.value")
    return next((PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in found), None)


def listed(identifiers: Sequence[Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The identifiers of what stands at this path, each with its own."""
    return ((each, f"{path}.identifier[{index}]") for index, each in enumerate(identifiers))


def _is_in_force(identifier: Mapping[str, Any]) -> bool:
    return is_nhs_number_system(identifier.get("system")) and "value" in identifier and identifier.get("use") != "old"


# PDS says who a person is: its Patient ids are NHS numbers. Its hosts differ by environment.
_PDS = "/personal-demographics/FHIR/R4/Patient/"
# Where only a Patient makes sense, a reference that names nobody we know is an error, not another kind of subject.
_ONLY_PATIENT = {"subject", "patient", "for", "beneficiary", "candidate", "individual", "deliverTo"}
_INSTEAD = (
    "This leads to nobody we know: include the Patient in the submission, or reference Patient/<NHS number>, or give "
    "an identifier with the NHS number."
)


@dataclass(frozen=True, slots=True)
class Owner:
    """A person, and the FHIRPath of what said so."""

    person: PersonIdentifier
    path: str


class PersonResolver:
    """Who the people of one submission are."""

    def __init__(
        self, index: Index, reception: Reception, known: Mapping[str, KnownResource], invalid: Collection[int] = ()
    ) -> None:
        """`invalid` are the places of items that are not valid FHIR: nothing may be made out from them."""
        self._index = index
        self._invalid = invalid
        self._reception = reception
        self._known = known
        self._patients: dict[int, PersonIdentifier] = {}
        self._contents: dict[int, list[Any]] = {}
        self._by_bytes: dict[tuple[tuple[str, ...], bytes], PersonIdentifier] = {}

    def owner(self, item: Item) -> Owner | None:
        """Whose the item is; None when it names nobody. Raises `Unprocessable`."""
        known = self._known.get(item.resource_id)
        if item.person:
            return Owner(self._asked_for(item, known), item.request_path)
        if item.resource_type == LINKAGE and item.members:
            named = about(item, self._index, self._known)
            return Owner(named.known.person, named.path)
        # A Patient's local id alone leads to nobody: the number of its earlier statements is not known here.
        if item.resource_type == "Patient" and (item.members or known):
            return Owner(self.of_patient(item), item.path)
        for steps in patient_compartment().get(item.resource_type, ()):
            raw = item.members.get(steps[0])
            if raw is not None:
                found = self._owner_at(steps, raw, item)
                if found:
                    return found
        return Owner(known.person, f"{item.path}.id") if known else None

    def of_patient(self, item: Item) -> PersonIdentifier:
        """The person that a Patient of the submission is. Raises `Unprocessable`."""
        if item.index in self._invalid:
            raise Unprocessable("This Patient is refused.", code="business-rule", expression=item.path)
        if item.index not in self._patients:
            self._patients[item.index] = self.identify(item)
        return self._patients[item.index]

    def at_reference(self, reference: str) -> PersonIdentifier | None:
        """The person at `Patient/<id>`, `Patient?identifier=` or PDS; None when it leads to nobody we know."""
        item = self._index.find(reference)
        if item:
            return self.of_patient(item) if item.resource_type == "Patient" else None
        plain = self._index.plain(reference)
        target = relative(plain)
        if target and target[0] == "Patient":
            return self._of_id(target[1])
        if plain.startswith("Patient?"):
            return self._sought(plain.removeprefix("Patient?"))
        if _PDS in plain and is_nhs_number(plain.partition(_PDS)[2]):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, plain.partition(_PDS)[2])
        return None

    def _sought(self, search: str) -> PersonIdentifier | None:
        try:
            system, _, value = identifier_in(search, "").partition("|")
        except PreconditionFailed:
            return None
        if is_nhs_number_system(system):
            return self._of_id(value)
        return self._identified({"system": system, "value": value})

    def identify(self, item: Item) -> PersonIdentifier:
        """The person that a Patient says it is: by NHS number, else by our own id, else one of this source alone.

        Its id is no NHS number, whatever it looks like: one in eleven ten-digit local ids has a right check digit.
        """
        raw = item.members.get("identifier")
        number = person_of_number(listed(msgspec.json.decode(raw), item.path)) if raw is not None else None
        known = self._known.get(item.resource_id)
        if number or known:
            return number or known.person  # type: ignore[union-attr]
        source = self._reception.source
        return provisional(source.organisation, source.system, local_id(item, self._reception, self._known))

    def _of_id(self, patient_id: str) -> PersonIdentifier | None:
        if is_nhs_number(patient_id):
            return PersonIdentifier(NHS_NUMBER_SYSTEM, patient_id)
        known = self._known.get(patient_id) if parse_shared_id(patient_id) else None
        return known.person if known else None

    def _asked_for(self, item: Item, known: KnownResource | None) -> PersonIdentifier:
        person = self._of_id(item.person)
        if person and known and known.person != person:
            says = "The resource with this id is about somebody else than patient says."
            raise Unprocessable(says, code="value", expression=item.request_path)
        if person is None:
            raise Unprocessable(
                "patient must be an NHS number with a right check digit, or the Patient id that we gave.",
                code="value",
                expression=item.request_path,
            )
        return person

    def _owner_at(self, steps: tuple[str, ...], raw: msgspec.Raw, item: Item) -> Owner | None:
        # A Bundle says the same subject in every entry, in the same bytes.
        key = (steps, bytes(raw))
        cached = self._by_bytes.get(key)
        if cached:
            return Owner(cached, f"{item.path}.{'.'.join(steps)}")
        owner = self._decide(list(_at(msgspec.json.decode(raw), steps, f"{item.path}.{steps[0]}")), steps, item)
        if owner and b"#" not in key[1]:
            self._by_bytes[key] = owner.person
        return owner

    def _decide(self, found: list[tuple[str, dict[str, Any]]], steps: tuple[str, ...], item: Item) -> Owner | None:
        decided: Owner | None = None
        for path, reference in found:
            person = self._named(reference, path, item, strict=steps[-1] in _ONLY_PATIENT)
            if person and decided and person != decided.person:
                raise Unprocessable("This names a second person: a resource is about one.", expression=path)
            if person:
                decided = decided or Owner(person, path)
        return decided

    def _named(self, reference: dict[str, Any], path: str, item: Item, *, strict: bool) -> PersonIdentifier | None:
        by_reference = by_number = None
        target, identifier = reference.get("reference"), reference.get("identifier")
        if target:
            by_reference = self._referenced(target, f"{path}.reference", item)
        if identifier and is_nhs_number_system(identifier.get("system")):
            by_number = person_of_number([(identifier, f"{path}.identifier")])
        elif identifier and not target and strict and reference.get("type") in (None, "Patient"):
            by_number = self._identified(identifier)
            if by_number is None:
                raise Unprocessable(_INSTEAD, code="not-found", expression=f"{path}.identifier")
        if by_reference and by_number and by_reference != by_number:
            raise Unprocessable("reference and identifier name two people: send one of them.", expression=path)
        return by_reference or by_number

    def _referenced(self, target: str, path: str, item: Item) -> PersonIdentifier | None:
        if target.startswith("#"):
            return self._contained(target[1:], item, path)
        person = self.at_reference(target)
        if person is None and self._index.find(target) is None and _means_patient(target):
            raise Unprocessable(_INSTEAD, code="not-found", expression=path)
        return person

    def _contained(self, name: str, item: Item, path: str) -> PersonIdentifier | None:
        if item.index not in self._contents:
            self._contents[item.index] = msgspec.json.decode(item.members.get("contained", b"[]"))
        for index, resource in enumerate(self._contents[item.index]):
            if resource.get("id") == name and resource["resourceType"] == "Patient":
                identifiers = resource.get("identifier", [])
                person = person_of_number(listed(identifiers, f"{item.path}.contained[{index}]"))
                if person is None:
                    raise Unprocessable(_INSTEAD, code="not-found", expression=path)
                return person
        return None

    def _identified(self, identifier: Mapping[str, Any]) -> PersonIdentifier | None:
        """The Patient of the submission that has this identifier."""
        for item in self._index.of_type("Patient"):
            raw = item.members.get("identifier") if item.index not in self._invalid else None
            for each in msgspec.json.decode(raw) if raw is not None else []:
                if each.get("value") and all(each.get(part) == identifier.get(part) for part in ("system", "value")):
                    return self.of_patient(item)
        return None


def _means_patient(target: str) -> bool:
    return "Patient/" in target or target.startswith(("Patient?", "urn:"))


def _at(value: Any, steps: tuple[str, ...], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The References at the end of the steps, the first of which `value` has been taken from."""
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _at(each, steps, f"{path}[{index}]")
    elif len(steps) > 1 and isinstance(value, dict) and steps[1] in value:
        yield from _at(value[steps[1]], steps[1:], f"{path}.{steps[1]}")
    elif len(steps) == 1 and isinstance(value, dict):
        yield path, value
