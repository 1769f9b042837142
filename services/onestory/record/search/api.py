"""Routes of search: `GET [type]?patient=...`, `GET Patient/[id]/[type]` and `GET Patient?identifier=...`.

Each is answered to `POST .../_search` too. FHIR R4, http://hl7.org/fhir/R4/http.html#search. A search is within one
person's record, so it must name the person, or in the directory (`directory.py`). Only Patients are also found by name
and birth date (`people.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef, ref_from_identifier, ref_from_patient_id
from onestory.record.read import request as read_request
from onestory.record.read.access import Access, not_found
from onestory.record.read.request import ReadContext
from onestory.record.search.directory import DirectorySearchType, searches_directory
from onestory.record.search.execute import IncludeResolver, execute_search
from onestory.record.search.parameters import (
    PATIENT,
    Search,
    parse_search,
    resource_type_in_path,
)
from onestory.record.search.people import PeopleSearchType, shared_or_stated
from onestory.record.search.person_parameters import PERSON_HINT, person_ref
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.shared.errors import Malformed, NotFound
from onestory.shared.fhir.definitions import is_about_a_person
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
        self._directory = DirectorySearchType(context.database, context.record_access, self._writer, context.fhir)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        """A search for resources of the type in the path."""
        resource_type = resource_type_in_path(request.path_params["resource_type"])
        search = await self._search(request, resource_type)
        list_request = _list_request(f"{self._context.fhir}/{resource_type}", search)
        refs = self._person_refs(search)
        if searches_directory(resource_type, search.query.ids, names_person=bool(refs)):
            return await self._directory.answer(request, resource_type, search, list_request)
        access = self._access(request, caller, resource_type, search)
        if resource_type == PATIENT and not refs and search.query.ids is None:
            return await self._people.answer(request, search, access, list_request)
        return await self._search_record(request, _single_person(refs, search), access, search, list_request)

    async def in_compartment(self, request: Request, caller: Caller) -> Response:
        """A search in the Patient compartment, `Patient/[id]/[type]` (http://hl7.org/fhir/R4/http.html#vsearch)."""
        named = request.path_params["resource_type"]
        if named.startswith(("$", "*")):
            raise NotFound(
                "There is no such operation on a Patient. /fhir/metadata lists the operations. Send "
                "Patient/[id]/$everything for the whole record.",
                code="not-supported",
            )
        resource_type = resource_type_in_path(named)
        if not is_about_a_person(resource_type):
            raise NotFound(
                f"{resource_type} is not in the Patient compartment. Send Patient/[id]/$everything?_type="
                f"{resource_type}.",
                code="not-supported",
            )
        patient_id = request.path_params["id"]
        ref = ref_from_patient_id(patient_id, self._context.keys)
        if ref is None:
            raise not_found()
        search = await self._search(request, resource_type)
        list_request = _list_request(f"{self._context.fhir}/{PATIENT}/{patient_id}/{resource_type}", search)
        access = self._access(request, caller, resource_type, search)
        person = _single_person([ref, *self._person_refs(search)], search)
        return await self._search_record(request, person, access, search, list_request)

    async def _search(self, request: Request, resource_type: str) -> Search:
        parameters = await read_request.parameters(request)
        lenient = read_request.is_lenient(request)
        search = parse_search(parameters, resource_type, self._context.fhir, lenient=lenient)
        await read_request.await_position(self._context.visible_positions, parameters)
        return search

    def _access(self, request: Request, caller: Caller, resource_type: str, search: Search) -> Access:
        types = (resource_type, *_included_types(search))
        return self._context.access(request, caller, "search-type", types)

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

    def _person_refs(self, search: Search) -> list[PersonRef]:
        """The persons that references, identifiers and ids name."""
        keys, fhir = self._context.keys, self._context.fhir
        if search.query.types == (PATIENT,):
            named = [ref_from_identifier(value, keys) for name, value in search.used if name == "identifier"]
        else:
            refs = (person_ref(name, value, keys, fhir) for name, value in search.used)
            named = [ref for ref in refs if ref]
        ids = [ref_from_patient_id(patient_id, keys) for patient_id in search.query.ids or ()]
        return [*named, *[ref for ref in ids if ref]]


def _single_person(refs: Sequence[PersonRef], search: Search) -> PersonRef:
    """The only person among the refs, with the NHS number if one names it. Raises `Malformed` for none or several."""
    if not refs and search.query.ids is not None:
        raise Malformed(f"_id: it has no id of this server. Send an id of an earlier answer. {PERSON_HINT}")
    if not refs:
        raise Malformed(f"patient: it is missing. A search is within one person's record. {PERSON_HINT}")
    if len({ref.person_key for ref in refs}) > 1:
        raise Malformed(
            "The parameters name several persons. Send one person, such as patient=9990000018.", code="value"
        )
    return max(refs, key=lambda ref: ref.number or "")


def _list_request(list_url: str, search: Search) -> ListRequest:
    return ListRequest(
        list_url,
        search.used,
        search.query,
        empty_if_hidden=search.query.types == (PATIENT,),
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
