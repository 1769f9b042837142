"""Histories: `_history` of one resource and of one person's record, and one version (vread).

FHIR R4, http://hl7.org/fhir/R4/http.html#history and #vread. The versions of a resource are its statements. A shared
Patient is not stored: each of its versions is composed again from the statements of that moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef
from onestory.record.person.labels import stored_version
from onestory.record.read import as_of_store, history_store
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordAccess, RecordView, not_found
from onestory.record.read.history_store import HistoryEntry, HistoryScope
from onestory.record.read.request import ReadContext
from onestory.record.read.resource import AddressedResource, ResourceFinder
from onestory.record.search.dates import ANY_TIME, TimeRange
from onestory.record.search.include import Shape
from onestory.record.search.parameters import (
    HISTORY_PARAMETERS,
    PERSON_HISTORY_PARAMETERS,
    RESOURCE_PARAMETERS,
    RecordQuery,
    RequestParameters,
    parse_query,
    resource_type_in_path,
    single_value,
)
from onestory.record.search.person_parameters import PERSON_HINT, person_ref
from onestory.record.search.sorting import CURSOR, EntryCursor, parse_history_cursor
from onestory.shared.errors import Gone, Malformed
from onestory.shared.fhir import bundle
from onestory.shared.fhir.bundle import ResourceVersion
from onestory.shared.policy import Caller, Visibility
from onestory.shared.postgres.database import Database

_MAX_CHANGE_TIMES = 500
# To compose one version takes some milliseconds.
_MAX_COMPOSED_VERSIONS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Page = tuple[Sequence[ResourceVersion], EntryCursor | None, int | None]
"""The versions of a page, the cursor of the next page, and the total, if it is known."""


class PersonHistory:
    """The interactions history-type and history-system: `GET [type]/_history` and `GET _history`, for one person.

    As in search, the request must name the person. The order is the order in which statements arrived, so a page does
    not change while more arrive. A statement that came late and never was current is included: a client that keeps a
    copy reads changes, and does not replay them.
    """

    def __init__(self, context: ReadContext) -> None:
        self._context = context

    async def type_level(self, request: Request, caller: Caller) -> Response:
        """The history of the person's resources of one type."""
        resource_type = resource_type_in_path(request.path_params["resource_type"])
        return await self._answer(request, caller, "history-type", resource_type)

    async def system_level(self, request: Request, caller: Caller) -> Response:
        """The history of all the person's resources."""
        return await self._answer(request, caller, "history-system", None)

    async def _answer(self, request: Request, caller: Caller, interaction: str, resource_type: str | None) -> Response:
        context = self._context
        parameters = await read_request.parameters(request)
        without_cursor = [(name, value) for name, value in parameters if name != CURSOR]
        query = parse_query(without_cursor, PERSON_HISTORY_PARAMETERS, lenient=read_request.is_lenient(request))
        after = parse_history_cursor(single_value(parameters, CURSOR))
        await read_request.await_position(context.visible_positions, parameters)
        ref = self._single_person(parameters)
        access = context.access(request, caller, interaction, (resource_type,) if resource_type else ())
        view = await context.record_access.view(ref, access)
        own = None if view.decision.visibility is Visibility.ALL else caller.organisation
        restricted_of = None if view.decision.sees_restricted else caller.organisation
        scope = HistoryScope(
            view.person.person_keys, resource_type, own, query.time_range.since, restricted_of, view.restricted
        )
        # One more than the page holds shows whether there is a next page.
        entries = await history_store.page_of_history(context.database, scope, after, query.count + 1)
        entries = [_served(view, caller, entry) for entry in entries]
        total = await history_store.count_history(context.database, scope)
        list_url = f"{context.fhir}/{resource_type}/_history" if resource_type else f"{context.fhir}/_history"
        return await context.record_access.answer_audited(
            view, access, lambda: read_request.json_response(self._bundle(list_url, parameters, query, entries, total))
        )

    def _bundle(
        self,
        list_url: str,
        parameters: RequestParameters,
        query: RecordQuery,
        found: Sequence[HistoryEntry],
        total: int,
    ) -> bytes:
        on_page = found[: query.count]
        cursor = parse_history_cursor(single_value(parameters, CURSOR))
        self_url = read_request.page_url(list_url, parameters, query, cursor)
        has_more = on_page and len(found) > len(on_page)
        next_url = read_request.page_url(list_url, parameters, query, on_page[-1].cursor) if has_more else None
        entries = [
            bundle.history_entry(
                f"{self._context.fhir}/{entry.resource_type}/{entry.shared_id}",
                entry.resource_type,
                entry.shared_id,
                entry.version,
            )
            for entry in on_page
        ]
        return bundle.history_bundle(total, self_url, next_url, entries)

    def _single_person(self, parameters: RequestParameters) -> PersonRef:
        keys, fhir = self._context.keys, self._context.fhir
        refs = [ref for name, value in parameters if (ref := person_ref(name, value, keys, fhir))]
        if not refs:
            raise Malformed(f"patient: it is missing. A history is of one person's record. {PERSON_HINT}")
        if len({ref.person_key for ref in refs}) > 1:
            raise Malformed("patient, subject: they name several persons. Send one person.", code="value")
        return max(refs, key=lambda ref: ref.number or "")


class ResourceHistory:
    """The interaction history-instance, `GET [type]/[id]/_history`, also for a resource that has left the record.

    The current version comes first. A shared Patient has a version for each time at which its statements changed.
    """

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._finder = ResourceFinder(context, "history-instance", HISTORY_PARAMETERS)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        target = await self._finder.find(request, caller)
        page = await (self._patient_page(target) if is_shared_patient(target) else self._stored_page(target))
        return await target.answer_audited(lambda: self._answer(target, *page))

    async def _stored_page(self, target: AddressedResource) -> _Page:
        query, resource = target.query, target.resource
        after = _event_id_of_cursor(query.after)
        database, since = self._context.database, query.time_range.since
        # One more than the page holds shows whether there is a next page.
        versions = await history_store.page_of_versions(database, resource, since, after, query.count + 1)
        on_page = [target.served(version) for version in versions[: query.count]]
        has_more = on_page and len(versions) > len(on_page)
        next_cursor = (
            EntryCursor(resource.resource_type, str(versions[len(on_page) - 1].event_id)) if has_more else None
        )
        return on_page, next_cursor, await history_store.count_versions(database, resource, since)

    async def _patient_page(self, target: AddressedResource) -> _Page:
        query, limit = target.query, min(target.query.count, _MAX_COMPOSED_VERSIONS)
        time_range = TimeRange(query.time_range.since, _time_of_cursor(query.after))
        on_page: list[ResourceVersion] = []
        async for version in versions_of_patient(self._context.database, target, time_range):
            if len(on_page) == limit:
                last = str(_microseconds(on_page[-1])) if on_page else None
                return on_page, EntryCursor(target.resource.resource_type, last) if last else None, None
            on_page.append(version)
        return on_page, None, len(on_page) if time_range.before is None else None

    def _answer(
        self,
        target: AddressedResource,
        versions: Sequence[ResourceVersion],
        next_cursor: EntryCursor | None,
        total: int | None,
    ) -> Response:
        query, resource = target.query, target.resource
        resource_url = f"{self._context.fhir}/{resource.resource_type}/{resource.shared_id}"
        list_url = f"{resource_url}/_history"
        self_url = read_request.page_url(list_url, target.parameters, query)
        next_url = read_request.page_url(list_url, target.parameters, query, next_cursor) if next_cursor else None
        entries = [
            bundle.history_entry(resource_url, resource.resource_type, resource.shared_id, version)
            for version in versions
        ]
        return read_request.json_response(bundle.history_bundle(total, self_url, next_url, entries))


class VersionRead:
    """The interaction vread, `GET [type]/[id]/_history/[vid]`."""

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._finder = ResourceFinder(context, "vread", RESOURCE_PARAMETERS)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        version_id, database = request.path_params["version_id"], self._context.database
        target = await self._finder.find(request, caller)
        if is_shared_patient(target):
            version = await self._patient_version(target, version_id)
        else:
            event_id = _parse_event_id(version_id)
            found = await history_store.find_version(database, target.resource, event_id) if event_id else None
            version = target.served(found) if found else None
        return await target.answer_audited(lambda: _version_response(request, version, target.query.shape))

    async def _patient_version(self, target: AddressedResource, version_id: str) -> ResourceVersion | None:
        entry = target.entry
        assert entry is not None
        if entry.event_id == version_id:
            return ResourceVersion(entry.event_id, entry.broker_time, entry.content)
        versions = [version async for version in versions_of_patient(self._context.database, target)]
        return next((version for version in versions if version.event_id == version_id), None)


def is_shared_patient(target: AddressedResource) -> bool:
    """Whether the resource is a shared Patient, which is composed and not stored."""
    return target.entry is not None and target.entry.composed


async def versions_of_patient(
    database: Database, target: AddressedResource, time_range: TimeRange = ANY_TIME
) -> AsyncIterator[ResourceVersion]:
    """The versions of a shared Patient, latest first, each with the time at which it came to be.

    The Patient of each moment is composed from the statements that the caller may see. A moment at which the caller
    sees nothing of the person is a version without content, unless it comes before all others.
    """
    assert target.audited is not None
    assert target.resource.person_key is not None
    record_access, view, access = target.audited
    ref = PersonRef(target.resource.person_key, target.resource.shared_id)
    own = None if view.decision.visibility is Visibility.ALL else access.caller.organisation
    keys = view.person.person_keys
    last: ResourceVersion | None = None
    for moment in await as_of_store.patient_change_times(database, keys, own, time_range, _MAX_CHANGE_TIMES):
        version = await _patient_at(record_access, ref, access, moment)
        if last is not None and version.event_id != last.event_id:
            yield last
        last = version
    if last is not None and last.content is not None:
        yield last


async def _patient_at(record_access: RecordAccess, ref: PersonRef, access: Access, moment: datetime) -> ResourceVersion:
    view = await record_access.view(ref, access, at=moment)
    composed = [patient for patient in view.patients if patient.shared_id == ref.number]
    return (
        ResourceVersion(composed[0].event_id, moment, composed[0].content)
        if composed
        else ResourceVersion(None, moment, None)
    )


def _served(view: RecordView, caller: Caller, entry: HistoryEntry) -> HistoryEntry:
    own = entry.organisation == caller.organisation
    return entry._replace(version=view.served(entry.resource_type, own, entry.version))


def _version_response(request: Request, version: ResourceVersion | None, shape: Shape) -> Response:
    if version is None:
        raise not_found()
    if version.content is None:
        raise Gone("In this version its source has retracted the resource.")
    content = read_request.shaped_resource(version.content, shape)
    return read_request.resource_response(request, content, version.event_id, version.broker_time)


def _parse_event_id(version_id: str) -> UUID | None:
    try:
        return UUID(stored_version(version_id))
    except ValueError:
        return None


def _event_id_of_cursor(after: EntryCursor) -> UUID | None:
    if not after.id:
        return None
    try:
        return UUID(after.id)
    except ValueError as error:
        raise _unreadable_cursor() from error


def _microseconds(version: ResourceVersion) -> int:
    assert version.broker_time is not None
    return (version.broker_time - _EPOCH) // timedelta(microseconds=1)


def _time_of_cursor(after: EntryCursor) -> datetime | None:
    if not after.id:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(after.id))
    except (ValueError, OverflowError) as error:
        raise _unreadable_cursor() from error


def _unreadable_cursor() -> Malformed:
    return Malformed("_cursor: it is not from a next link of this history. Send the request without it.", code="value")
