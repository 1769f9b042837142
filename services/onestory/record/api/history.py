"""`GET [type]/[id]/_history`: all that a source said of one resource.

FHIR R4, http://hl7.org/fhir/R4/http.html#history.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.addressed import Addressed, Target
from onestory.record.api.context import Context
from onestory.record.domain import bundle
from onestory.record.domain.bundle import Version
from onestory.record.domain.search.place import Place
from onestory.record.domain.search.question import IN_HISTORY
from onestory.record.store import versions
from onestory.record.store.entries import CurrentEntry
from onestory.shared.caller import Caller
from onestory.shared.errors import Malformed


class History:
    """The interaction history-instance, also for what is not part of the record any more.

    The version that stands comes first. Of a shared Patient, which is composed when it is read, there is the present
    version.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._addressed = Addressed(context, "history-instance", IN_HISTORY)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        target = await self._addressed.find(request, caller)
        asks = target.question
        if target.shown is not None and target.shown.composed:
            said, total = [_composed(target.shown)][: asks.count], 1
        else:
            seen = _event_id(asks.after)
            database, since = self._context.database, asks.span.since
            # One more than the page holds tells whether there is a next page.
            said = await versions.history(database, target.resource, since, seen, asks.count + 1)
            total = await versions.count(database, target.resource, since)
        return await target.show(lambda: self._answer(target, said, total))

    def _answer(self, target: Target, said: Sequence[Version], total: int) -> Response:
        asks, of = target.question, target.resource
        held = said[: asks.count]
        resource_url = f"{self._context.fhir}/{of.resource_type}/{of.shared_id}"
        address = f"{resource_url}/_history"
        self_url = answers.page_url(address, target.parameters, asks)
        more = held and len(said) > len(held)
        ahead = Place(of.resource_type, str(held[-1].event_id)) if more else None
        next_url = answers.page_url(address, target.parameters, asks, ahead) if ahead else None
        entries = [bundle.past(resource_url, of.resource_type, of.shared_id, version) for version in held]
        return answers.body(bundle.history(total, self_url, next_url, entries))


def _composed(patient: CurrentEntry) -> Version:
    return Version(patient.event_id, patient.broker_time, patient.content)


def _event_id(after: Place) -> UUID | None:
    if not after.id:
        return None
    try:
        return UUID(after.id)
    except ValueError as error:
        raise Malformed("_cursor is not from a next link of this history.", code="value") from error
