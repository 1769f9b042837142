"""Requests: a new referral or validation, what is sent again of one, and its cancellation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from onestory.referral.bars import store as bars_store
from onestory.referral.bars.matching import refuse_other_person, service
from onestory.referral.bars.meaning import Meaning, priority, receiver_status
from onestory.referral.bars.work import Done, Work
from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation.domain import Category, ConversationMessage, MessageIds, say
from onestory.referral.lifecycle import creation
from onestory.referral.lifecycle.creation import TeamNamed
from onestory.referral.lifecycle.decide import TaskIds, acting, decide, finish, with_priority
from onestory.referral.lifecycle.handler import Outcome, ReferralHandler
from onestory.referral.lifecycle.machine import Action, Command, Doing, ReferralChange, Side
from onestory.referral.lifecycle.model import Json, Reason, Referral, ReferralKind, Status
from onestory.shared.errors import Conflict, Forbidden, NotFound
from onestory.shared.postgres.database import Transaction

_STATUS = "http://hl7.org/fhir/request-status"
_WHY = {
    Meaning.CANCEL: (Action.CANCEL, "revoked", "Its requester has cancelled it."),
    Meaning.CORRECT: (Action.CORRECT, "entered-in-error", "Its requester sent it by mistake."),
}


class BarsReferrals:
    """Does what requests ask for."""

    def __init__(self, clocks: Clocks, task_ids: TaskIds) -> None:
        self._clocks = clocks
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)

    async def refer(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """A new referral or validation."""
        message = work.message
        await _refuse_again(work, transaction)
        team = TeamNamed("", service(message, work.arrived.said.target), f"{message.header.path}.destination.endpoint")
        body = {**work.body(message.focus), "priority": priority(message)}
        outcome = await handler.create(work.creating, creation.asked(body, work.event.person, team))
        return _done(work, outcome)

    async def update(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """What a control room knows meanwhile of what it has asked for."""
        body = work.body(work.message.focus)
        said = creation.asked({**body, "priority": priority(work.message)}, work.event.person, TeamNamed("", "", ""))

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
            _refuse_not_ones_own(sides)
            refuse_other_person(work.message, work.event.person, referral.person)
            creation.refuse_other_requester(said, referral.requester)
            if not referral.is_open:
                raise Conflict(f"The referral is {referral.status}, and has ended: send a new one.", code="conflict")
            hastened = with_priority(referral, said.priority, doing.at, self._clocks)
            after = replace(hastened, version=referral.version + 1, service_request=said.body)
            return finish(referral, after, "update", acting(referral, {Side.REQUESTER}, doing))

        return _done(work, await handler.act(work.request, _before(work), None, deciding))

    async def cancel(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """Its requester does not want it any more, or never should have sent it."""
        action, code, text = _WHY[work.meaning]
        reason = Reason(code, {"coding": [{"system": _STATUS, "code": code}], "text": text})

        def deciding(referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
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
    for each in await bars_store.sent(transaction, work.caller.organisation, work.message.message_id):
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


# A response to a request for advice: the advice, or that it is being looked into.


def advise(
    meaning: Meaning,
    about: Sequence[Json],
    referral: Referral,
    sides: Collection[Side],
    doing: Doing,
    clocks: Clocks,
    ids: MessageIds,
) -> ReferralChange:
    """What the response says of advice, as a message about what it carries. Raises `Conflict` as `say` does."""
    if meaning is Meaning.NOT_ATTENDED:
        raise Conflict("Who is asked for advice sees nobody: send what you advise, or reject the request.")
    category = Category.ANSWER if meaning is Meaning.DONE else Category.INFORMATION
    return say(referral, ConversationMessage(category, (), tuple(about)), sides, doing, clocks, ids)


# Responses: the receiver says how far it is, what came of it, or that nobody came. The requester hears of each.

_E_RS = "https://fhir.nhs.uk/CodeSystem/eRS-ReferralState"
_NOT_ATTENDED = Reason(
    "DID_NOT_ATTEND",
    {
        "coding": [{"system": _E_RS, "code": "DID_NOT_ATTEND"}],
        "text": "Nobody came, or safeguarding: see the response.",
    },
)
# A receiver that answers has taken the referral on, and says so in one message: these are the steps on its way.
_TO_BEGIN: Mapping[Status, Sequence[Action]] = {
    Status.REQUESTED: (Action.ACCEPT, Action.START),
    Status.RECEIVED: (Action.ACCEPT, Action.START),
    Status.ACCEPTED: (Action.START,),
    Status.ON_HOLD: (Action.RESUME,),
    Status.IN_PROGRESS: (),
}
_BEGUN = ("arrived", "triaged", "in-progress", "onleave", "finished")
# What of a response its requester reads: the receiver's own words on the case.
_OUTPUTS = ("Encounter", "CarePlan", "Observation", "Flag", "QuestionnaireResponse", "Condition", "Appointment")


class Responding:
    """Does what responses say."""

    def __init__(self, clocks: Clocks, task_ids: TaskIds, message_ids: MessageIds) -> None:
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)
        self._advise = partial(advise, clocks=clocks, ids=message_ids)

    async def respond(self, work: Work, transaction: Transaction, handler: ReferralHandler) -> Done:
        """Move the referral to where the response says that it is."""
        if work.before is None:
            raise _unknown(work)
        last: Outcome | None = None
        pending = True
        while pending:
            steps = _Steps(work, self._decide, self._advise)
            try:
                last = await handler.act(work.request, work.before.referral_id, None, steps)
            except NotFound as error:
                # A stranger is told the same, whether there is one or not.
                raise _unknown(work) from error
            pending = steps.pending
        assert last is not None
        referral = last.referral
        owned = {each.index: referral.referral_id for each in work.message.of_type("ServiceRequest")}
        return Done(referral.person_key, last.service_request.content, owned, referral.referral_id)


def _unknown(work: Work) -> NotFound:
    return NotFound(
        "No referral is known that this responds to: response.identifier is the id of the Bundle with which it was "
        "asked for, or of your own earlier response.",
        expression=f"{work.message.header.path}.response.identifier",
    )


class _Steps:
    """The next step of a response. `pending`: there is another one after it."""

    def __init__(self, work: Work, decide_: partial[ReferralChange], advise_: partial[ReferralChange]) -> None:
        self._work = work
        self._decide = decide_
        self._advise = advise_
        self.pending = False

    def __call__(self, referral: Referral, sides: frozenset[Side], doing: Doing) -> ReferralChange:
        if Side.RECIPIENT not in sides:
            raise Forbidden("Only the team that was asked responds to a referral.")
        refuse_other_person(self._work.message, self._work.event.person, referral.person)
        if referral.kind is ReferralKind.ADVICE:
            about = [each["valueReference"] for each in _outputs(self._work)]
            return self._advise(self._work.meaning, about, referral, {Side.RECIPIENT}, doing)
        if not referral.is_open or referral.status not in _TO_BEGIN:
            says = f"The referral is {referral.status}: no response to it is possible any more."
            raise Conflict(says, code="conflict")
        commands = list(_commands(self._work, referral))
        self.pending = len(commands) > 1
        if commands:
            return self._decide(referral, commands[0], sides, doing)
        said = (*referral.outputs, *_outputs(self._work))
        after = replace(referral, version=referral.version + 1, outputs=said)
        return finish(referral, after, "respond", acting(referral, {Side.RECIPIENT}, doing))


def _commands(work: Work, referral: Referral) -> Iterator[Command]:
    """What is still to be done, the last of it with what the response says."""
    steps = list(_TO_BEGIN[referral.status])
    if work.meaning is Meaning.TAKEN and receiver_status(work.message) not in _BEGUN:
        steps = [step for step in steps if step is Action.ACCEPT]
    commands = [Command(step) for step in steps]
    if work.meaning is Meaning.DONE:
        commands.append(Command(Action.COMPLETE))
    if work.meaning is Meaning.NOT_ATTENDED:
        commands.append(Command(Action.FAIL, _NOT_ATTENDED, "DID_NOT_ATTEND"))
    if commands:
        yield from commands[:-1]
        yield replace(commands[-1], outputs=tuple(_outputs(work)))


def _outputs(work: Work) -> Iterator[Json]:
    for each in work.message.carried:
        if each.resource_type in _OUTPUTS:
            reference = f"{each.resource_type}/{work.shared_id(each)}"
            yield {"type": {"text": "Response"}, "valueReference": {"reference": reference}}
