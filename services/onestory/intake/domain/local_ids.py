"""Finds the id that each resource of a submission has in its source's own system.

The next statement with the same local id replaces this one, and moves it if it names another person. So a name that
several people may share never stands alone: the person stands beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import msgspec

from onestory.intake.domain.bundle import Concept, Identifier
from onestory.intake.domain.item import Item, string_member
from onestory.intake.domain.request import KnownResource, SubmissionContext
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.definitions import canonical_identifier_system, instance_identifier_systems, is_about_a_person
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PersonIdentifier,
    is_directory_id,
    is_nhs_number_system,
    is_storable,
    parse_shared_id,
)

# Codes of Identifier.type (http://terminology.hl7.org/CodeSystem/v2-0203). Many results may have the number of one
# order (placer number, placer group number), visit (visit number, account number) or person.
_NUMBERS_OF_OTHERS = ("PLAC", "PGN", "VN", "AN", "MR", "PI", "PT")
_WITH_SUCH_NUMBERS = re.compile(r"\w+Request|Encounter|EpisodeOfCare|Account|Person|RelatedPerson")
# The filler number and the accession number are the laboratory's own.
_NUMBERS_OF_REPORTS = ("FILL", "ACSN")
_DEMOGRAPHICS = ("name", "birthDate")


class LocalIds:
    """The local ids of one submission. The same rule names a statement, and a person without an NHS number.

    `person_of_bundle` returns the person whom a Bundle that is no batch is about, or None. It is asked at most once,
    and only for resources that nothing of their own names. Such a Bundle has one person.
    """

    def __init__(
        self,
        items: Sequence[Item],
        context: SubmissionContext,
        known: Mapping[str, KnownResource],
        person_of_bundle: Callable[[], PersonIdentifier | None],
    ) -> None:
        self._context = context
        self._known = known
        self._person_of_bundle = person_of_bundle
        self._identifiers: dict[int, str] = {}
        self._by_identifier: dict[tuple[str, str], list[Item]] = {}
        self._numbered_reports: set[int] = set()
        for item in items:
            if not item.resource_id and not item.identifier and (identifier := self._identifier_of(item)):
                self._identifiers[item.index] = identifier
                self._by_identifier.setdefault((item.resource_type, identifier), []).append(item)
        patients = {name: same for (kind, name), same in self._by_identifier.items() if kind == "Patient"}
        self._contradictions = {name: _contradiction(same) for name, same in patients.items() if len(same) > 1}

    def _identifier_of(self, item: Item) -> str:
        identifier = local_id_by_identifier(item)
        # A POST creates a new report.
        if not identifier and item.resource_type == "DiagnosticReport" and not item.method:
            identifier = _name_of_report(item)
            self._numbered_reports.add(item.index)
        return identifier

    def of(self, item: Item) -> str:
        """Return the id of the resource in its source's own system, so that a second publish replaces the first.

        It is the first of these that the item has:

        1. The identifier of a conditional create or update. Such a request may have a temporary Resource.id.
        2. Resource.id. A shared id leads back to the local id that it was made from.
        3. An identifier that names this resource alone. Of several entries that describe one organisation or one
           Patient, it names the first.
        4. The laboratory's number of a report, with the report's code and time, and the person.
        5. The name of the Bundle with the entry's fullUrl, and the person.
        6. The idempotency key (or the submission's id) with the index of the entry.

        Raises `Forbidden` for the id of another source's resource. Raises `Unprocessable` for a shared id that the
        record does not know, for an identifier that PostgreSQL cannot store, and for a second Patient with the
        identifier of another one.
        """
        if item.identifier or item.resource_id:
            return self._stated(item)
        is_named_by_another = self._is_named_by_another(item)
        if item.resource_type == "Patient" and not is_named_by_another:
            return self.of_patient(item)
        if item.resource_type == "Patient":
            self._refuse_contradiction(item)
        elif item.index in self._identifiers and not is_named_by_another:
            identifier = _storable_identifier(self._identifiers[item.index], item)
            if item.index not in self._numbered_reports:
                return identifier
            return _hashed_unless_storable(f"{identifier}/{self._person_key}")
        return self._without_identifier(item, self._person_key if item.name_in_bundle else "")

    def of_patient(self, item: Item) -> str:
        """Return the local id that stands for the person of a Patient without an NHS number.

        Several entries that describe one Patient give the same. Raises as `of` does.
        """
        if item.identifier or item.resource_id:
            return self._stated(item)
        if item.index in self._identifiers:
            self._refuse_contradiction(item)
            return _storable_identifier(self._identifiers[item.index], item)
        return self._without_identifier(item, _digest_of_demographics(item))

    def _stated(self, item: Item) -> str:
        if item.identifier:
            return _storable_identifier(item.identifier, item)
        return _local_id_of_resource_id(item, self._context, self._known)

    def _is_named_by_another(self, item: Item) -> bool:
        """Return whether the identifier in the item's content does not name it: others of its type have it too.

        Some senders give one identifier to all results of a report.
        """
        if item.index not in self._identifiers:
            return False
        same = self._by_identifier[item.resource_type, self._identifiers[item.index]]
        if is_about_a_person(item.resource_type) and item.resource_type != "Patient":
            return len(same) > 1
        return same[0].index != item.index

    def _refuse_contradiction(self, item: Item) -> None:
        """Raise `Unprocessable` when Patients with the identifier of this one have different demographics."""
        if contradiction := self._contradictions.get(self._identifiers[item.index]):
            raise Unprocessable(
                f"Patients with this identifier differ in {contradiction}. They may be two people. Send the number of "
                "each person, or an id. If it is one person, send one Patient.",
                code="invariant",
                expression=f"{item.path}.identifier",
            )

    @cached_property
    def _person_key(self) -> str:
        person = self._person_of_bundle()
        return self._context.deployment.keys.person_key(person) if person else ""

    def _without_identifier(self, item: Item, person: str) -> str:
        if not item.name_in_bundle:
            return self._context.fallback_local_id(item.index)
        return _hashed_unless_storable("/".join(filter(None, (item.name_in_bundle, person))))


def local_id_by_identifier(item: Item) -> str:
    """Return the identifier in the content of a resource that names it, as `system|value`, or an empty string."""
    identifiers = _identifiers_of(item)
    if item.resource_type == "Patient":
        return _name_of_patient(item, identifiers)
    has_own = _WITH_SUCH_NUMBERS.fullmatch(item.resource_type) is not None
    for identifier in identifiers:
        is_unique = identifier.system in instance_identifier_systems() and identifier.value
        if is_unique and (has_own or not identifier.has_type(_NUMBERS_OF_OTHERS)):
            return _name(identifier)
    return ""


def _contradiction(patients: Sequence[Item]) -> str:
    """Return where Patients differ in name or birth date, or an empty string. An absent element differs from none."""
    for name in _DEMOGRAPHICS:
        given = [patient for patient in patients if name in patient.members]
        other = next((each for each in given if _value(each, name) != _value(given[0], name)), None)
        if other:
            return f"{name}: see {given[0].path} and {other.path}"
    return ""


def _identifiers_of(item: Item) -> list[Identifier]:
    raw = item.members.get("identifier")
    if raw is None:
        return []
    decoded = msgspec.json.decode(raw, type=list[Identifier] | Identifier)
    return decoded if isinstance(decoded, list) else [decoded]


def _name_of_patient(item: Item, identifiers: Sequence[Identifier]) -> str:
    """Return what names a Patient: the source's own number of the person, else the NHS number.

    So statements from before the source knew the NHS number join the person when it states that number.

    A number without a type may be that of a family's insurance. So the name and the birth date stand beside it. Numbers
    of other types, such as that of a visit, name no Patient.
    """
    usable = [each for each in identifiers if each.system and each.value and each.use != "old"]
    numbers = [each for each in usable if is_nhs_number_system(each.system)]
    own = [each for each in usable if not is_nhs_number_system(each.system) and each.use != "temp"]
    typed = [each for each in own if each.is_number_of_person]
    if named := next((_name(each) for each in [*typed, *numbers]), ""):
        return named
    untyped = [each for each in own if each.type is None]
    # A UUID may be that of one message.
    lasting = [each for each in untyped if each.system not in instance_identifier_systems()]
    number = next((_name(each) for each in [*lasting, *untyped]), "")
    return "/".join(filter(None, (number, _digest_of_demographics(item)))) if number else ""


def _digest_of_demographics(item: Item) -> str:
    """Return a digest of name and birth date, or an empty string for a Patient that has neither."""
    values = [_value(item, name) for name in _DEMOGRAPHICS]
    return hashlib.sha256(b"\0".join(values)).hexdigest()[:32] if any(values) else ""


def _value(item: Item, name: str) -> bytes:
    """Return the value of an element in one spelling, or no bytes."""
    raw = item.members.get(name)
    return msgspec.json.encode(msgspec.json.decode(raw), order="sorted") if raw is not None else b""


def _name_of_report(item: Item) -> str:
    """Return the laboratory's number of a report with the report's code and time, or an empty string.

    A corrected report has them again, also in another message (http://hl7.org/fhir/R4/diagnosticreport.html). Reports
    about one specimen may have one number, and then have other codes. Reports of one order have other times.
    """
    usable = [each for each in _identifiers_of(item) if each.system and each.value and each.use != "old"]
    own = [each for each in usable if each.has_type(_NUMBERS_OF_REPORTS)]
    # Other types of the table are numbers of orders, visits and people.
    others = [each for each in usable if not each.has_type()]
    number = next((_name(each) for each in [*own, *others]), "")
    code = msgspec.json.decode(item.members["code"], type=Concept) if number and "code" in item.members else None
    coding = next((f"{each.system}|{each.code}" for each in code.coding if each.code), code.text) if code else ""
    time = string_member(item.members, "effectiveDateTime") or _value(item, "effectivePeriod").decode()
    time = time or string_member(item.members, "issued")
    return f"{number}/{coding}/{time}" if coding and time else ""


def _name(identifier: Identifier) -> str:
    system = NHS_NUMBER_SYSTEM if is_nhs_number_system(identifier.system) else identifier.system or ""
    return f"{canonical_identifier_system(system)}|{identifier.value}"


def _storable_identifier(identifier: str, item: Item) -> str:
    if not is_storable(identifier):
        text = "The identifier that names this resource is too long. Send at most 512 characters, or an id."
        raise Unprocessable(text, code="too-long", expression=f"{item.path}.identifier")
    return identifier


def _hashed_unless_storable(name: str) -> str:
    return name if is_storable(name) else hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()


def _local_id_of_resource_id(item: Item, context: SubmissionContext, known: Mapping[str, KnownResource]) -> str:
    path = item.request_path if item.method == "DELETE" else f"{item.path}.id"
    if is_directory_id(item.resource_id):
        text = "This id looks like a directory id of OneStory. Send your own system's id."
        raise Unprocessable(text, code="not-supported", expression=path)
    if not parse_shared_id(item.resource_id):
        return item.resource_id
    known_resource = known.get(item.resource_id)
    if known_resource is None or known_resource.resource_type != item.resource_type:
        text = "This id looks like a shared id, and the record does not know it (yet). Send your own system's id."
        raise Unprocessable(text, code="not-found", expression=path)
    if known_resource.source.system == REFERRAL_SYSTEM:
        text = "This is a referral in OneStory. Only operations on its Task change it: send POST /fhir/Task/{id}/$..."
        raise Forbidden(text, expression=path)
    if known_resource.source != context.source:
        raise Forbidden("This is the id of a statement of another source. Send an id of your own.", expression=path)
    return known_resource.local_id
