"""`GET [type]/_history?patient=...` and `GET _history?patient=...`: what happened in a person's record, newest first.

FHIR R4, http://hl7.org/fhir/R4/http.html#history. As with search, the person must be named.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.api import answers, asking
from onestory.record.api.context import Context
from onestory.record.domain.search.asked import NAMING
from onestory.record.domain.search.person import Asked, by_reference
from onestory.record.domain.search.place import CURSOR, from_past_cursor
from onestory.record.domain.search.question import IN_PERSONS_HISTORY, Parameters, Question, one, question
from onestory.record.domain.search.types import in_address
from onestory.record.store import happened
from onestory.record.store.happened import Happened, Persons
from onestory.shared.caller import Caller
from onestory.shared.errors import Malformed
from onestory.shared.fhir import bundle
from onestory.shared.policy import Visibility


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
        parameters = await asking.parameters(request)
        unpaged = [(name, value) for name, value in parameters if name != CURSOR]
        asks = question(unpaged, IN_PERSONS_HISTORY, lenient=asking.lenient(request))
        after = from_past_cursor(one(parameters, CURSOR))
        await asking.await_position(context.visible, parameters)
        asked = self._one_person(parameters)
        access = context.access(request, caller, interaction, (resource_type,) if resource_type else ())
        view = await context.reader.view(asked, access)
        own = None if view.decision.visibility is Visibility.ALL else caller.organisation
        of = Persons(view.person.person_keys, resource_type, own, asks.span.since)
        # One more than the page holds tells whether there is a next page.
        found = await happened.page(context.database, of, after, asks.count + 1)
        total = await happened.count(context.database, of)
        address = f"{context.fhir}/{resource_type}/_history" if resource_type else f"{context.fhir}/_history"
        return await context.reader.show(
            view, access, lambda: answers.body(self._bundle(address, parameters, asks, found, total))
        )

    def _bundle(
        self, address: str, parameters: Parameters, asks: Question, found: Sequence[Happened], total: int
    ) -> bytes:
        held = found[: asks.count]
        place = from_past_cursor(one(parameters, CURSOR))
        self_url = answers.page_url(address, parameters, asks, place)
        more = held and len(found) > len(held)
        next_url = answers.page_url(address, parameters, asks, held[-1].place) if more else None
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

    def _one_person(self, parameters: Parameters) -> Asked:
        keys, fhir = self._context.keys, self._context.fhir
        named = [by_reference(value, keys, fhir) for name, value in parameters if name in NAMING]
        if not named:
            raise Malformed("A history is of one person's record: name the person, as in patient=9990000018.")
        if len({asked.person_key for asked in named}) > 1:
            raise Malformed("A history is of one person's record: these parameters name several.", code="value")
        return max(named, key=lambda asked: asked.number or "")
