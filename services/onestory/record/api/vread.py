"""`GET [type]/[id]/_history/[vid]`: one version of a resource (FHIR R4, http://hl7.org/fhir/R4/http.html#vread)."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.addressed import Addressed
from onestory.record.api.context import Context
from onestory.record.domain.bundle import Version
from onestory.record.domain.search.question import IN_READ
from onestory.record.reading.reader import absent
from onestory.record.store import versions
from onestory.record.store.entries import CurrentEntry
from onestory.shared.caller import Caller
from onestory.shared.errors import Gone, NotFound


class VersionRead:
    """The interaction vread. Of a shared Patient, which is composed when it is read, there is the present version."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._addressed = Addressed(context, "vread", IN_READ)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version_id = request.path_params["version_id"]
        target = await self._addressed.find(request, caller)
        shown = target.shown
        if shown is not None and shown.composed:
            return await target.show(lambda: _composed(request, shown, version_id))
        event_id = _event_id(version_id)
        version = await versions.version(self._context.database, target.resource, event_id) if event_id else None
        return await target.show(lambda: _stated(request, version))


def _composed(request: Request, patient: CurrentEntry, version_id: str) -> Response:
    assert patient.content is not None
    if version_id != patient.event_id:
        raise NotFound("A shared Patient is composed when it is read. Its sources' Patients (link) have histories.")
    return answers.resource(request, patient.content, patient.event_id, patient.broker_time)


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
