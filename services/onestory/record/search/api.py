"""Search: `GET [type]?patient=...` and `GET Patient?identifier=...`, or the same by `POST [type]/_search`.

FHIR R4, http://hl7.org/fhir/R4/http.html#search. Search is within one person's record: the person must be named. Only
Patients are found by name and birth date too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person.identifiers import PersonRef, by_id, by_identifier, by_reference
from onestory.record.read import request as read_request
from onestory.record.read.access import Access
from onestory.record.read.request import Context
from onestory.record.search.execute import Companions, Listing, Lists, find
from onestory.record.search.parameters import NAMING, PATIENT, Search, in_address
from onestory.record.search.parameters import search as read_search
from onestory.record.search.people import SearchPeople, shared
from onestory.shared.errors import Malformed
from onestory.shared.http.caller import Caller


class SearchType:
    """The interaction search-type.

    Where the caller may see nothing, a search for the Patient finds nobody; a search in the record is refused, because
    an empty list of allergies would be read as "none known".
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lists = Lists(context)
        self._companions = Companions(context.reader, context.database, context.fhir)
        self._people = SearchPeople(context, self._lists, self._companions)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context = self._context
        resource_type = in_address(request.path_params["resource_type"])
        parameters = await read_request.parameters(request)
        search = read_search(parameters, resource_type, context.fhir, lenient=read_request.lenient(request))
        await read_request.await_position(context.visible, parameters)
        access = context.access(request, caller, "search-type", (resource_type, *_along(search)))
        listing = _listing(f"{context.fhir}/{resource_type}", search, of_patients=resource_type == PATIENT)
        named = self._named(search, "identifier" if resource_type == PATIENT else "")
        if resource_type == PATIENT and not named and search.question.ids is None:
            return await self._people.answer(request, search, access, listing)
        return await self._in_record(request, _one_person(named), access, search, listing)

    async def _in_record(
        self, request: Request, asked: PersonRef, access: Access, search: Search, listing: Listing
    ) -> Response:
        context = self._context
        view = await context.reader.view(asked, access)
        matching = view.matching(search.question)
        candidates = shared(matching) if search.question.types == (PATIENT,) else matching
        found = await find(context.reader, context.database, candidates, search)
        beside = await self._companions.of(view, found.held, search)
        shown = {*access.resource_types, *[each.resource_type for each in beside]}
        access = replace(access, resource_types=tuple(sorted(shown)))
        return await self._lists.show(request, view, access, found, listing, beside)

    def _named(self, search: Search, identifier: str) -> list[PersonRef]:
        """Whom references, identifiers and ids name."""
        keys, fhir = self._context.keys, self._context.fhir
        references = [by_reference(value, keys, fhir) for name, value in search.used if name in NAMING]
        identifiers = [by_identifier(value, keys) for name, value in search.used if name == identifier]
        ids = [by_id(each, keys) for each in search.question.ids or ()]
        return [*references, *identifiers, *[asked for asked in ids if asked]]


def _one_person(named: Sequence[PersonRef]) -> PersonRef:
    if not named:
        raise Malformed("Search is within one person's record: name the person, as in patient=9990000018.")
    if len({asked.person_key for asked in named}) > 1:
        raise Malformed("Search is within one person's record: these parameters name several.", code="value")
    return max(named, key=lambda asked: asked.number or "")


def _listing(address: str, search: Search, *, of_patients: bool) -> Listing:
    return Listing(
        address,
        search.used,
        search.question,
        emptiness=of_patients,
        shape=search.shape,
        after=search.after,
        remarks=search.remarks,
    )


def _along(search: Search) -> list[str]:
    """Types that are asked to come along, as far as the question tells."""
    named = [*[each.target_type for each in search.includes], *[each.resource_type for each in search.included_by]]
    return sorted({each for each in named if each})
