"""Requests: a new referral or validation, what is sent again of one, and its cancellation."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from onestory.referral.bars.domain.meaning import Meaning
from onestory.referral.bars.domain.people import refuse_other_person
from onestory.referral.bars.domain.services import service
from onestory.referral.bars.domain.urgency import priority
from onestory.referral.bars.store import messages
from onestory.referral.bars.work import Done, Work
from onestory.referral.domain import creation
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Command, Doing
from onestory.referral.domain.creation import TeamNamed
from onestory.referral.domain.decide import TaskIds, acting, decide, finish
from onestory.referral.domain.machine import Action, Side
from onestory.referral.domain.referral import Reason, Referral
from onestory.referral.domain.urgency import with_priority
from onestory.referral.handler import Handler, Outcome
from onestory.shared.database import Transaction
from onestory.shared.errors import Conflict, Forbidden, NotFound

_STATUS = "http://hl7.org/fhir/request-status"
_WHY = {
    Meaning.CANCEL: (Action.CANCEL, "revoked", "Its requester has cancelled it."),
    Meaning.CORRECT: (Action.CORRECT, "entered-in-error", "Its requester sent it by mistake."),
}


class Referring:
    """Does what requests ask for."""

    def __init__(self, clocks: Clocks, task_ids: TaskIds) -> None:
        self._clocks = clocks
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)

    async def refer(self, work: Work, transaction: Transaction, handler: Handler) -> Done:
        """A new referral or validation."""
        message = work.message
        await _refuse_again(work, transaction)
        team = TeamNamed("", service(message, work.arrived.said.target), f"{message.header.path}.destination.endpoint")
        body = {**work.body(message.focus), "priority": priority(message)}
        outcome = await handler.create(work.creating, creation.asked(body, work.event.person, team))
        return _done(work, outcome)

    async def update(self, work: Work, transaction: Transaction, handler: Handler) -> Done:
        """What a control room knows meanwhile of what it has asked for."""
        body = work.body(work.message.focus)
        said = creation.asked({**body, "priority": priority(work.message)}, work.event.person, TeamNamed("", "", ""))

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
            _refuse_not_ones_own(sides)
            refuse_other_person(work.message, work.event.person, referral.person)
            creation.refuse_other_requester(said, referral.requester)
            if not referral.is_open:
                raise Conflict(f"The referral is {referral.status}, and has ended: send a new one.", code="conflict")
            hastened = with_priority(referral, said.priority, doing.at, self._clocks)
            after = replace(hastened, version=referral.version + 1, service_request=said.body)
            return finish(referral, after, "update", acting(referral, {Side.REQUESTER}, doing))

        return _done(work, await handler.act(work.request, _before(work), None, deciding))

    async def cancel(self, work: Work, transaction: Transaction, handler: Handler) -> Done:
        """Its requester does not want it any more, or never should have sent it."""
        action, code, text = _WHY[work.meaning]
        reason = Reason(code, {"coding": [{"system": _STATUS, "code": code}], "text": text})

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
            _refuse_not_ones_own(sides)
            refuse_other_person(work.message, work.event.person, referral.person)
            if not referral.is_open:
                raise Conflict(
                    f"The referral is {referral.status}, and has ended: only what is active can be cancelled.",
                    code="conflict",
                )
            return self._decide(referral, Command(action, reason), sides & {Side.REQUESTER}, doing)

        return _done(work, await handler.act(work.request, _before(work), None, deciding))


async def _refuse_again(work: Work, transaction: Transaction) -> None:
    """A message that comes again under another X-Request-Id makes no second referral."""
    for each in await messages.sent(transaction, work.caller.organisation, work.message.message_id):
        # Of somebody without a number each message makes another person: there the Bundle's id has to do.
        is_same = each.person_key == work.person_key or not work.event.person.is_nhs_number
        if each.meaning == work.meaning and is_same:
            raise Conflict(
                f"A message with this Bundle.id was processed before, and is ServiceRequest/{each.referral_id}. To ask "
                "for something else, give the Bundle an id of its own.",
                code="duplicate",
                expression="Bundle.id",
            )


def _before(work: Work) -> str:
    if work.before is None or not work.before.referral_id:
        raise NotFound(
            "No referral of yours is known that this updates: send its ServiceRequest with the id that the answer to "
            "the request gave, or the fullUrl of the request, and the same Patient.",
            expression=f"{work.message.focus.path}.id",
        )
    return work.before.referral_id


def _refuse_not_ones_own(sides: frozenset[Side]) -> None:
    if Side.REQUESTER not in sides:
        raise Forbidden(
            "Only who sent the referral may update or cancel it by message: see the operations on its Task."
        )


def _done(work: Work, outcome: Outcome) -> Done:
    referral = outcome.referral
    owned = {work.message.focus.index: referral.referral_id}
    return Done(referral.person_key, outcome.service_request.content, owned, referral.referral_id)
