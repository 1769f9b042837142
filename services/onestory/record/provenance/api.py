"""Routes of provenance: `GET Provenance/[id]` for one statement, `GET Provenance?target=[type]/[id]` for one resource.

FHIR R4, http://hl7.org/fhir/R4/provenance.html. A caller sees the Provenance of a statement under the same rule as the
statement. A Provenance that a source has published is read and searched like any other resource.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import ref_from_reference
from onestory.record.provenance import store as provenance_store
from onestory.record.provenance.domain import (
    StatementOrigin,
    marked_as_published,
    parse_provenance_id,
    provenance_id,
    provenance_resource,
)
from onestory.record.read import history_store
from onestory.record.read import request as read_request
from onestory.record.read.access import not_found
from onestory.record.read.request import ReadContext
from onestory.record.read.resource import AddressedResource, ResourceFinder
from onestory.record.search.include import Shape
from onestory.record.search.parameters import (
    READ_PARAMETERS,
    RESOURCE_PARAMETERS,
    RequestParameters,
    resource_types_in_parameter,
    single_value,
)
from onestory.record.search.sorting import CURSOR, EntryCursor
from onestory.shared.errors import Malformed
from onestory.shared.fhir import bundle
from onestory.shared.identity import is_directory_id, is_nhs_number, parse_shared_id
from onestory.shared.policy import Caller

PROVENANCE = "Provenance"
TARGET_SEARCH_PARAMETERS = {"target", "patient", "_count", CURSOR} | READ_PARAMETERS
_TARGET = re.compile(r"(?P<type>[A-Za-z]{1,64})/(?P<id>[a-z0-9-]{1,64})(?:/_history/(?P<version>[0-9a-f-]{36}))?")

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


class ProvenanceRead:
    """The interaction read for the id of a computed Provenance. `otherwise` handles all other reads."""

    def __init__(self, context: ReadContext, otherwise: Endpoint) -> None:
        self._context = context
        self._finder = ResourceFinder(context, "read", RESOURCE_PARAMETERS)
        self._otherwise = otherwise

    async def __call__(self, request: Request, caller: Caller) -> Response:
        requested_id = request.path_params["id"]
        parsed = parse_provenance_id(requested_id) if request.path_params["resource_type"] == PROVENANCE else None
        if parsed is None:
            return await self._otherwise(request, caller)
        origin = await provenance_store.find_origin(self._context.database, parsed)
        if origin is None:
            # An unknown id leaves the same access event as one that the caller may not see.
            missing = requested_id.rpartition("-")[0].removeprefix("directory-")
            resource_type, shared_id = PROVENANCE, missing
        else:
            resource_type, shared_id = origin.resource_type, origin.shared_id
        target = await self._finder.find_at(request, caller, resource_type, shared_id, PROVENANCE)
        if origin and not target.resource.sees_restricted:
            seen = await history_store.find_version(self._context.database, target.resource, origin.event_id)
            origin = origin if seen else None
        return await target.answer_audited(lambda: _answer_read(request, requested_id, origin, target.query.shape))


class ProvenanceSearch:
    """The interaction search-type for Provenance by target. `otherwise` handles all other searches."""

    def __init__(self, context: ReadContext, otherwise: Endpoint) -> None:
        self._context = context
        self._finder = ResourceFinder(context, "search-type", TARGET_SEARCH_PARAMETERS)
        self._otherwise = otherwise

    async def __call__(self, request: Request, caller: Caller) -> Response:
        if request.path_params["resource_type"] != PROVENANCE:
            return await self._otherwise(request, caller)
        parameters = await read_request.parameters(request)
        wanted = _parse_target(parameters, self._context.fhir)
        if wanted is None:
            return await self._otherwise(request, caller)
        target = await self._finder.find_at(request, caller, wanted.resource_type, wanted.shared_id, PROVENANCE)
        origins = await provenance_store.origins_of_resource(self._context.database, target.resource)
        computed = [origin for origin in origins if wanted.version in (None, str(origin.event_id))]
        matches = [
            *[_ProvenanceMatch(_id_of(origin), provenance_resource(origin)) for origin in computed],
            *await self._published(target, wanted),
        ]
        return await target.answer_audited(lambda: self._answer(target, matches))

    async def _published(self, target: AddressedResource, wanted: _ProvenanceTarget) -> Sequence[_ProvenanceMatch]:
        """The Provenance of the resource that sources have published, as far as the caller sees it.

        It comes last and is marked: whoever publishes it may name any agent.
        """
        if target.audited is None:
            return ()
        record_access, view, _ = target.audited
        published = await record_access.with_contents(
            [entry for entry in view.entries if entry.resource_type == PROVENANCE]
        )
        return [
            _ProvenanceMatch(entry.shared_id, marked_as_published(entry.content, entry.organisation))
            for entry in published
            if entry.content and wanted.is_target(entry.content)
        ]

    def _answer(self, target: AddressedResource, matches: Sequence[_ProvenanceMatch]) -> Response:
        self._refuse_other_person(target)
        query, ids = target.query, [match.id for match in matches]
        start = ids.index(query.after.id) + 1 if query.after.id in ids else 0
        page = matches[start : start + query.count]
        address = f"{self._context.fhir}/{PROVENANCE}"
        has_more = page and start + len(page) < len(matches)
        next_cursor = EntryCursor(PROVENANCE, page[-1].id) if has_more else None
        self_url = read_request.page_url(address, target.parameters, query)
        next_url = read_request.page_url(address, target.parameters, query, next_cursor) if next_cursor else None
        entries = [bundle.match_entry(f"{address}/{match.id}", match.content) for match in page]
        return read_request.json_response(bundle.searchset_bundle(len(matches), self_url, next_url, entries))

    def _refuse_other_person(self, target: AddressedResource) -> None:
        patient = single_value(target.parameters, "patient")
        if patient is None or target.audited is None:
            return
        person = ref_from_reference(patient, self._context.keys, self._context.fhir)
        if person.person_key not in target.audited[1].person.person_keys:
            raise Malformed("target, patient: they name different persons. Send one person for both.", code="value")


class _ProvenanceTarget(NamedTuple):
    """The resource, and perhaps the version, that the parameter `target` names."""

    resource_type: str
    shared_id: str
    version: str | None

    def is_target(self, provenance: bytes) -> bool:
        """Whether this published Provenance has the resource as a target, in the requested version."""
        address = f"{self.resource_type}/{self.shared_id}"
        references = [str(reference.get("reference", "")) for reference in orjson.loads(provenance).get("target", ())]
        if self.version:
            return f"{address}/_history/{self.version}" in references
        return any(reference.partition("/_history/")[0] == address for reference in references)


class _ProvenanceMatch(NamedTuple):
    """A Provenance in a search result. `content` is JSON bytes."""

    id: str
    content: Any


def _parse_target(parameters: RequestParameters, fhir: str) -> _ProvenanceTarget | None:
    """The resource whose provenance is requested; None when this is a search among published Provenance.

    Raises `Malformed`.
    """
    targets = [value for name, value in parameters if name == "target"]
    match = _TARGET.fullmatch(targets[0].removeprefix(f"{fhir}/")) if len(targets) == 1 else None
    if match and (parse_shared_id(match["id"]) or is_directory_id(match["id"])):
        return _ProvenanceTarget(resource_types_in_parameter((match["type"],))[0], match["id"], match["version"])
    if not targets or any(name == "patient" for name, _ in parameters):
        return None
    if match and is_nhs_number(match["id"]):
        text = "target: a shared Patient has no Provenance. Send the Patients in its link, one at a time."
        raise Malformed(text, code="value")
    raise Malformed("target: it has no known form. Send it once, as Type/id with an id of this server.", code="value")


def _id_of(origin: StatementOrigin) -> str:
    return provenance_id(origin.shared_id, origin.event_id)


def _answer_read(request: Request, requested_id: str, origin: StatementOrigin | None, shape: Shape) -> Response:
    if origin is None or _id_of(origin) != requested_id:
        raise not_found()
    content = read_request.shaped_resource(provenance_resource(origin), shape)
    return read_request.resource_response(request, content, origin.event_id, origin.broker_time)
