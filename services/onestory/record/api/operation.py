"""Operations on one Patient, `Patient/[id]/$name`: how each of them begins.

FHIR R4, http://hl7.org/fhir/R4/operations.html.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from onestory.record.api import asking
from onestory.record.api.context import Context
from onestory.record.domain.search.person import Asked, by_id
from onestory.record.domain.search.question import Parameters, Question, question
from onestory.record.reading.reader import Access, absent
from onestory.record.reading.view import View
from onestory.shared.caller import Caller


@dataclass(frozen=True, slots=True)
class Begun:
    """An operation that was asked for, and what its caller sees of the person; `at` None: as the record is now."""

    asked_id: str
    parameters: Parameters
    question: Question
    at: datetime | None
    asked: Asked
    access: Access
    view: View


def _all_types(_question: Question) -> tuple[str, ...]:
    return ()


class Operation:
    """Begins the operation of this name, for an NHS number or the id of a source's Patient.

    `known` are the parameters it takes; `types` gives the resource types that its question is about, for the audit.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        known: Collection[str],
        types: Callable[[Question], tuple[str, ...]] = _all_types,
    ) -> None:
        self._context = context
        self._name = name
        self._known = known
        self._types = types

    async def begin(self, request: Request, caller: Caller) -> Begun:
        """What is asked, of whom. Raises `Malformed` for the parameters, `NotFound` for what is no id of ours."""
        context, asked_id = self._context, request.path_params["id"]
        parameters = await asking.parameters(request)
        asks, at = question(parameters, self._known, lenient=asking.lenient(request)), asking.moment(parameters)
        await asking.await_position(context.visible, parameters)
        asked = by_id(asked_id, context.keys)
        if asked is None:
            raise absent()
        access = context.access(request, caller, f"{self._name}?asOf" if at else self._name, self._types(asks))
        view = await context.reader.view(asked, access, at=at)
        return Begun(asked_id, parameters, asks, at, asked, access, view)
