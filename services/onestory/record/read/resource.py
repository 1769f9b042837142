"""Reads one resource: `GET [type]/[id]` (FHIR R4, http://hl7.org/fhir/R4/http.html#read).

`ResourceFinder` finds the resource of an address and checks whether the caller may see it. Read, vread, history and
provenance use it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef, ref_from_address
from onestory.record.read import history_store
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordAccess, RecordView, not_found
from onestory.record.read.history_store import CurrentStatement, StoredResource
from onestory.record.read.request import ReadContext
from onestory.record.read.store import CurrentEntry
from onestory.record.search.parameters import (
    RESOURCE_PARAMETERS,
    RecordQuery,
    RequestParameters,
    parse_query,
    resource_type_in_path,
)
from onestory.shared.errors import Gone
from onestory.shared.fhir.bundle import ResourceVersion
from onestory.shared.http.app import TryNextRoute
from onestory.shared.identity import is_directory_id
from onestory.shared.policy import Caller, Visibility

Answer = TypeVar("Answer")


class ResourceRead:
    """The interaction read, for resources of a person, shared Patients and the directory."""

    def __init__(self, context: ReadContext) -> None:
        self._finder = ResourceFinder(context, "read", RESOURCE_PARAMETERS)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        if request.path_params["id"].startswith("$"):
            # An operation on the type, such as Patient/$summary.
            raise TryNextRoute
        target = await self._finder.find(request, caller)
        return await target.answer_audited(lambda: _response(request, target))


def _response(request: Request, target: AddressedResource) -> Response:
    if target.entry is not None:
        entry = target.entry
        assert entry.content is not None
        content = read_request.shaped_resource(entry.content, target.query.shape)
        return read_request.resource_response(request, content, entry.version_id, entry.broker_time)
    assert target.current is not None
    if gone := _gone(target.current):
        raise gone
    version = target.served(target.current.version)
    if version.content is None:
        raise not_found()
    content = read_request.shaped_resource(version.content, target.query.shape)
    return read_request.resource_response(request, content, version.event_id, version.broker_time)


def _gone(current: CurrentStatement) -> Gone | None:
    """The reason why a resource that was in the record is no longer part of it; None if it is part of it."""
    if current.away:
        return Gone("Its source has moved it to another person or id. Its history is still available.")
    if current.retracted:
        return Gone("Its source has retracted it. Its history is still available.")
    if current.retired:
        return Gone("The latest whole list of its source leaves it out. Its history is still available.")
    return None


@dataclass(frozen=True, slots=True)
class AddressedResource:
    """The resource at an address.

    `entry` is set if the caller sees it as part of a record. Otherwise `current` is its current statement, if it has
    one: of the directory, or of a resource that is hidden or no longer part of the record. `audited` is None for the
    directory, which is about no person and needs no access event.
    """

    resource: StoredResource
    parameters: RequestParameters
    query: RecordQuery
    entry: CurrentEntry | None
    current: CurrentStatement | None
    audited: tuple[RecordAccess, RecordView, Access] | None

    async def answer_audited(self, produce: Callable[[], Answer]) -> Answer:
        """The answer, after Kafka has the access events.

        Raises `NotFound` if the caller may not see the resource, and `Unavailable` if an event cannot be written.
        """
        if self.audited is None:
            return self._answer_if_allowed(produce)
        record_access, view, access = self.audited
        return await record_access.answer_audited(view, access, lambda: self._answer_if_allowed(produce))

    def _answer_if_allowed(self, produce: Callable[[], Answer]) -> Answer:
        if self.entry is None and not self._may_see_current():
            raise not_found()
        return produce()

    def _may_see_current(self) -> bool:
        if self.current is None or self.audited is None:
            return self.current is not None
        _, view, access = self.audited
        own = self.current.organisation == access.caller.organisation
        if view.decision.visibility is Visibility.ALL:
            return own or view.decision.sees_restricted or not view.hides(self.resource.shared_id)
        sent = view.decision.content.has(self.resource.shared_id, self.current.organisation)
        return view.decision.visibility is Visibility.OWN and (own or sent)

    def served(self, version: ResourceVersion) -> ResourceVersion:
        """A version of this resource as the caller sees it."""
        stated = self.entry or self.current
        if self.audited is None or stated is None:
            return version
        _, view, access = self.audited
        own = stated.organisation == access.caller.organisation
        return view.served(self.resource.resource_type, own, version)


class ResourceFinder:
    """Finds the resource that a request of one interaction addresses. `known` are the supported parameters."""

    def __init__(self, context: ReadContext, interaction: str, known: Collection[str]) -> None:
        self._context = context
        self._interaction = interaction
        self._known = known

    async def find(self, request: Request, caller: Caller) -> AddressedResource:
        """The resource in the request's path. Raises `NotFound` for an id that is not ours, and `Malformed`."""
        resource_type = resource_type_in_path(request.path_params["resource_type"])
        return await self.find_at(request, caller, resource_type, request.path_params["id"])

    async def find_at(
        self, request: Request, caller: Caller, resource_type: str, shared_id: str, audited_type: str = ""
    ) -> AddressedResource:
        """The resource at this type and id, which may differ from the request's path. Raises the same errors.

        `audited_type` is the type in the access event, if the answer is about the resource and does not show it.
        """
        parameters = await read_request.parameters(request)
        lenient = read_request.is_lenient(request)
        query = parse_query(parameters, self._known, types=(resource_type,), lenient=lenient)
        await read_request.await_position(self._context.visible_positions, parameters)
        if is_directory_id(shared_id):
            resource = StoredResource(resource_type, shared_id, None)
            current = await history_store.current_statement(self._context.database, resource)
            return AddressedResource(resource, parameters, query, None, current, None)
        ref = ref_from_address(resource_type, shared_id, self._context.keys)
        if ref is None:
            raise not_found()
        access = self._context.access(request, caller, self._interaction, (audited_type or resource_type,))
        target = AddressedResource(
            StoredResource(resource_type, shared_id, ref.person_key), parameters, query, None, None, None
        )
        return await self._find_of_person(ref, target, access)

    async def _find_of_person(self, ref: PersonRef, target: AddressedResource, access: Access) -> AddressedResource:
        record_access = self._context.record_access
        resource = target.resource
        by_address = RecordQuery(types=(resource.resource_type,), ids=(resource.shared_id,), count=1)
        view = await record_access.view(ref, access)
        matches = await record_access.with_contents(view.matching(by_address))
        if matches:
            seen = _seen(resource, view, matches[0].organisation, access)
            return replace(target, resource=seen, entry=matches[0], audited=(record_access, view, access))
        current = await history_store.current_statement(self._context.database, resource)
        if current:
            # The source of a statement may see it, also after it left the record.
            view = await record_access.view(ref, access, [current.organisation])
            resource = _seen(resource, view, current.organisation, access)
        return replace(target, resource=resource, current=current, audited=(record_access, view, access))


def _seen(resource: StoredResource, view: RecordView, organisation: str, access: Access) -> StoredResource:
    """The address of a resource of this organisation, with the versions that the caller sees."""
    own = organisation == access.caller.organisation
    return resource._replace(sees_restricted=own or view.decision.sees_restricted)
