"""Operations on one Patient, `Patient/[id]/$name` or `Patient/$name?identifier=...`, by GET or by POST.

FHIR R4, http://hl7.org/fhir/R4/operations.html. None of them changes anything.

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
from onestory.record.person.identifiers import PersonRef, ref_from_identifier, ref_from_patient_id
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, RecordView, not_found
from onestory.record.read.referenced import directory_addresses, referenced_directory
from onestory.record.read.request import ReadContext
from onestory.record.read.store import CurrentEntry
from onestory.record.search.care_dates import is_in_care_range
from onestory.record.search.dates import ANY_TIME, TimeRange
from onestory.record.search.execute import IncludedResource, decoded_resource, is_large_work
from onestory.record.search.parameters import (
    EVERYTHING_PARAMETERS,
    MERGED_PARAMETERS,
    READ_PARAMETERS,
    RecordQuery,
    RequestParameters,
    parse_query,
    resource_types_in_parameter,
    single_value,
)
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.record.summary.service import Summaries
from onestory.shared.errors import Malformed
from onestory.shared.policy import Caller
from onestory.shared.runtime import run_in_thread_if

IDENTIFIER = "identifier"
"""The parameter that names the person of an operation on the type Patient."""


@dataclass(frozen=True, slots=True)
class StartedOperation:
    """A request for an operation, and what its caller sees of the person.

    `requested_id` is the id in the URL, or the NHS number in `identifier`; `ref` is the person that it names. `at` is
    the moment of the record; None for the record as it is now.
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
        context, id_in_path = self._context, request.path_params.get("id")
        parameters = await read_request.operation_parameters(request)
        known = self._known if id_in_path is not None else {*self._known, IDENTIFIER}
        query = parse_query(parameters, known, lenient=read_request.is_lenient(request))
        at = read_request.as_of(parameters)
        await read_request.await_position(context.visible_positions, parameters)
        ref = self._person_ref(id_in_path, parameters)
        access = context.access(request, caller, f"{self._name}?asOf" if at else self._name, self._types(query))
        view = await context.record_access.view(ref, access, at=at)
        requested_id = id_in_path or ref.number or min(view.person.person_keys)
        return StartedOperation(requested_id, parameters, query, at, ref, access, view)

    def _person_ref(self, id_in_path: str | None, parameters: RequestParameters) -> PersonRef:
        if id_in_path is None:
            identifier = single_value(parameters, IDENTIFIER)
            if identifier is None:
                raise Malformed(
                    f"identifier: it is missing. {self._name} is about one person. Send identifier=<system>|<value>, "
                    f"or send the request to Patient/[id]/{self._name}.",
                    code="required",
                )
            return ref_from_identifier(identifier, self._context.keys)
        ref = ref_from_patient_id(id_in_path, self._context.keys)
        if ref is None:
            raise not_found()
        return ref


class EverythingOperation:
    """`Patient/[id]/$everything`: a person's whole record, as it is now or as of a moment (`asOf`).

    Each page also includes the directory resources that its resources refer to: medicines, devices, practitioners,
    organisations, locations. `start` and `end` limit the time of care.

    http://hl7.org/fhir/R4/patient-operation-everything.html
    """

    def __init__(self, context: ReadContext) -> None:
        self._fhir = context.fhir
        self._database = context.database
        self._record_access = context.record_access
        self._operation = PatientOperation(
            context, "$everything", EVERYTHING_PARAMETERS, lambda query: resource_types_in_parameter(query.types or ())
        )
        self._writer = SearchsetWriter(context)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        started = await self._operation.start(request, caller)
        matches: Sequence[CurrentEntry] = started.view.matching(started.query)
        if started.query.care_range != ANY_TIME:
            matches = await self._in_care_range(matches, started.query.care_range)
        id_in_path = request.path_params.get("id")
        patient_url = f"{self._fhir}/Patient/{id_in_path}" if id_in_path else f"{self._fhir}/Patient"
        list_request = ListRequest(f"{patient_url}/$everything", started.parameters, started.query)
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

    async def _in_care_range(self, entries: Sequence[CurrentEntry], wanted: TimeRange) -> list[CurrentEntry]:
        known = await self._record_access.with_contents(entries)
        return await run_in_thread_if(
            is_large_work(known),
            lambda: [entry for entry in known if is_in_care_range(decoded_resource(entry), wanted)],
        )


class MergedOperation:
    """`Patient/[id]/$merged`: the facts of the merged view; with `_since`, the changes of them.

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
    """`Patient/[id]/$freshness`: the freshness of each source of the record that the caller sees.

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
