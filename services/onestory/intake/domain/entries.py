"""The entries of a Bundle as items, each with what its request asks (http://hl7.org/fhir/R4/http.html#transaction)."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from onestory.intake.domain.address import Address, identifier_in, parse_address, person_in, refuse_preconditions
from onestory.intake.domain.bundle import ABSENT, BundleEntry, Request
from onestory.intake.domain.item import Item, members_of, refuse_bad_id, refuse_type, text
from onestory.shared.errors import OneStoryError, Unprocessable

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


def _refuse_conditions(request: Request, path: str) -> None:
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


def _requested(index: int, entry: BundleEntry, request: Request, path: str, base_url: str) -> Item:
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


def _retraction(index: int, entry: BundleEntry, address: Address, path: str) -> Item:
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


def _at(address: Address, item: Item) -> Item:
    """The item, if it is what its address says. Raises `Unprocessable`."""
    if address.resource_type != item.resource_type:
        says = "The type differs from the resourceType: send them alike."
        raise Unprocessable(says, code="value", expression=item.request_path)
    if address.resource_id and address.resource_id != item.resource_id:
        says = "The id in the resource must be the one in the URL."
        raise Unprocessable(says, code="value", expression=item.request_path)
    return item
