"""Routes of search: `GET [type]?patient=...` and `GET Patient?identifier=...`, or the same by `POST [type]/_search`.

FHIR R4, http://hl7.org/fhir/R4/http.html#search. A search is within one person's record, so it must name the person.
Only Patients are also found by name and birth date (`people.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef, ref_from_identifier, ref_from_patient_id, ref_from_reference
from onestory.record.read import request as read_request
from onestory.record.read.access import Access
from onestory.record.read.request import ReadContext
from onestory.record.search.execute import IncludeResolver, execute_search
from onestory.record.search.parameters import (
    PATIENT,
    PERSON_PARAMETERS,
    Search,
    parse_search,
    resource_type_in_path,
)
from onestory.record.search.people import PeopleSearchType, shared_or_stated
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.shared.errors import Malformed
from onestory.shared.policy import Caller


class SearchType:
    """The interaction search-type.

    If the caller may see nothing, a search for the Patient answers with an empty list. A search in the record is
    refused, because an empty list of allergies would be read as "none known".
    """

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._writer = SearchsetWriter(context)
        self._includes = IncludeResolver(context.record_access, context.database, context.fhir)
        self._people = PeopleSearchType(context, self._writer, self._includes)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context = self._context
        resource_type = resource_type_in_path(request.path_params["resource_type"])
        parameters = await read_request.parameters(request)
        search = parse_search(parameters, resource_type, context.fhir, lenient=read_request.is_lenient(request))
        await read_request.await_position(context.visible_positions, parameters)
        access = context.access(request, caller, "search-type", (resource_type, *_included_types(search)))
        list_request = _list_request(f"{context.fhir}/{resource_type}", search, of_patients=resource_type == PATIENT)
        refs = self._person_refs(search, "identifier" if resource_type == PATIENT else "")
        if resource_type == PATIENT and not refs and search.query.ids is None:
            return await self._people.answer(request, search, access, list_request)
        return await self._search_record(request, _single_person(refs), access, search, list_request)

    async def _search_record(
        self, request: Request, ref: PersonRef, access: Access, search: Search, list_request: ListRequest
    ) -> Response:
        context = self._context
        view = await context.record_access.view(ref, access)
        matching = view.matching(search.query)
        candidates = shared_or_stated(matching) if search.query.types == (PATIENT,) else matching
        page = await execute_search(context.record_access, context.database, candidates, search)
        included = await self._includes.resolve(view, page.entries, search)
        shown_types = {*access.resource_types, *[each.resource_type for each in included]}
        access = replace(access, resource_types=tuple(sorted(shown_types)))
        return await self._writer.write_page(request, view, access, page, list_request, included)

    def _person_refs(self, search: Search, identifier: str) -> list[PersonRef]:
        """The persons that references, ids and the parameter `identifier` name."""
        keys, fhir = self._context.keys, self._context.fhir
        references = [ref_from_reference(value, keys, fhir) for name, value in search.used if name in PERSON_PARAMETERS]
        identifiers = [ref_from_identifier(value, keys) for name, value in search.used if name == identifier]
        ids = [ref_from_patient_id(patient_id, keys) for patient_id in search.query.ids or ()]
        return [*references, *identifiers, *[ref for ref in ids if ref]]


def _single_person(refs: Sequence[PersonRef]) -> PersonRef:
    """The only person among the refs, with the NHS number if one names it. Raises `Malformed` for none or several."""
    if not refs:
        raise Malformed(
            "patient: it is missing. A search is within one person's record. Send one, such as patient=9990000018."
        )
    if len({ref.person_key for ref in refs}) > 1:
        raise Malformed(
            "The parameters name several persons. Send one person, such as patient=9990000018.", code="value"
        )
    return max(refs, key=lambda ref: ref.number or "")


def _list_request(list_url: str, search: Search, *, of_patients: bool) -> ListRequest:
    return ListRequest(
        list_url,
        search.used,
        search.query,
        empty_if_hidden=of_patients,
        shape=search.shape,
        after=search.after,
        warnings=search.warnings,
    )


def _included_types(search: Search) -> list[str]:
    """The types of included resources that the parameters name, for the access event."""
    types = {
        *[include.target_type for include in search.includes],
        *[include.resource_type for include in search.revincludes],
    }
    return sorted(each for each in types if each)
