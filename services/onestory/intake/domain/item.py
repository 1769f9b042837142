"""One resource of a submission: its elements, the rules that it must keep, its local id, and how it is found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from onestory.intake.domain.bundle import Concept, Identifier
from onestory.intake.domain.conditions import ConditionalItem, Precondition
from onestory.intake.domain.request import KnownResource, SubmissionContext
from onestory.shared.errors import Forbidden, Issue, Malformed, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM, Operation
from onestory.shared.fhir.bundle_index import RELATIVE_REFERENCE, BundleIndex
from onestory.shared.fhir.definitions import (
    canonical_identifier_system,
    instance_identifier_systems,
    refused_types,
    resource_types,
)
from onestory.shared.fhir.validate import check_concept_binding, check_contained, check_resource, is_fhir_id
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    is_directory_id,
    is_nhs_number_system,
    is_storable,
    parse_shared_id,
)

_SHARED_ID = re.compile(rb"/([a-z2-7]{26}-[a-z2-7]{26})\b")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WITH_REQUIRED_CONCEPT = ("clinicalStatus", "verificationStatus", "severity", "outcome", "improvementNotation", "type")


@dataclass(frozen=True, slots=True)
class Item:
    """One resource of a submission, with what its request says about it.

    - `index`: the index in Bundle.entry, or 0.
    - `resource_id`: the publisher's own id, a shared id, or empty.
    - `identifier`: the `system|value` of a conditional create or update, or empty; `identifier_path` is its place.
    - `precondition`: the condition on the version that its source has now, or None.
    - `person`: the value of `?patient=`, or empty.
    - `path` and `request_path`: the FHIRPath of the resource, and of the URL in its request.
    - `members` and `raw`: the resource's elements, and all its bytes. A retraction has none.
    - `name_in_bundle`: the name of the Bundle with the entry's fullUrl or index, or empty.
    """

    index: int
    method: str
    resource_type: str
    path: str
    request_path: str = ""
    resource_id: str = ""
    identifier: str = ""
    person: str = ""
    full_url: str = ""
    members: Mapping[str, msgspec.Raw] = field(default_factory=dict)
    raw: bytes | msgspec.Raw = b""
    name_in_bundle: str = ""
    identifier_path: str = ""
    precondition: Precondition | None = None

    @property
    def is_conditional_create(self) -> bool:
        """Return whether the item changes nothing if its source has the resource already (If-None-Exist)."""
        return self.method == "POST" and bool(self.identifier)

    def as_conditional(self) -> ConditionalItem:
        """Return the condition of an item whose identifier is one."""
        return ConditionalItem(
            self.index, self.resource_type, self.identifier, self.identifier_path, self.is_conditional_create
        )

    @property
    def operation(self) -> Operation:
        """Return whether the item states its resource, or retracts it."""
        return Operation.RETRACT if self.method == "DELETE" else Operation.ASSERT


def members_of(raw: bytes | msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """Return the top-level elements of a resource by name, each with its bytes, in their order.

    Raises `Malformed` when the JSON is no object.
    """
    try:
        return _MEMBERS.decode(raw)
    except msgspec.ValidationError as error:
        raise Malformed("The body is not a resource. Send one JSON object.") from error


def string_member(members: Mapping[str, msgspec.Raw], name: str) -> str:
    """Return a string element, or an empty string."""
    raw = members.get(name)
    try:
        return msgspec.json.decode(raw, type=str) if raw is not None else ""
    except msgspec.ValidationError:
        return ""


def refuse_invalid_item(item: Item) -> None:
    """Raise `Unprocessable` for a type that cannot be published, and for a resource that breaks a rule of OneStory."""
    refuse_unsupported_type(item.resource_type, item.path)
    if item.operation is Operation.RETRACT:
        return
    issues = check_resource(item.raw, item.resource_type, item.path)
    if not issues and "contained" in item.members:
        issues = check_contained(item.members["contained"], item.path)
    for name in _WITH_REQUIRED_CONCEPT:
        if not issues and name in item.members:
            issues = check_concept_binding(item.resource_type, name, item.members[name], item.path)
    if issues:
        raise Unprocessable(issues[0].diagnostics, issues=issues)


def refuse_unsupported_type(resource_type: str, path: str) -> None:
    """Raise `Unprocessable` for a type that FHIR R4 lacks, or that is about neither a person nor the directory."""
    if resource_type not in resource_types():
        raise Unprocessable(
            "This is not a FHIR R4 resource type. Send one of those.", code="not-supported", expression=path
        )
    if resource_type in refused_types():
        instead = refused_types()[resource_type]
        raise Unprocessable(f"{resource_type} cannot be published. {instead}", code="not-supported", expression=path)


def refuse_invalid_id(value: str, path: str) -> None:
    """Raise `Unprocessable` for an id that FHIR does not allow."""
    if not is_fhir_id(value):
        issue = Issue("value", "An id must have 1 to 64 characters of A-Z a-z 0-9 - and dot. Correct it.", path)
        raise Unprocessable(issue.diagnostics, issues=[issue])


def refuse_other_full_url(full_url: str, resource_type: str, resource_id: str, path: str) -> None:
    """Raise `Unprocessable` for the fullUrl of an entry that ends with another id than its resource has."""
    if full_url.startswith("http") and not full_url.endswith(f"/{resource_id}"):
        raise Unprocessable(
            f"The fullUrl must end with {resource_type}/ and the resource's id, because references name the resource "
            "by both.",
            code="invariant",
            expression=f"{path}.fullUrl",
        )


def shared_ids_in(raw: bytes | msgspec.Raw) -> set[str]:
    """Return the shared ids in the references of these bytes."""
    return {match.decode() for match in _SHARED_ID.findall(bytes(raw))}


def local_id_of(item: Item, context: SubmissionContext, known: Mapping[str, KnownResource]) -> str:
    """Return the id of the resource in its source's own system, so that a second publish replaces the first.

    It is the first of these that the item has:

    1. The identifier of a conditional create or update. Such a request may have a temporary Resource.id.
    2. Resource.id. A shared id leads back to the local id that it was made from.
    3. An identifier whose system gives one value to one resource, or the source's own number of a Patient.
    4. The name of the Bundle with the entry's fullUrl: the same message again has the same statements.
    5. The idempotency key (or the submission's id) with the index of the entry.

    Raises `Forbidden` for the id of another source's resource. Raises `Unprocessable` for a shared id that the record
    does not know, and for an identifier that PostgreSQL cannot store.
    """
    if item.resource_id and not item.identifier:
        return _local_id_of_resource_id(item, context, known)
    identifier = item.identifier or local_id_by_identifier(item)
    if not is_storable(identifier):
        text = "The identifier that names this resource is too long. Send at most 512 characters, or an id."
        raise Unprocessable(text, code="too-long", expression=f"{item.path}.identifier")
    return identifier or local_id_without_identifier(item, context)


def local_id_without_identifier(item: Item, context: SubmissionContext) -> str:
    """Return the local id of a resource that has neither an id nor an identifier that names it."""
    name = item.name_in_bundle
    if name and not is_storable(name):
        return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return name or context.fallback_local_id(item.index)


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


def local_id_by_identifier(item: Item) -> str:
    """Return the identifier in the content of a resource that names it, as `system|value`, or an empty string."""
    raw = item.members.get("identifier")
    if raw is None:
        return ""
    decoded = msgspec.json.decode(raw, type=list[Identifier] | Identifier)
    identifiers = decoded if isinstance(decoded, list) else [decoded]
    if item.resource_type == "Patient":
        return _name_of_patient(identifiers)
    for identifier in identifiers:
        if identifier.system in instance_identifier_systems() and identifier.value:
            return _name(identifier)
    # A POST creates a new report.
    is_report = item.resource_type == "DiagnosticReport" and item.method != "POST"
    return _name_of_report(item, identifiers) if is_report else ""


def _name_of_report(item: Item, identifiers: Sequence[Identifier]) -> str:
    """Return the laboratory's number of a report with the report's code, or an empty string.

    A corrected report has both again, also in another message (http://hl7.org/fhir/R4/diagnosticreport.html). Reports
    about one specimen or order may have one number, and then have other codes.
    """
    number = next((_name(each) for each in identifiers if each.system and each.value and each.use != "old"), "")
    code = msgspec.json.decode(item.members["code"], type=Concept) if number and "code" in item.members else None
    coding = next((f"{each.system}|{each.code}" for each in code.coding if each.code), code.text) if code else ""
    return f"{number}/{coding}" if coding else ""


def _name_of_patient(identifiers: Sequence[Identifier]) -> str:
    """Return the identifier that names a Patient: the source's own number of the person, else the NHS number.

    So all messages about a person by one number are about one person, also before the source knows the NHS number.
    Other numbers, such as those of an insurance or a visit, may be those of several persons, or of one message.
    """
    usable = [each for each in identifiers if each.system and each.value and each.use not in ("old", "temp")]
    own = [each for each in usable if not is_nhs_number_system(each.system)]
    typed = [each for each in own if each.is_number_of_person]
    untyped = [each for each in own if each.type is None]
    lasting = [each for each in untyped if each.system not in instance_identifier_systems()]
    numbers = [each for each in usable if is_nhs_number_system(each.system)]
    return next((_name(each) for each in [*typed, *lasting, *untyped, *numbers]), "")


def _name(identifier: Identifier) -> str:
    system = NHS_NUMBER_SYSTEM if is_nhs_number_system(identifier.system) else identifier.system or ""
    return f"{canonical_identifier_system(system)}|{identifier.value}"


class ItemIndex(BundleIndex[Item]):
    """Finds the items of a submission: by the names that references use, and by type."""

    def __init__(self, items: Sequence[Item], base_url: str) -> None:
        super().__init__(items, base_url)
        self._items = items

    def of_type(self, resource_type: str) -> Iterator[Item]:
        """Return the items of a type, in order."""
        return (item for item in self._items if item.resource_type == resource_type)


def parse_relative_reference(reference: str) -> tuple[str, str] | None:
    """Return type and id of a relative reference, or None for any other."""
    match = RELATIVE_REFERENCE.fullmatch(reference)
    return (match["type"], match["id"]) if match else None
