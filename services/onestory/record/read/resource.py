"""What stands at `[type]/[id]`, and whether this caller may see it: common to read, vread and history."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef, by_address
from onestory.record.read import history_store
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordAccess, View, absent
from onestory.record.read.history_store import CurrentStatement, StoredResource
from onestory.record.read.request import Context
from onestory.record.read.store import CurrentEntry
from onestory.record.search.parameters import IN_READ, Parameters, RecordQuery, in_address, question
from onestory.shared.errors import Gone
from onestory.shared.http.caller import Caller
from onestory.shared.identity import is_directory_id
from onestory.shared.policy import Visibility

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class AddressedResource:
    """A resource by its address. `shown` is it as part of the record; else `standing` is what became of it.

    `show` gives an answer about it, once the access is audited. The directory is about nobody: there is nothing to
    audit.
    """

    resource: StoredResource
    parameters: Parameters
    question: RecordQuery
    shown: CurrentEntry | None
    standing: CurrentStatement | None
    audited: tuple[RecordAccess, View, Access] | None

    async def show(self, produce: Callable[[], Answer]) -> Answer:
        """The answer. Raises `NotFound` where the caller may not see the resource, `Unavailable` without a trace."""
        if self.audited is None:
            return self._permitted(produce)
        reader, view, access = self.audited
        return await reader.show(view, access, lambda: self._permitted(produce))

    def _permitted(self, produce: Callable[[], Answer]) -> Answer:
        if self.shown is None and not self._may_see_what_became_of_it():
            raise absent()
        return produce()

    def _may_see_what_became_of_it(self) -> bool:
        if self.standing is None or self.audited is None:
            return self.standing is not None
        _, view, access = self.audited
        own = self.standing.organisation == access.caller.organisation
        return view.decision.visibility is Visibility.ALL or (view.decision.visibility is Visibility.OWN and own)


class Addressed:
    """Finds the resource that a request of one interaction is about. `known` are the parameters it takes."""

    def __init__(self, context: Context, interaction: str, known: Collection[str]) -> None:
        self._context = context
        self._interaction = interaction
        self._known = known

    async def find(self, request: Request, caller: Caller) -> AddressedResource:
        """The resource. Raises `NotFound` for what is no address of ours, `Malformed` for the parameters."""
        resource_type = in_address(request.path_params["resource_type"])
        return await self.at(request, caller, resource_type, request.path_params["id"])

    async def at(
        self, request: Request, caller: Caller, resource_type: str, shared_id: str, read_as: str = ""
    ) -> AddressedResource:
        """The resource at this address, though the request may have another. Raises as `find` does.

        `read_as` is the type that the trace tells of, where the answer is about the resource and not the resource.
        """
        parameters = await read_request.parameters(request)
        asks = question(parameters, self._known, types=(resource_type,), lenient=read_request.lenient(request))
        await read_request.await_position(self._context.visible, parameters)
        if is_directory_id(shared_id):
            resource = StoredResource(resource_type, shared_id, None)
            standing = await history_store.standing(self._context.database, resource)
            return AddressedResource(resource, parameters, asks, None, standing, None)
        asked = by_address(resource_type, shared_id, self._context.keys)
        if asked is None:
            raise absent()
        access = self._context.access(request, caller, self._interaction, (read_as or resource_type,))
        target = AddressedResource(
            StoredResource(resource_type, shared_id, asked.person_key), parameters, asks, None, None, None
        )
        return await self._of_person(asked, target, access)

    async def _of_person(self, asked: PersonRef, target: AddressedResource, access: Access) -> AddressedResource:
        reader = self._context.reader
        itself = RecordQuery(types=(target.resource.resource_type,), ids=(target.resource.shared_id,), count=1)
        view = await reader.view(asked, access)
        matching = await reader.fetched(view.matching(itself))
        if matching:
            return replace(target, shown=matching[0], audited=(reader, view, access))
        standing = await history_store.standing(self._context.database, target.resource)
        if standing:
            view = await reader.view(asked, access, [standing.organisation])
        return replace(target, standing=standing, audited=(reader, view, access))


# `GET [type]/[id]`: one resource as it stands (FHIR R4, http://hl7.org/fhir/R4/http.html#read).


class ReadResource:
    """The interaction read, for resources of a person, the shared Patient, and the directory."""

    def __init__(self, context: Context) -> None:
        self._addressed = Addressed(context, "read", IN_READ)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        target = await self._addressed.find(request, caller)
        return await target.show(lambda: _answer(request, target))


def _answer(request: Request, target: AddressedResource) -> Response:
    if target.shown is not None:
        shown = target.shown
        assert shown.content is not None
        return read_request.resource(request, shown.content, shown.event_id, shown.broker_time)
    assert target.standing is not None
    if gone := _gone(target.standing):
        raise gone
    version = target.standing.version
    if version.content is None:
        raise absent()
    return read_request.resource(request, version.content, version.event_id, version.broker_time)


def _gone(standing: CurrentStatement) -> Gone | None:
    """Why the resource is not part of the record, where its source spoke of it before."""
    if standing.away:
        return Gone("Its source has since said it of somebody else, or under another id. Its history is still here.")
    if standing.retracted:
        return Gone("Its source has withdrawn it. Its history is still here.")
    if standing.retired:
        return Gone("Its source's latest whole list of this type does not have it. Its history is still here.")
    return None
