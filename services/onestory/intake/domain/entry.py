"""Reads one entry of a Bundle as an item: the resource, and its request if it has one.

Specification: http://hl7.org/fhir/R4/http.html#transaction for Bundle.entry.request.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import msgspec

from onestory.intake.domain.bundle import (
    ABSENT,
    BundleEntry,
    EntryRequest,
)
from onestory.intake.domain.conditions import create_condition, entry_precondition
from onestory.intake.domain.item import (
    Item,
    members_of,
    refuse_invalid_id,
    refuse_other_full_url,
    refuse_unsupported_type,
    string_member,
)
from onestory.intake.domain.request import (
    RequestUrl,
    identifier_condition,
    parse_request_url,
    patient_parameter,
)
from onestory.shared.errors import OneStoryError, Unprocessable

_ADVICE_BY_METHOD = {
    "GET": "A transaction cannot carry reads. Send a batch, or each read as its own request.",
    "HEAD": "A Bundle cannot carry HEAD. Send GET in a batch.",
    "PATCH": "PATCH is not supported. Send the whole resource with PUT.",
}


def item_of_entry(index: int, entry: BundleEntry, base_url: str) -> Item:
    """Return the item of an entry. Raises `Malformed` or `Unprocessable`."""
    path = f"Bundle.entry[{index}]"
    if entry.request is None:
        return _item_of_resource(index, entry, path)
    precondition = entry_precondition(entry.request, f"{path}.request")
    if entry.request.method not in ("POST", "PUT", "DELETE"):
        advice = _ADVICE_BY_METHOD.get(
            entry.request.method, "This HTTP method does not exist. Send POST, PUT or DELETE."
        )
        raise Unprocessable(advice, code="not-supported", expression=f"{path}.request.method")
    item = _item_of_request(index, entry, entry.request, path, base_url)
    return replace(item, precondition=precondition) if precondition else item


def items_of_refused_entry(index: int, entry: BundleEntry, base_url: str) -> list[Item]:
    """Return the readable part of a refused entry, so that its person can be found; an empty list if there is none."""
    path = f"Bundle.entry[{index}]"
    with suppress(OneStoryError):
        if entry.request and entry.request.method == "DELETE":
            return [_item_of_request(index, entry, entry.request, path, base_url)]
    with suppress(OneStoryError, msgspec.MsgspecError):
        return [_item_of_resource(index, entry, path)]
    return []


def _item_of_resource(
    index: int,
    entry: BundleEntry,
    path: str,
    method: str = "",
    *,
    identifier: str = "",
    identifier_path: str = "",
    person: str = "",
) -> Item:
    resource_path = f"{path}.resource"
    members = members_of(entry.resource)
    kind, resource_id = string_member(members, "resourceType"), string_member(members, "id")
    if resource_id:
        refuse_invalid_id(resource_id, f"{resource_path}.id")
        refuse_other_full_url(entry.full_url, kind, resource_id, path)
    return Item(
        index=index,
        method=method,
        resource_type=kind,
        path=resource_path,
        request_path=f"{path}.request.url",
        resource_id=resource_id,
        identifier=identifier,
        identifier_path=identifier_path,
        person=person,
        full_url=entry.full_url,
        members=members,
        raw=entry.resource,
    )


def _item_of_request(index: int, entry: BundleEntry, request: EntryRequest, path: str, base_url: str) -> Item:
    url_path = f"{path}.request.url"
    url = parse_request_url(request.url, base_url + "/", url_path)
    if request.method == "DELETE":
        return _item_of_delete(index, entry, url, path)
    identifier = ""
    if request.method == "PUT" and not url.resource_id:
        identifier = identifier_condition(url.search, url_path)
    elif url.search or (request.method == "POST" and url.resource_id):
        raise Unprocessable(
            "request.url must be Type for POST, and Type/id for PUT.", code="value", expression=url_path
        )
    condition_path = url_path
    if request.method == "POST" and request.if_none_exist is not None:
        condition_path = f"{path}.request.ifNoneExist"
        identifier = create_condition(request.if_none_exist, url.resource_type, base_url, condition_path)
    return _matching(
        url,
        _item_of_resource(index, entry, path, request.method, identifier=identifier, identifier_path=condition_path),
    )


def _item_of_delete(index: int, entry: BundleEntry, url: RequestUrl, path: str) -> Item:
    url_path = f"{path}.request.url"
    person = patient_parameter(url.search, url_path)
    refuse_unsupported_type(url.resource_type, url_path)
    refuse_invalid_id(url.resource_id, url_path)
    if entry.resource is not ABSENT:
        # A DELETE may carry the deleted resource: its content names the person.
        return _matching(url, _item_of_resource(index, entry, path, "DELETE", person=person))
    return Item(
        index=index,
        method="DELETE",
        resource_type=url.resource_type,
        path=path,
        request_path=url_path,
        resource_id=url.resource_id,
        full_url=entry.full_url,
        person=person,
    )


def _matching(url: RequestUrl, item: Item) -> Item:
    """Return the item. Raises `Unprocessable` unless it has the type and the id of its URL."""
    if url.resource_type != item.resource_type:
        text = "The type in request.url differs from resourceType. Send the same type."
        raise Unprocessable(text, code="value", expression=item.request_path)
    if url.resource_id and url.resource_id != item.resource_id:
        text = "The id in the resource must be the one in the URL."
        raise Unprocessable(text, code="value", expression=item.request_path)
    return item
