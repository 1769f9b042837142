"""`GET [type]/[id]/_history/[vid]`: one version of a resource (FHIR R4, http://hl7.org/fhir/R4/http.html#vread)."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.addressed import Addressed, Target
from onestory.record.api.context import Context
from onestory.record.api.history import composed, is_composed
from onestory.record.domain.search.question import IN_READ
from onestory.record.reading.reader import absent
from onestory.record.store import versions
from onestory.shared.caller import Caller
from onestory.shared.errors import Gone
from onestory.shared.fhir.bundle import Version


class VersionRead:
    """The interaction vread. A version of a shared Patient is composed again, as its history tells it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._addressed = Addressed(context, "vread", IN_READ)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version_id = request.path_params["version_id"]
        target = await self._addressed.find(request, caller)
        if is_composed(target):
            return await self._of_person(request, target, version_id)
        event_id = _event_id(version_id)
        version = await versions.version(self._context.database, target.resource, event_id) if event_id else None
        return await target.show(lambda: _stated(request, version))

    async def _of_person(self, request: Request, target: Target, version_id: str) -> Response:
        shown = target.shown
        assert shown is not None
        version: Version | None = Version(shown.event_id, shown.broker_time, shown.content)
        if shown.event_id != version_id:
            past = [each async for each in composed(self._context.database, target) if each.event_id == version_id]
            version = past[0] if past else None
        return await target.show(lambda: _stated(request, version))


def _stated(request: Request, version: Version | None) -> Response:
    if version is None:
        raise absent()
    if version.content is None:
        raise Gone("In this version its source has withdrawn it.")
    return answers.resource(request, version.content, version.event_id, version.broker_time)


def _event_id(version_id: str) -> UUID | None:
    try:
        return UUID(version_id)
    except ValueError:
        return None
