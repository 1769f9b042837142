"""What stands at `[type]/[id]`, and whether this caller may see it: common to read, vread and history."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TypeVar

from starlette.requests import Request

from onestory.record.api import asking
from onestory.record.api.context import Context
from onestory.record.domain.search.person import Asked, by_address
from onestory.record.domain.search.question import Parameters, Question, question
from onestory.record.domain.search.types import in_address
from onestory.record.reading.reader import Access, Reader, absent
from onestory.record.reading.view import View
from onestory.record.store import versions
from onestory.record.store.entries import CurrentEntry
from onestory.record.store.versions import Resource, Standing
from onestory.shared.caller import Caller
from onestory.shared.identity import is_directory_id
from onestory.shared.policy import Visibility

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Target:
    """A resource by its address. `shown` is it as part of the record; else `standing` is what became of it.

    `show` gives an answer about it, once the access is audited. The directory is about nobody: there is nothing to
    audit.
    """

    resource: Resource
    parameters: Parameters
    question: Question
    shown: CurrentEntry | None
    standing: Standing | None
    audited: tuple[Reader, View, Access] | None

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

    async def find(self, request: Request, caller: Caller) -> Target:
        """The resource. Raises `NotFound` for what is no address of ours, `Malformed` for the parameters."""
        resource_type = in_address(request.path_params["resource_type"])
        return await self.at(request, caller, resource_type, request.path_params["id"])

    async def at(
        self, request: Request, caller: Caller, resource_type: str, shared_id: str, read_as: str = ""
    ) -> Target:
        """The resource at this address, though the request may have another. Raises as `find` does.

        `read_as` is the type that the trace tells of, where the answer is about the resource and not the resource.
        """
        parameters = await asking.parameters(request)
        asks = question(parameters, self._known, types=(resource_type,), lenient=asking.lenient(request))
        await asking.await_position(self._context.visible, parameters)
        if is_directory_id(shared_id):
            resource = Resource(resource_type, shared_id, None)
            standing = await versions.standing(self._context.database, resource)
            return Target(resource, parameters, asks, None, standing, None)
        asked = by_address(resource_type, shared_id, self._context.keys)
        if asked is None:
            raise absent()
        access = self._context.access(request, caller, self._interaction, (read_as or resource_type,))
        target = Target(Resource(resource_type, shared_id, asked.person_key), parameters, asks, None, None, None)
        return await self._of_person(asked, target, access)

    async def _of_person(self, asked: Asked, target: Target, access: Access) -> Target:
        reader = self._context.reader
        itself = Question(types=(target.resource.resource_type,), ids=(target.resource.shared_id,), count=1)
        view = await reader.view(asked, access)
        matching = await reader.fetched(view.matching(itself))
        if matching:
            return replace(target, shown=matching[0], audited=(reader, view, access))
        standing = await versions.standing(self._context.database, target.resource)
        if standing:
            view = await reader.view(asked, access, [standing.organisation])
        return replace(target, standing=standing, audited=(reader, view, access))
