"""`GET [type]/[id]`: one resource as it stands (FHIR R4, http://hl7.org/fhir/R4/http.html#read)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.addressed import Addressed, Target
from onestory.record.api.context import Context
from onestory.record.domain.search.question import IN_READ
from onestory.record.reading.reader import absent
from onestory.record.store.versions import Standing
from onestory.shared.caller import Caller
from onestory.shared.errors import Gone


class Read:
    """The interaction read, for resources of a person, the shared Patient, and the directory."""

    def __init__(self, context: Context) -> None:
        self._addressed = Addressed(context, "read", IN_READ)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        target = await self._addressed.find(request, caller)
        return await target.show(lambda: _answer(request, target))


def _answer(request: Request, target: Target) -> Response:
    if target.shown is not None:
        shown = target.shown
        assert shown.content is not None
        return answers.resource(request, shown.content, shown.event_id, shown.broker_time)
    assert target.standing is not None
    if gone := _gone(target.standing):
        raise gone
    version = target.standing.version
    if version.content is None:
        raise absent()
    return answers.resource(request, version.content, version.event_id, version.broker_time)


def _gone(standing: Standing) -> Gone | None:
    """Why the resource is not part of the record, where its source spoke of it before."""
    if standing.away:
        return Gone("Its source has since said it of somebody else, or under another id. Its history is still here.")
    if standing.retracted:
        return Gone("Its source has withdrawn it. Its history is still here.")
    if standing.retired:
        return Gone("Its source's latest whole list of this type does not have it. Its history is still here.")
    return None
