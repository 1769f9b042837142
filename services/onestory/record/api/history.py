"""`GET [type]/[id]/_history`: all that a source said of one resource.

FHIR R4, http://hl7.org/fhir/R4/http.html#history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers
from onestory.record.api.addressed import Addressed, Target
from onestory.record.api.context import Context
from onestory.record.domain.search.dates import ANY_TIME, Span
from onestory.record.domain.search.person import Asked
from onestory.record.domain.search.place import Place
from onestory.record.domain.search.question import IN_HISTORY
from onestory.record.reading.past_patient import past_patients
from onestory.record.store import versions
from onestory.shared.caller import Caller
from onestory.shared.database import Database
from onestory.shared.errors import Malformed
from onestory.shared.fhir import bundle
from onestory.shared.fhir.bundle import Version

# Composing a version takes some milliseconds.
_MOST_COMPOSED = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Page = tuple[Sequence[Version], Place | None, int | None]
"""The versions of a page, where the next page begins, and how many there are, where that is known."""


class History:
    """The interaction history-instance, also for what is not part of the record any more.

    The version that stands comes first. A shared Patient is composed when it is read: its versions are what it would
    have been composed to at each moment at which something was said of who the person is.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._addressed = Addressed(context, "history-instance", IN_HISTORY)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        target = await self._addressed.find(request, caller)
        held, ahead, total = await (self._of_person(target) if is_composed(target) else self._of_resource(target))
        return await target.show(lambda: self._answer(target, held, ahead, total))

    async def _of_resource(self, target: Target) -> _Page:
        asks, of = target.question, target.resource
        seen = _event_id(asks.after)
        database, since = self._context.database, asks.span.since
        # One more than the page holds tells whether there is a next page.
        said = await versions.history(database, of, since, seen, asks.count + 1)
        held = said[: asks.count]
        more = held and len(said) > len(held)
        ahead = Place(of.resource_type, str(held[-1].event_id)) if more else None
        return held, ahead, await versions.count(database, of, since)

    async def _of_person(self, target: Target) -> _Page:
        asks, most = target.question, min(target.question.count, _MOST_COMPOSED)
        span = Span(asks.span.since, _moment(asks.after))
        held: list[Version] = []
        async for version in composed(self._context.database, target, span):
            if len(held) == most:
                ahead = Place(target.resource.resource_type, str(_micros(held[-1]))) if held else None
                return held, ahead, None
            held.append(version)
        return held, None, len(held) if span.before is None else None

    def _answer(self, target: Target, held: Sequence[Version], ahead: Place | None, total: int | None) -> Response:
        asks, of = target.question, target.resource
        resource_url = f"{self._context.fhir}/{of.resource_type}/{of.shared_id}"
        address = f"{resource_url}/_history"
        self_url = answers.page_url(address, target.parameters, asks)
        next_url = answers.page_url(address, target.parameters, asks, ahead) if ahead else None
        entries = [bundle.past(resource_url, of.resource_type, of.shared_id, version) for version in held]
        return answers.body(bundle.history(total, self_url, next_url, entries))


def is_composed(target: Target) -> bool:
    """Whether it is a shared Patient."""
    return target.shown is not None and target.shown.composed


def composed(database: Database, target: Target, span: Span = ANY_TIME) -> AsyncIterator[Version]:
    """The versions of a shared Patient, latest first."""
    assert target.audited is not None
    assert target.resource.person_key is not None
    reader, view, access = target.audited
    asked = Asked(target.resource.person_key, target.resource.shared_id)
    return past_patients(database, reader, view, access, asked, span)


def _micros(version: Version) -> int:
    assert version.broker_time is not None
    return (version.broker_time - _EPOCH) // timedelta(microseconds=1)


def _moment(after: Place) -> datetime | None:
    if not after.id:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(after.id))
    except (ValueError, OverflowError) as error:
        raise _not_ours() from error


def _event_id(after: Place) -> UUID | None:
    if not after.id:
        return None
    try:
        return UUID(after.id)
    except ValueError as error:
        raise _not_ours() from error


def _not_ours() -> Malformed:
    return Malformed("_cursor is not from a next link of this history.", code="value")
