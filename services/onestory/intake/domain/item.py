"""One resource of a submission, with what the request says of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from onestory.intake.domain.bundle import ABSENT, BundleEntry, EntryRequest
from onestory.intake.domain.request import (
    AcceptedEntry,
    RequestUrl,
    Submission,
    identifier_in,
    parse_address,
    person_in,
    refuse_preconditions,
)
from onestory.shared.errors import Issue, Malformed, NotAllowed, OneStoryError, Unprocessable
from onestory.shared.events import Operation
from onestory.shared.fhir.definitions import operated_types, refused_types, resource_types
from onestory.shared.fhir.validate import check, check_concepts, check_contained, is_id

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


# The entries of a Bundle as items, each with what its request asks (http://hl7.org/fhir/R4/http.html#transaction).

_INSTEAD = {
    "GET": "Reads are not answered here: send them by themselves.",
    "HEAD": "Reads are not answered here: send them by themselves.",
    "PATCH": "A statement is whole: send the resource as it now is, with PUT.",
}


def open_entry(index: int, entry: BundleEntry, base_url: str) -> Item:
    """One entry as an item. Raises `Malformed`, `Unprocessable` or `PreconditionFailed`."""
    path = f"Bundle.entry[{index}]"
    if entry.request is None:
        return _resource(index, entry, path)
    _refuse_conditions(entry.request, f"{path}.request")
    if entry.request.method not in ("POST", "PUT", "DELETE"):
        instead = _INSTEAD.get(entry.request.method, "There is no such method: send POST, PUT or DELETE.")
        raise Unprocessable(instead, code="not-supported", expression=f"{path}.request.method")
    return _requested(index, entry, entry.request, path, base_url)


def refused_entry(index: int, entry: BundleEntry, base_url: str) -> list[Item]:
    """A refused entry as far as it can be read, so that whose it is can still be told; else nothing."""
    path = f"Bundle.entry[{index}]"
    with suppress(OneStoryError):
        if entry.request and entry.request.method == "DELETE":
            return [_requested(index, entry, entry.request, path, base_url)]
    with suppress(OneStoryError, msgspec.MsgspecError):
        return [_resource(index, entry, path)]
    return []


def _refuse_conditions(request: EntryRequest, path: str) -> None:
    conditions = {
        "ifMatch": request.if_match,
        "ifNoneMatch": request.if_none_match,
        "ifModifiedSince": request.if_modified_since,
        "ifNoneExist": request.if_none_exist if request.method != "POST" else None,
    }
    refuse_preconditions([name for name, value in conditions.items() if value is not None], path)


def _resource(index: int, entry: BundleEntry, path: str, method: str = "", **asked: str) -> Item:
    at = f"{path}.resource"
    members = members_of(entry.resource)
    kind, resource_id = text(members, "resourceType"), text(members, "id")
    if resource_id:
        refuse_bad_id(resource_id, f"{at}.id")
        _refuse_other_full_url(entry.full_url, kind, resource_id, path)
    return Item(
        index=index,
        method=method,
        resource_type=kind,
        path=at,
        request_path=f"{path}.request.url",
        resource_id=resource_id,
        full_url=entry.full_url,
        members=members,
        raw=entry.resource,
        **asked,
    )


def _refuse_other_full_url(full_url: str, kind: str, resource_id: str, path: str) -> None:
    if full_url.startswith("http") and not full_url.endswith(f"/{resource_id}"):
        raise Unprocessable(
            f"The fullUrl must end with {kind}/ and the resource's id, for references find it by both.",
            code="invariant",
            expression=f"{path}.fullUrl",
        )


def _requested(index: int, entry: BundleEntry, request: EntryRequest, path: str, base_url: str) -> Item:
    at = f"{path}.request.url"
    address = parse_address(request.url, base_url + "/", at)
    if request.method == "DELETE":
        return _retraction(index, entry, address, path)
    asked = {}
    if request.method == "PUT" and not address.resource_id:
        asked["identifier"] = identifier_in(address.search, at)
    elif address.search or (request.method == "POST" and address.resource_id):
        raise Unprocessable("POST goes to Type, PUT to Type/id.", code="value", expression=at)
    if request.method == "POST" and request.if_none_exist:
        asked["identifier"] = identifier_in(request.if_none_exist, f"{path}.request.ifNoneExist")
    return _at(address, _resource(index, entry, path, request.method, **asked))


def _retraction(index: int, entry: BundleEntry, address: RequestUrl, path: str) -> Item:
    at = f"{path}.request.url"
    person = person_in(address.search, at)
    refuse_type(address.resource_type, at)
    refuse_bad_id(address.resource_id, at)
    if entry.resource is not ABSENT:
        # What is deleted may be sent along: it says whose it was.
        return _at(address, _resource(index, entry, path, "DELETE", person=person))
    return Item(
        index=index,
        method="DELETE",
        resource_type=address.resource_type,
        path=path,
        request_path=at,
        resource_id=address.resource_id,
        full_url=entry.full_url,
        person=person,
    )


def _at(address: RequestUrl, item: Item) -> Item:
    """The item, if it is what its address says. Raises `Unprocessable`."""
    if address.resource_type != item.resource_type:
        says = "The type differs from the resourceType: send them alike."
        raise Unprocessable(says, code="value", expression=item.request_path)
    if address.resource_id and address.resource_id != item.resource_id:
        says = "The id in the resource must be the one in the URL."
        raise Unprocessable(says, code="value", expression=item.request_path)
    return item


# What is a referral's, and not a statement: it is made and changed by operations.
#
# A referral that looked sent, and was not, would be waited for by nobody.

_REQUEST = "ServiceRequest"
_TEAM = "HealthcareService"


def refuse_operated(submission: Submission) -> None:
    """Raise `NotAllowed` for a resource of such a type by itself (http://hl7.org/fhir/R4/http.html#Status-Codes).

    Nor is a new ServiceRequest taken: the referral room answers it, or nobody does.
    """
    operated = operated_types().get(submission.resource_type)
    if operated is None:
        return
    error = NotAllowed(operated.instead, expression=submission.resource_type)
    creates = "create" not in operated.refused and submission.method != "POST" and not submission.resource_id
    error.headers["Allow"] = "GET, POST" if creates else "GET"
    raise error


def looks_sent(accepted: AcceptedEntry, bundle_type: str) -> bool:
    """Whether a statement reads like a referral that was sent: an active request of a team, or in a message."""
    if accepted.resource_type != _REQUEST or accepted.content is None:
        return False
    request: dict[str, Any] = orjson.loads(accepted.content)
    is_to_team = bundle_type == "message" or any(map(_is_team, request.get("performer", ())))
    return request.get("status") == "active" and is_to_team


def _is_team(performer: dict[str, Any]) -> bool:
    if performer.get("type") == _TEAM or f"{_TEAM}/" in performer.get("reference", ""):
        return True
    return str(performer.get("identifier", {}).get("system", "")).lower().endswith("/dos-service-id")
