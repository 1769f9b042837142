"""Search: `GET [type]?patient=...` and `GET Patient?identifier=...`, or the same by `POST [type]/_search`.

FHIR R4, http://hl7.org/fhir/R4/http.html#search. Search is within one person's record: the person must be named.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import asking
from onestory.record.api.context import Context
from onestory.record.api.lists import Listing, Lists
from onestory.record.domain.search.person import Asked, by_id, by_identifier, by_reference
from onestory.record.domain.search.question import IN_PATIENT_SEARCH, IN_SEARCH, Parameters, question
from onestory.record.domain.search.types import in_address
from onestory.record.reading.view import PATIENT
from onestory.record.store.entries import CurrentEntry
from onestory.shared.caller import Caller
from onestory.shared.errors import Malformed

_REFERENCES = ("patient", "subject", "patient:Patient", "subject:Patient")


class Search:
    """The interaction search-type.

    Where the caller may see nothing, a search for the Patient finds nobody; a search in the record is refused, because
    an empty list of allergies would be read as "none known".
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lists = Lists(context)

    async def __call__(self, request: Request, caller: Caller) -> Response:
        context = self._context
        resource_type = in_address(request.path_params["resource_type"])
        of_patients = resource_type == PATIENT
        parameters = await asking.parameters(request)
        known = IN_PATIENT_SEARCH if of_patients else IN_SEARCH
        asks = question(parameters, known, types=(resource_type,), lenient=asking.lenient(request))
        await asking.await_position(context.visible, parameters)
        asked = self._one_person([*self._named(parameters), *self._by_ids(asks.ids or ())])
        access = context.access(request, caller, "search-type", (resource_type,))
        view = await context.reader.view(asked, access)
        matching = view.matching(asks)
        listing = Listing(f"{context.fhir}/{resource_type}", parameters, asks, emptiness=of_patients)
        return await self._lists.page(request, view, access, _shared(matching) if of_patients else matching, listing)

    def _named(self, parameters: Parameters) -> list[Asked]:
        keys, fhir = self._context.keys, self._context.fhir
        references = [by_reference(value, keys, fhir) for name, value in parameters if name in _REFERENCES]
        identifiers = [by_identifier(value, keys) for name, value in parameters if name == "identifier"]
        return [*references, *identifiers]

    def _by_ids(self, ids: Sequence[str]) -> list[Asked]:
        found = [by_id(each, self._context.keys) for each in ids]
        return [asked for asked in found if asked]

    @staticmethod
    def _one_person(named: Sequence[Asked]) -> Asked:
        if not named:
            raise Malformed("Search is within one person's record: name the person, as in patient=9990000018.")
        if len({asked.person_key for asked in named}) > 1:
            raise Malformed("Search is within one person's record: these parameters name several.", code="value")
        return max(named, key=lambda asked: asked.number or "")


def _shared(matching: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
    """The shared Patients; a person without an NHS number has the sources' own Patients alone."""
    return [shown for shown in matching if shown.composed] or matching
