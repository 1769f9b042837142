"""One resource of a submission, with what the request says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from onestory.shared.errors import Issue, Malformed, Unprocessable
from onestory.shared.events import Operation
from onestory.shared.fhir.definitions import refused_types, resource_types
from onestory.shared.fhir.validation import check, check_concepts, check_contained, is_id

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WITH_REQUIRED_CONCEPT = ("clinicalStatus", "verificationStatus", "severity", "outcome", "improvementNotation", "type")


@dataclass(frozen=True, slots=True)
class Item:
    """`resource_id` is the publisher's own, or in our form, or empty. `identifier` is the `system|value` that a
    conditional create or update names. `person` is what `?patient=` says. `path` is where the resource stands,
    `request_path` where its address does, both FHIRPath. A retraction has no members.
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

    @property
    def operation(self) -> Operation:
        return Operation.RETRACT if self.method == "DELETE" else Operation.ASSERT


def members_of(raw: bytes | msgspec.Raw) -> Mapping[str, msgspec.Raw]:
    """The top-level elements of a resource, each with its bytes, in order. Raises `Malformed` for any other JSON."""
    try:
        return _MEMBERS.decode(raw)
    except msgspec.ValidationError as error:
        raise Malformed("The body is not a resource: send one JSON object.") from error


def text(members: Mapping[str, msgspec.Raw], name: str) -> str:
    """A string element, or empty."""
    raw = members.get(name)
    try:
        return msgspec.json.decode(raw, type=str) if raw is not None else ""
    except msgspec.ValidationError:
        return ""


def refuse_unfit(item: Item) -> None:
    """Raise `Unprocessable` for a type that we do not take, and for what our own rules find in the resource."""
    refuse_type(item.resource_type, item.path)
    if item.operation is Operation.RETRACT:
        return
    issues = check(item.raw, item.resource_type, item.path)
    if not issues and "contained" in item.members:
        issues = check_contained(item.members["contained"], item.path)
    for name in _WITH_REQUIRED_CONCEPT:
        if not issues and name in item.members:
            issues = check_concepts(item.resource_type, name, item.members[name], item.path)
    if issues:
        raise Unprocessable(issues[0].diagnostics, issues=issues)


def refuse_type(resource_type: str, path: str) -> None:
    """Raise `Unprocessable` for a type that says nothing of a person or of the directory, or that FHIR R4 lacks."""
    if resource_type not in resource_types():
        raise Unprocessable("This is no FHIR R4 resource type.", code="not-supported", expression=path)
    if resource_type in refused_types():
        instead = refused_types()[resource_type]
        raise Unprocessable(f"{resource_type} is not taken. {instead}", code="not-supported", expression=path)


def refuse_bad_id(value: str, path: str) -> None:
    """Raise `Unprocessable` for an id that FHIR does not allow."""
    if not is_id(value):
        issue = Issue("value", "An id has 1 to 64 characters of A-Z a-z 0-9 - and dot: correct it.", path)
        raise Unprocessable(issue.diagnostics, issues=[issue])
