"""One resource of a submission: its elements, the rules that it must keep, its local id, and how it is found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from onestory.intake.domain.conditions import ConditionalItem, Precondition
from onestory.shared.errors import Issue, Malformed, Unprocessable
from onestory.shared.events import Operation
from onestory.shared.fhir.bundle_index import RELATIVE_REFERENCE, BundleIndex
from onestory.shared.fhir.definitions import (
    refused_types,
    resource_types,
)
from onestory.shared.fhir.validate import check_concept_binding, check_contained, check_resource, is_fhir_id

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
    - `name_in_bundle`: the name of the Bundle with the entry's fullUrl or a digest of the content, or empty.
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
