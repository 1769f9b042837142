"""Operations on one Patient, `Patient/[id]/$name` (FHIR R4, http://hl7.org/fhir/R4/operations.html).

`PatientOperation.start` begins each of them: it reads the parameters, and gets from `RecordAccess` (`access.py`) the
part of the person's record that the caller may see. The operations here then answer from it: `$everything`, `$merged`
and `$freshness`. `$summary` and `$story` are in `record/summary/api.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.freshness.domain import freshness_parameters
from onestory.record.freshness.service import FreshnessService
from onestory.record.merge.view import changes, changes_view, merged_view
from onestory.record.person.identifiers import PersonRef, ref_from_patient_id
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordView, not_found
from onestory.record.read.referenced import directory_addresses, referenced_directory
from onestory.record.read.request import ReadContext
from onestory.record.read.store import CurrentEntry
from onestory.record.search.execute import IncludedResource
from onestory.record.search.parameters import (
    EVERYTHING_PARAMETERS,
    MERGED_PARAMETERS,
    READ_PARAMETERS,
    RecordQuery,
    RequestParameters,
    parse_query,
    resource_types_in_parameter,
)
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.record.summary.service import Summaries
from onestory.shared.policy import Caller


@dataclass(frozen=True, slots=True)
class StartedOperation:
    """A request for an operation, and what its caller sees of the person.

    `requested_id` is the id in the URL, and `ref` the person that it names. `at` is the moment of the record; None for
    the record as it is now.
    """

    requested_id: str
    parameters: RequestParameters
    query: RecordQuery
    at: datetime | None
    ref: PersonRef
    access: Access
    view: RecordView


def _all_types(_query: RecordQuery) -> tuple[str, ...]:
    return ()


class PatientOperation:
    """Starts the operation `name` on a Patient, by NHS number or by the id of a source's Patient.

    `known` are the supported parameters. `types` returns the resource types of a query, for the access event.
    """

    def __init__(
        self,
        context: ReadContext,
        name: str,
        known: Collection[str],
        types: Callable[[RecordQuery], tuple[str, ...]] = _all_types,
    ) -> None:
        self._context = context
        self._name = name
        self._known = known
        self._types = types

    async def start(self, request: Request, caller: Caller) -> StartedOperation:
        """The request with the caller's view. Raises `Malformed` for parameters, `NotFound` for an id that is not ours.

        Nothing of the view may leave before `RecordAccess.answer_audited`.
        """
        context, requested_id = self._context, request.path_params["id"]
        parameters = await read_request.parameters(request)
        query = parse_query(parameters, self._known, lenient=read_request.is_lenient(request))
        at = read_request.as_of(parameters)
        await read_request.await_position(context.visible_positions, parameters)
        ref = ref_from_patient_id(requested_id, context.keys)
        if ref is None:
            raise not_found()
        access = context.access(request, caller, f"{self._name}?asOf" if at else self._name, self._types(query))
        view = await context.record_access.view(ref, access, at=at)
        return StartedOperation(requested_id, parameters, query, at, ref, access, view)


class EverythingOperation:
    """`GET Patient/[id]/$everything`: a person's whole record, as it is now or as of a moment (`asOf`).

    Each page also includes the directory resources that its resources refer to: medicines, devices, practitioners,
    organisations, locations.

    http://hl7.org/fhir/R4/patient-operation-everything.html
    """

    def __init__(self, context: ReadContext) -> None:
        self._fhir = context.fhir
        self._database = context.database
        self._operation = PatientOperation(
            context, "$everything", EVERYTHING_PARAMETERS, lambda query: resource_types_in_parameter(query.types or ())
        )
        self._writer = SearchsetWriter(context)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        started = await self._operation.start(request, caller)
        list_url = f"{self._fhir}/Patient/{started.requested_id}/$everything"
        matches = started.view.matching(started.query)
        list_request = ListRequest(list_url, started.parameters, started.query)
        page = await self._writer.page(matches, started.query)
        included = await self._included(page.entries, started)
        return await self._writer.write_page(request, started.view, started.access, page, list_request, included)

    async def _included(self, entries: Sequence[CurrentEntry], started: StartedOperation) -> list[IncludedResource]:
        """The directory resources that the entries of the page refer to, of the requested types."""
        addresses = directory_addresses((entry.content or b"" for entry in entries), self._fhir)
        directory = await referenced_directory(self._database, addresses, self._fhir, started.at)
        types = started.query.types
        return [
            IncludedResource(*entry)
            for entry in directory.entries.values()
            if types is None or entry.resource_type in types
        ]


class MergedOperation:
    """`GET Patient/[id]/$merged`: the facts of the merged view; with `_since`, the changes of them.

    It is defined in `schemas/fhir/OperationDefinition-merged.json`.
    """

    def __init__(self, context: ReadContext, summaries: Summaries) -> None:
        self._record_access = context.record_access
        self._operation = PatientOperation(context, "$merged", MERGED_PARAMETERS)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        started = await self._operation.start(request, caller)
        facts, since = await self._summaries.facts(started.view), started.query.time_range.since
        view_then = await self._record_access.view(started.ref, started.access, at=since) if since else None
        before = await self._summaries.facts(view_then) if view_then else None

        def produce() -> Response:
            if before is None:
                return read_request.json_response(merged_view(facts.merged, facts.contents, facts.included_contents))
            changed = changes(before.merged, facts.merged)
            return read_request.json_response(
                changes_view(changed, facts.merged, facts.contents, facts.included_contents)
            )

        return await self._record_access.answer_audited(started.view, started.access, produce)


class FreshnessOperation:
    """`GET Patient/[id]/$freshness`: the freshness of each source of the record that the caller sees.

    It is defined in `schemas/fhir/OperationDefinition-freshness.json`.
    """

    def __init__(self, context: ReadContext, freshness: FreshnessService) -> None:
        self._record_access = context.record_access
        self._operation = PatientOperation(context, "$freshness", READ_PARAMETERS)
        self._freshness = freshness

    async def __call__(self, request: Request, caller: Caller) -> Response:
        started, now = await self._operation.start(request, caller), datetime.now(UTC)
        sources = await self._freshness.sources(started.view.person.person_keys, started.view.entries, now)
        response = read_request.json_response(freshness_parameters(sources, now))
        return await self._record_access.answer_audited(started.view, started.access, lambda: response)
