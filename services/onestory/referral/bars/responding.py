"""Responses: the receiver says how far it is, what came of it, or that nobody came. The requester hears of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from onestory.referral.bars.advising import advise
from onestory.referral.bars.domain.meaning import Meaning, receiver_status
from onestory.referral.bars.domain.people import refuse_other_person
from onestory.referral.bars.work import Done, Work
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Command, Doing
from onestory.referral.domain.conversation import MessageIds
from onestory.referral.domain.decide import TaskIds, acting, decide, finish
from onestory.referral.domain.machine import Action, Side
from onestory.referral.domain.referral import Json, Kind, Reason, Referral, Status
from onestory.referral.handler import Handler, Outcome
from onestory.shared.database import Transaction
from onestory.shared.errors import Conflict, Forbidden, NotFound

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

    async def respond(self, work: Work, transaction: Transaction, handler: Handler) -> Done:
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

    def __init__(self, work: Work, decide_: partial[Changed], advise_: partial[Changed]) -> None:
        self._work = work
        self._decide = decide_
        self._advise = advise_
        self.pending = False

    def __call__(self, referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
        if Side.RECIPIENT not in sides:
            raise Forbidden("Only the team that was asked responds to a referral.")
        refuse_other_person(self._work.message, self._work.event.person, referral.person)
        if referral.kind is Kind.ADVICE:
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
