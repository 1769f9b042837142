"""Operations on one Patient, `Patient/[id]/$name`: how each of them begins.

FHIR R4, http://hl7.org/fhir/R4/operations.html.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.freshness.domain import freshness_parameters
from onestory.record.freshness.service import Sources
from onestory.record.merge.view import changes, changes_view, merged_view
from onestory.record.person.identifiers import PersonRef, by_id
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, View, absent
from onestory.record.read.request import Context
from onestory.record.search.execute import Listing, Lists
from onestory.record.search.parameters import (
    IN_EVERYTHING,
    IN_MERGED,
    IN_READ,
    Parameters,
    RecordQuery,
    in_parameter,
    question,
)
from onestory.record.summary.service import Summaries
from onestory.shared.http.caller import Caller


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation that was asked for, and what its caller sees of the person; `at` None: as the record is now."""

    asked_id: str
    parameters: Parameters
    question: RecordQuery
    at: datetime | None
    asked: PersonRef
    access: Access
    view: View


def _all_types(_question: RecordQuery) -> tuple[str, ...]:
    return ()


class PatientOperation:
    """Begins the operation of this name, for an NHS number or the id of a source's Patient.

    `known` are the parameters it takes; `types` gives the resource types that its question is about, for the audit.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        known: Collection[str],
        types: Callable[[RecordQuery], tuple[str, ...]] = _all_types,
    ) -> None:
        self._context = context
        self._name = name
        self._known = known
        self._types = types

    async def begin(self, request: Request, caller: Caller) -> Begun:
        """What is asked, of whom. Raises `Malformed` for the parameters, `NotFound` for what is no id of ours."""
        context, asked_id = self._context, request.path_params["id"]
        parameters = await read_request.parameters(request)
        asks, at = (
            question(parameters, self._known, lenient=read_request.lenient(request)),
            read_request.moment(parameters),
        )
        await read_request.await_position(context.visible, parameters)
        asked = by_id(asked_id, context.keys)
        if asked is None:
            raise absent()
        access = context.access(request, caller, f"{self._name}?asOf" if at else self._name, self._types(asks))
        view = await context.reader.view(asked, access, at=at)
        return Begun(asked_id, parameters, asks, at, asked, access, view)


# `GET Patient/[id]/$everything`: all of a person's record, as it is or as it was at a moment (`asOf`).
#
# http://hl7.org/fhir/R4/patient-operation-everything.html


class Everything:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context) -> None:
        self._fhir = context.fhir
        self._operation = PatientOperation(
            context, "$everything", IN_EVERYTHING, lambda asks: in_parameter(asks.types or ())
        )
        self._lists = Lists(context)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun = await self._operation.begin(request, caller)
        address = f"{self._fhir}/Patient/{begun.asked_id}/$everything"
        matching = begun.view.matching(begun.question)
        listing = Listing(address, begun.parameters, begun.question)
        return await self._lists.page(request, begun.view, begun.access, matching, listing)


# `GET Patient/[id]/$merged`: one line for one fact, whoever said it.
#
# The operation is `schemas/fhir/OperationDefinition-merged.json`.


class AskMerged:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._reader = context.reader
        self._operation = PatientOperation(context, "$merged", IN_MERGED)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, reader = await self._operation.begin(request, caller), self._reader
        facts, since = await self._summaries.facts(begun.view), begun.question.span.since
        then = await reader.view(begun.asked, begun.access, at=since) if since else None
        before = await self._summaries.facts(then) if then else None

        def produce() -> Response:
            if before is None:
                return read_request.body(merged_view(facts.merged, facts.contents))
            return read_request.body(changes_view(changes(before.merged, facts.merged), facts.merged, facts.contents))

        return await reader.show(begun.view, begun.access, produce)


# `GET Patient/[id]/$freshness`: how fresh each source of the record is, as far as the caller sees it.
#
# The operation is `schemas/fhir/OperationDefinition-freshness.json`.


class AskFreshness:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, sources: Sources) -> None:
        self._reader = context.reader
        self._operation = PatientOperation(context, "$freshness", IN_READ)
        self._sources = sources

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, now = await self._operation.begin(request, caller), datetime.now(UTC)
        sources = await self._sources.of(begun.view.person.person_keys, begun.view.entries, now)
        answer = read_request.body(freshness_parameters(sources, now))
        return await self._reader.show(begun.view, begun.access, lambda: answer)
