"""`GET [type]/[id]/_history`: all that a source said of one resource.

FHIR R4, http://hl7.org/fhir/R4/http.html#history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef, by_reference
from onestory.record.read import as_of_store, history_store
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordAccess, View, absent
from onestory.record.read.history_store import Happened, HistoryScope
from onestory.record.read.request import Context
from onestory.record.read.resource import Addressed, AddressedResource
from onestory.record.search.dates import ANY_TIME, TimeRange
from onestory.record.search.parameters import (
    IN_HISTORY,
    IN_PERSONS_HISTORY,
    IN_READ,
    NAMING,
    Parameters,
    RecordQuery,
    in_address,
    one,
    question,
)
from onestory.record.search.sorting import CURSOR, EntryPlace, from_past_cursor
from onestory.shared.errors import Gone, Malformed
from onestory.shared.fhir import bundle
from onestory.shared.fhir.bundle import Version
from onestory.shared.http.caller import Caller
from onestory.shared.policy import Visibility
from onestory.shared.postgres.database import Database

# `GET [type]/_history?patient=...` and `GET _history?patient=...`: what happened in a person's record, newest first.
#
# FHIR R4, http://hl7.org/fhir/R4/http.html#history. As with search, the person must be named.


class PersonsHistory:
    """The interactions history-type and history-system.

    They are in the order in which the record learned, so that a page holds still while more is said. A statement that
    came late and did not stand is among them: whoever keeps a copy reads what changed, and does not replay.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def of_type(self, request: Request, caller: Caller) -> Response:
        """What happened to resources of one type."""
        resource_type = in_address(request.path_params["resource_type"])
        return await self._answer(request, caller, "history-type", resource_type)

    async def of_all(self, request: Request, caller: Caller) -> Response:
        """What happened to any resource."""
        return await self._answer(request, caller, "history-system", None)

    async def _answer(self, request: Request, caller: Caller, interaction: str, resource_type: str | None) -> Response:
        context = self._context
        parameters = await read_request.parameters(request)
        unpaged = [(name, value) for name, value in parameters if name != CURSOR]
        asks = question(unpaged, IN_PERSONS_HISTORY, lenient=read_request.lenient(request))
        after = from_past_cursor(one(parameters, CURSOR))
        await read_request.await_position(context.visible, parameters)
        asked = self._one_person(parameters)
        access = context.access(request, caller, interaction, (resource_type,) if resource_type else ())
        view = await context.reader.view(asked, access)
        own = None if view.decision.visibility is Visibility.ALL else caller.organisation
        of = HistoryScope(view.person.person_keys, resource_type, own, asks.span.since)
        # One more than the page holds tells whether there is a next page.
        found = await history_store.page_of_changes(context.database, of, after, asks.count + 1)
        total = await history_store.count_changes(context.database, of)
        address = f"{context.fhir}/{resource_type}/_history" if resource_type else f"{context.fhir}/_history"
        return await context.reader.show(
            view, access, lambda: read_request.body(self._bundle(address, parameters, asks, found, total))
        )

    def _bundle(
        self, address: str, parameters: Parameters, asks: RecordQuery, found: Sequence[Happened], total: int
    ) -> bytes:
        held = found[: asks.count]
        place = from_past_cursor(one(parameters, CURSOR))
        self_url = read_request.page_url(address, parameters, asks, place)
        more = held and len(found) > len(held)
        next_url = read_request.page_url(address, parameters, asks, held[-1].place) if more else None
        entries = [
            bundle.past(
                f"{self._context.fhir}/{each.resource_type}/{each.shared_id}",
                each.resource_type,
                each.shared_id,
                each.version,
            )
            for each in held
        ]
        return bundle.history(total, self_url, next_url, entries)

    def _one_person(self, parameters: Parameters) -> PersonRef:
        keys, fhir = self._context.keys, self._context.fhir
        named = [by_reference(value, keys, fhir) for name, value in parameters if name in NAMING]
        if not named:
            raise Malformed("A history is of one person's record: name the person, as in patient=9990000018.")
        if len({asked.person_key for asked in named}) > 1:
            raise Malformed("A history is of one person's record: these parameters name several.", code="value")
        return max(named, key=lambda asked: asked.number or "")


# The versions of a shared Patient: what it would have been composed to, whenever something was said of who it is.

_MOST_MOMENTS = 500


async def past_patients(
    database: Database, reader: RecordAccess, view: View, access: Access, asked: PersonRef, span: TimeRange
) -> AsyncIterator[Version]:
    """The versions of the shared Patient that is asked for by number, latest first, each with when it came to be.

    `view` is what the caller sees now. Where the caller sees nothing of the person at a moment, the Patient was not
    there: that is a version without content. The beginning is no version.
    """
    own = None if view.decision.visibility is Visibility.ALL else access.caller.organisation
    keys = view.person.person_keys
    last: Version | None = None
    for moment in await as_of_store.moments(database, keys, own, span, _MOST_MOMENTS):
        found = await _at(reader, asked, access, moment)
        if last is not None and found.event_id != last.event_id:
            yield last
        last = found
    if last is not None and last.content is not None:
        yield last


async def _at(reader: RecordAccess, asked: PersonRef, access: Access, moment: datetime) -> Version:
    view = await reader.view(asked, access, at=moment)
    composed = [patient for patient in view.patients if patient.shared_id == asked.number]
    return Version(composed[0].event_id, moment, composed[0].content) if composed else Version(None, moment, None)


# Composing a version takes some milliseconds.
_MOST_COMPOSED = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Page = tuple[Sequence[Version], EntryPlace | None, int | None]
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

    async def _of_resource(self, target: AddressedResource) -> _Page:
        asks, of = target.question, target.resource
        seen = _event_id(asks.after)
        database, since = self._context.database, asks.span.since
        # One more than the page holds tells whether there is a next page.
        said = await history_store.history(database, of, since, seen, asks.count + 1)
        held = said[: asks.count]
        more = held and len(said) > len(held)
        ahead = EntryPlace(of.resource_type, str(held[-1].event_id)) if more else None
        return held, ahead, await history_store.count_versions(database, of, since)

    async def _of_person(self, target: AddressedResource) -> _Page:
        asks, most = target.question, min(target.question.count, _MOST_COMPOSED)
        span = TimeRange(asks.span.since, _moment(asks.after))
        held: list[Version] = []
        async for version in composed(self._context.database, target, span):
            if len(held) == most:
                ahead = EntryPlace(target.resource.resource_type, str(_micros(held[-1]))) if held else None
                return held, ahead, None
            held.append(version)
        return held, None, len(held) if span.before is None else None

    def _answer(
        self, target: AddressedResource, held: Sequence[Version], ahead: EntryPlace | None, total: int | None
    ) -> Response:
        asks, of = target.question, target.resource
        resource_url = f"{self._context.fhir}/{of.resource_type}/{of.shared_id}"
        address = f"{resource_url}/_history"
        self_url = read_request.page_url(address, target.parameters, asks)
        next_url = read_request.page_url(address, target.parameters, asks, ahead) if ahead else None
        entries = [bundle.past(resource_url, of.resource_type, of.shared_id, version) for version in held]
        return read_request.body(bundle.history(total, self_url, next_url, entries))


def is_composed(target: AddressedResource) -> bool:
    """Whether it is a shared Patient."""
    return target.shown is not None and target.shown.composed


def composed(database: Database, target: AddressedResource, span: TimeRange = ANY_TIME) -> AsyncIterator[Version]:
    """The versions of a shared Patient, latest first."""
    assert target.audited is not None
    assert target.resource.person_key is not None
    reader, view, access = target.audited
    asked = PersonRef(target.resource.person_key, target.resource.shared_id)
    return past_patients(database, reader, view, access, asked, span)


def _micros(version: Version) -> int:
    assert version.broker_time is not None
    return (version.broker_time - _EPOCH) // timedelta(microseconds=1)


def _moment(after: EntryPlace) -> datetime | None:
    if not after.id:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(after.id))
    except (ValueError, OverflowError) as error:
        raise _not_ours() from error


def _event_id(after: EntryPlace) -> UUID | None:
    if not after.id:
        return None
    try:
        return UUID(after.id)
    except ValueError as error:
        raise _not_ours() from error


def _not_ours() -> Malformed:
    return Malformed("_cursor is not from a next link of this history.", code="value")


# `GET [type]/[id]/_history/[vid]`: one version of a resource (FHIR R4, http://hl7.org/fhir/R4/http.html#vread).


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
        event_id = _vread_event_id(version_id)
        version = await history_store.version(self._context.database, target.resource, event_id) if event_id else None
        return await target.show(lambda: _stated(request, version))

    async def _of_person(self, request: Request, target: AddressedResource, version_id: str) -> Response:
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
    return read_request.resource(request, version.content, version.event_id, version.broker_time)


def _vread_event_id(version_id: str) -> UUID | None:
    try:
        return UUID(version_id)
    except ValueError:
        return None
