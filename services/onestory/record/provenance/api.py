"""Provenance: `GET Provenance/[id]` of one statement, and `GET Provenance?target=[type]/[id]` of all about a resource.

FHIR R4, http://hl7.org/fhir/R4/provenance.html. It is shown to whom the statement is shown, or what became of it. What
a source published as Provenance itself is read and found like any other resource.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import by_reference
from onestory.record.provenance import store as provenance_store
from onestory.record.provenance.domain import StatementOrigin, named, provenance_id, provenance_of
from onestory.record.read import request as read_request
from onestory.record.read.access import absent
from onestory.record.read.request import Context
from onestory.record.read.resource import Addressed, AddressedResource
from onestory.record.search.parameters import IN_READ, Parameters, in_parameter, one
from onestory.record.search.sorting import CURSOR, EntryPlace
from onestory.shared.errors import Malformed
from onestory.shared.fhir import bundle
from onestory.shared.http.caller import Caller
from onestory.shared.identity import is_directory_id, is_nhs_number, parse_shared_id

PROVENANCE = "Provenance"
IN_TARGET_SEARCH = {"target", "patient", "_count", CURSOR} | IN_READ
_TARGET = re.compile(r"(?P<type>[A-Za-z]{1,64})/(?P<id>[a-z0-9-]{1,64})(?:/_history/(?P<version>[0-9a-f-]{36}))?")

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


class ProvenanceRead:
    """The interaction read for an id of ours. `otherwise` reads everything else."""

    def __init__(self, context: Context, otherwise: Endpoint) -> None:
        self._context = context
        self._addressed = Addressed(context, "read", IN_READ)
        self._otherwise = otherwise

    async def __call__(self, request: Request, caller: Caller) -> Response:
        provenance = request.path_params["id"]
        stands_for = named(provenance) if request.path_params["resource_type"] == PROVENANCE else None
        if stands_for is None:
            return await self._otherwise(request, caller)
        told = await provenance_store.behind(self._context.database, stands_for)
        if told is None:
            # It is looked for all the same: what is not there leaves the same trace as what may not be seen.
            missing = provenance.rpartition("-")[0].removeprefix("directory-")
            kind, shared_id = PROVENANCE, missing
        else:
            kind, shared_id = told.resource_type, told.shared_id
        target = await self._addressed.at(request, caller, kind, shared_id, PROVENANCE)
        return await target.show(lambda: _read(request, provenance, told))


class ProvenanceSearch:
    """The interaction search-type for Provenance by target. `otherwise` answers every other search."""

    def __init__(self, context: Context, otherwise: Endpoint) -> None:
        self._context = context
        self._addressed = Addressed(context, "search-type", IN_TARGET_SEARCH)
        self._otherwise = otherwise

    async def __call__(self, request: Request, caller: Caller) -> Response:
        if request.path_params["resource_type"] != PROVENANCE:
            return await self._otherwise(request, caller)
        parameters = await read_request.parameters(request)
        asked = _asked(parameters, self._context.fhir)
        if asked is None:
            return await self._otherwise(request, caller)
        target = await self._addressed.at(request, caller, asked.resource_type, asked.shared_id, PROVENANCE)
        told = await provenance_store.of_resource(self._context.database, target.resource)
        ours = [each for each in told if asked.version in (None, str(each.event_id))]
        found = [*await self._published(target, asked), *[_Found(_id(each), provenance_of(each)) for each in ours]]
        return await target.show(lambda: self._answer(target, found))

    async def _published(self, target: AddressedResource, asked: _ProvenanceTarget) -> Sequence[_Found]:
        """What sources published as Provenance of the resource, as far as the caller sees it."""
        if target.audited is None:
            return ()
        reader, view, _ = target.audited
        said = await reader.fetched([entry for entry in view.entries if entry.resource_type == PROVENANCE])
        return [_Found(each.shared_id, each.content) for each in said if each.content and asked.is_target(each.content)]

    def _answer(self, target: AddressedResource, found: Sequence[_Found]) -> Response:
        self._refuse_other_person(target)
        asks, ids = target.question, [each.id for each in found]
        start = ids.index(asks.after.id) + 1 if asks.after.id in ids else 0
        held = found[start : start + asks.count]
        address = f"{self._context.fhir}/{PROVENANCE}"
        more = held and start + len(held) < len(found)
        ahead = EntryPlace(PROVENANCE, held[-1].id) if more else None
        self_url = read_request.page_url(address, target.parameters, asks)
        next_url = read_request.page_url(address, target.parameters, asks, ahead) if ahead else None
        entries = [bundle.match(f"{address}/{each.id}", each.content) for each in held]
        return read_request.body(bundle.searchset(len(found), self_url, next_url, entries))

    def _refuse_other_person(self, target: AddressedResource) -> None:
        patient = one(target.parameters, "patient")
        if patient is None or target.audited is None:
            return
        asked = by_reference(patient, self._context.keys, self._context.fhir)
        if asked.person_key not in target.audited[1].person.person_keys:
            raise Malformed("target is about somebody else than patient says.", code="value")


class _ProvenanceTarget(NamedTuple):
    """What the parameter `target` names."""

    resource_type: str
    shared_id: str
    version: str | None

    def is_target(self, provenance: bytes) -> bool:
        """Whether this published Provenance has it as a target, in the version asked for."""
        address = f"{self.resource_type}/{self.shared_id}"
        references = [str(each.get("reference", "")) for each in orjson.loads(provenance).get("target", ())]
        if self.version:
            return f"{address}/_history/{self.version}" in references
        return any(each.partition("/_history/")[0] == address for each in references)


class _Found(NamedTuple):
    id: str
    content: Any


def _asked(parameters: Parameters, fhir: str) -> _ProvenanceTarget | None:
    """The resource whose provenance is asked for; None: it is a search among what sources published."""
    targets = [value for name, value in parameters if name == "target"]
    match = _TARGET.fullmatch(targets[0].removeprefix(f"{fhir}/")) if len(targets) == 1 else None
    if match and (parse_shared_id(match["id"]) or is_directory_id(match["id"])):
        return _ProvenanceTarget(in_parameter((match["type"],))[0], match["id"], match["version"])
    if not targets or any(name == "patient" for name, _ in parameters):
        return None
    if match and is_nhs_number(match["id"]):
        says = "A shared Patient is composed when it is read: ask for the Patients in its link, one by one."
        raise Malformed(says, code="value")
    raise Malformed("target is given once, as Type/id with an id that we gave.", code="value")


def _id(told: StatementOrigin) -> str:
    return provenance_id(told.shared_id, told.event_id)


def _read(request: Request, provenance: str, told: StatementOrigin | None) -> Response:
    if told is None or _id(told) != provenance:
        raise absent()
    return read_request.resource(request, provenance_of(told), told.event_id, told.broker_time)
