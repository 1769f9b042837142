"""`GET Patient?family=...&birthdate=...`: people by name and birth date, across everybody whom the caller may see."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api.context import Context
from onestory.record.api.lists import Listing, Lists
from onestory.record.domain.search.asked import Search
from onestory.record.domain.search.people import people
from onestory.record.reading.beside import Companions
from onestory.record.reading.crowd import Crowds
from onestory.record.reading.finding import Found
from onestory.record.reading.reader import Access
from onestory.record.reading.view import page


class PeopleSearch:
    """The part of search-type that names nobody."""

    def __init__(self, context: Context, lists: Lists, companions: Companions) -> None:
        self._context = context
        self._lists = lists
        self._companions = companions
        self._crowds = Crowds(context.reader, context.database, context.keys)

    async def answer(self, request: Request, search: Search, access: Access, listing: Listing) -> Response:
        """Everybody who is meant, once each is audited. Raises `Malformed` where the question names too many."""
        crowd = await self._crowds.find(people(search), access)
        held, ahead = page(crowd.patients, search.question)
        beside = []
        for view in crowd.views:
            own = [shown for shown in held if shown.person_key in view.person.person_keys]
            beside += await self._companions.of(view, own, search)
        shown = {*access.resource_types, *[each.resource_type for each in beside]}
        access = replace(access, resource_types=tuple(sorted(shown)))
        found = Found(crowd.patients, held, ahead)
        visibilities = [view.decision.visibility for view in crowd.views]
        return await self._crowds.show(
            crowd, access, lambda: self._lists.answer(request, found, listing, beside, visibilities, {})
        )
