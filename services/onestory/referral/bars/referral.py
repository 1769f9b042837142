"""Carries out messages about referrals: requests (new, updated, cancelled), and the receivers' responses to them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from onestory.referral.appointments.domain import KEEP
from onestory.referral.bars import identified
from onestory.referral.bars import store as bars_store
from onestory.referral.bars.matching import refuse_other_person, target_service
from onestory.referral.bars.meaning import (
    Meaning,
    receiver_encounter,
    receiver_status,
    rejection_concept,
    request_priority,
)
from onestory.referral.bars.work import MessageResult, MessageWork
from onestory.referral.clocks.domain import Clocks
from onestory.referral.conversation.domain import Category, ConversationMessage, MessageIds, decide_message
from onestory.referral.lifecycle import creation
from onestory.referral.lifecycle.creation import TeamReference
from onestory.referral.lifecycle.decide import TaskIds, build_change, decide, with_acting_party, with_priority
from onestory.referral.lifecycle.handler import Outcome, ReferralHandler
from onestory.referral.lifecycle.model import (
    Action,
    ChangeContext,
    Command,
    Json,
    Reason,
    Referral,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
)
from onestory.referral.lifecycle.reasons import with_displays
from onestory.shared.errors import Conflict, Forbidden, Malformed, NotFound
from onestory.shared.identity import PersonIdentifier
from onestory.shared.postgres.database import Transaction

_REQUEST_STATUS_SYSTEM = "http://hl7.org/fhir/request-status"
_ENDINGS = {
    Meaning.CANCEL: (Action.CANCEL, "revoked", "Its requester has cancelled it."),
    Meaning.CORRECT: (Action.CORRECT, "entered-in-error", "Its requester sent it by mistake."),
}
_ON_HOLD = Reason(
    "on-hold",
    {"coding": [{"system": _REQUEST_STATUS_SYSTEM, "code": "on-hold"}], "text": "Its requester has put it on hold."},
)


class RequestMessages:
    """Carries out messages of the requester."""

    def __init__(self, clocks: Clocks, task_ids: TaskIds) -> None:
        self._clocks = clocks
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)

    async def refer(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Create a referral or validation."""
        message = work.message
        await _refuse_repeated(work, transaction)
        team = TeamReference(
            "", target_service(message, work.incoming.headers.target), f"{message.header.path}.destination.endpoint"
        )
        body = {**work.resource_body(message.focus), "priority": request_priority(message)}
        request = creation.parse_service_request(body, work.event.person, team)
        outcome = await handler.create(work.create_request, replace(request, carried=work.carried_ids))
        return _result(work, outcome)

    async def update(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Replace the ServiceRequest and raise the priority, as a control room or a requester of validation sends them.

        A request that is on hold stays with the team, which learns that its requester holds it.
        """
        body = work.resource_body(work.message.focus)
        is_held = body["status"] == "on-hold"
        request = creation.parse_service_request(
            {**body, "status": "active", "priority": request_priority(work.message)},
            work.event.person,
            TeamReference("", "", ""),
        )

        known = await identified.identified_person(transaction, _referral_id(work))

        def decide_update(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            _refuse_unless_requester(sides)
            refuse_other_person(work.message, work.event.person, known or referral.person)
            creation.refuse_other_requester(request, referral.requester)
            if not referral.is_open:
                raise Conflict(f"The referral is {referral.status}, and has ended: send a new one.", code="conflict")
            prioritised = with_priority(referral, request.priority, context.at, self._clocks)
            after = replace(
                prioritised,
                version=referral.version + 1,
                service_request=request.body,
                reason=_ON_HOLD if is_held else referral.reason,
            )
            change = build_change(referral, after, "update", with_acting_party(referral, {Side.REQUESTER}, context))
            return replace(change, carried=work.carried_ids)

        outcome = await handler.change(work.request, _referral_id(work), None, decide_update)
        if work.event.person.is_nhs_number and not outcome.referral.person.is_nhs_number:
            # The requester knows the person now. The referral keeps its ids, and is found by the number too.
            referral_id = outcome.referral.referral_id
            await identified.identify(transaction, referral_id, work.person_key, work.event.person)
        return _result(work, outcome)

    async def cancel(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Cancel the referral, or mark it as entered in error."""
        action, code, text = _ENDINGS[work.meaning]
        reason = Reason(code, {"coding": [{"system": _REQUEST_STATUS_SYSTEM, "code": code}], "text": text})

        known = await identified.identified_person(transaction, _referral_id(work))

        def decide_end(referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
            _refuse_unless_requester(sides)
            refuse_other_person(work.message, work.event.person, known or referral.person)
            if not referral.is_open and work.message.reason != "delete":
                raise Conflict(
                    f"The referral is {referral.status}, and has ended: only an open referral can be cancelled.",
                    code="conflict",
                )
            # A message has no place for a word about appointments. They stand, and the notices list them.
            command = Command(action, reason, appointments=KEEP if action is Action.CANCEL else "")
            return self._decide(referral, command, sides & {Side.REQUESTER}, context)

        return _result(work, await handler.change(work.request, _referral_id(work), None, decide_end))


async def _refuse_repeated(work: MessageWork, transaction: Transaction) -> None:
    """Raise `Conflict` for a message that is sent again under another X-Request-Id: it makes no second referral."""
    for sent in await bars_store.messages_sent(transaction, work.caller.organisation, work.message.message_id):
        # Without an NHS number each message makes a person of its own, so the Bundle's id has to be enough.
        is_same = sent.person_key == work.person_key or not work.event.person.is_nhs_number
        if sent.meaning == work.meaning and is_same:
            raise Conflict(
                f"A message with this Bundle.id was processed before, and is ServiceRequest/{sent.referral_id}. To ask "
                "for something else, give the Bundle an id of its own.",
                code="duplicate",
                expression="Bundle.id",
            )


def _referral_id(work: MessageWork) -> str:
    if work.earlier is None or not work.earlier.referral_id:
        raise NotFound(
            "This updates no known referral of yours: send its ServiceRequest with the id that the answer to "
            "the request gave, or the fullUrl of the request, and the same Patient.",
            expression=f"{work.message.focus.path}.id",
        )
    return work.earlier.referral_id


def _refuse_unless_requester(sides: frozenset[Side]) -> None:
    if Side.REQUESTER not in sides:
        raise Forbidden(
            "Only the requester may update or cancel a referral by message: see the operations on its Task."
        )


def _result(work: MessageWork, outcome: Outcome) -> MessageResult:
    referral = outcome.referral
    owned_ids = {work.message.focus.index: referral.referral_id}
    return MessageResult(referral.person_key, outcome.service_request.content, owned_ids, referral.referral_id)


_ERS_STATE_SYSTEM = "https://fhir.nhs.uk/CodeSystem/eRS-ReferralState"
_NOT_ATTENDED_REASON = Reason(
    "DID_NOT_ATTEND",
    {
        "coding": [{"system": _ERS_STATE_SYSTEM, "code": "DID_NOT_ATTEND"}],
        "text": "Nobody came, or safeguarding: see the response.",
    },
)
# A receiver that responds has accepted the referral. One response can ask for several transitions, in this order.
_ACTIONS_TO_START: Mapping[Status, Sequence[Action]] = {
    Status.REQUESTED: (Action.ACCEPT, Action.START),
    Status.RECEIVED: (Action.ACCEPT, Action.START),
    Status.ACCEPTED: (Action.START,),
    Status.ON_HOLD: (Action.RESUME,),
    Status.IN_PROGRESS: (),
}
_GIVEN_BACK = (Status.REJECTED, Status.FAILED)
_STARTED = ("arrived", "triaged", "in-progress", "onleave", "finished")
# The resources of a response that become outputs of the Task for the requester.
_OUTPUT_TYPES = ("Encounter", "CarePlan", "Observation", "Flag", "QuestionnaireResponse", "Condition", "Appointment")


class ResponseMessages:
    """Carries out messages of the recipient. The requester gets a notice of each."""

    def __init__(self, clocks: Clocks, task_ids: TaskIds, message_ids: MessageIds) -> None:
        self._decide = partial(decide, clocks=clocks, task_ids=task_ids)
        self._advise = partial(advice_change, clocks=clocks, ids=message_ids)

    async def respond(self, work: MessageWork, transaction: Transaction, handler: ReferralHandler) -> MessageResult:
        """Change the referral to the state that the response gives, by one change or by several."""
        if work.earlier is None:
            raise _unknown_request(work)
        known = await identified.identified_person(transaction, work.earlier.referral_id)
        last: Outcome | None = None
        has_more = True
        while has_more:
            next_change = _NextChange(work, self._decide, self._advise, known)
            try:
                last = await handler.change(work.request, work.earlier.referral_id, None, next_change.with_content)
            except NotFound as error:
                # A caller who is not party gets the same answer, whether the referral exists or not.
                raise _unknown_request(work) from error
            has_more = next_change.has_more
        assert last is not None
        referral = last.referral
        owned_ids = {entry.index: referral.referral_id for entry in work.message.entries_of_type("ServiceRequest")}
        return MessageResult(referral.person_key, last.service_request.content, owned_ids, referral.referral_id)


def _unknown_request(work: MessageWork) -> NotFound:
    return NotFound(
        "This responds to no known referral: send response.identifier with the Bundle.id of the request, or of your "
        "own earlier response.",
        expression=f"{work.message.header.path}.response.identifier",
    )


class _NextChange:
    """The next change that a response asks for. `has_more` is True where another one has to follow.

    `known` is the person of the referral, where the NHS number became known later.
    """

    def __init__(
        self,
        work: MessageWork,
        decide_: partial[ReferralChange],
        advise_: partial[ReferralChange],
        known: PersonIdentifier | None,
    ) -> None:
        self._work = work
        self._known = known
        self._decide = decide_
        self._advise = advise_
        self.has_more = False

    def with_content(self, referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
        """The next change, which carries all resources of the response."""
        return replace(self(referral, sides, context), carried=self._work.carried_ids)

    def __call__(self, referral: Referral, sides: frozenset[Side], context: ChangeContext) -> ReferralChange:
        if Side.RECIPIENT not in sides:
            raise Forbidden("Only the recipient may respond to a referral.")
        refuse_other_person(self._work.message, self._work.event.person, self._known or referral.person)
        if referral.kind is ReferralKind.ADVICE and self._work.meaning is not Meaning.REJECTED:
            about = [output["valueReference"] for output in _outputs(self._work)]
            return self._advise(self._work.meaning, about, referral, {Side.RECIPIENT}, context)
        if self._work.meaning is Meaning.REJECTED and referral.is_open and referral.status in _GIVEN_BACK:
            # It is back with its requester already. What the team adds, such as another reason, is kept.
            return self._responded(replace(referral, reason=_rejection_reason(self._work)), context)
        if not referral.is_open or referral.status not in _ACTIONS_TO_START:
            text = f"The referral is {referral.status}: no response to it is possible any more."
            raise Conflict(text, code="conflict")
        commands = list(_remaining_commands(self._work, referral))
        self.has_more = len(commands) > 1
        if commands:
            return self._decide(referral, commands[0], sides, context)
        return self._responded(referral, context)

    def _responded(self, referral: Referral, context: ChangeContext) -> ReferralChange:
        """The change that adds the content of the response, and moves nothing."""
        outputs = (*referral.outputs, *_outputs(self._work))
        after = replace(referral, version=referral.version + 1, outputs=outputs)
        return build_change(referral, after, "respond", with_acting_party(referral, {Side.RECIPIENT}, context))


def advice_change(
    meaning: Meaning,
    about: Sequence[Json],
    referral: Referral,
    sides: Collection[Side],
    context: ChangeContext,
    clocks: Clocks,
    ids: MessageIds,
) -> ReferralChange:
    """A response to a request for advice, as a message of the conversation: an answer, or information so far.

    `about` are references to the resources of the response. Raises `Conflict` as `decide_message` does.
    """
    if meaning is Meaning.NOT_ATTENDED:
        raise Conflict("A request for advice has no attendance: send the advice, or reject the request.")
    category = Category.ANSWER if meaning is Meaning.DONE else Category.INFORMATION
    return decide_message(referral, ConversationMessage(category, (), tuple(about)), sides, context, clocks, ids)


def _remaining_commands(work: MessageWork, referral: Referral) -> Iterator[Command]:
    """The commands that the response still needs; the last one has the outputs."""
    if work.meaning is Meaning.REJECTED and referral.status in (Status.REQUESTED, Status.RECEIVED):
        yield Command(Action.REJECT, _rejection_reason(work), outputs=tuple(_outputs(work)))
        return
    actions = list(_ACTIONS_TO_START[referral.status])
    if work.meaning is Meaning.TAKEN and receiver_status(work.message) not in _STARTED:
        actions = [action for action in actions if action is Action.ACCEPT]
    commands = [Command(action) for action in actions]
    if work.meaning is Meaning.DONE:
        commands.append(Command(Action.COMPLETE))
    if work.meaning is Meaning.NOT_ATTENDED:
        commands.append(Command(Action.FAIL, _NOT_ATTENDED_REASON, "DID_NOT_ATTEND"))
    if work.meaning is Meaning.REJECTED:
        # The team had accepted it: it gives the referral back.
        commands.append(Command(Action.FAIL, _rejection_reason(work)))
    if commands:
        yield from commands[:-1]
        yield replace(commands[-1], outputs=tuple(_outputs(work)))


def _rejection_reason(work: MessageWork) -> Reason:
    """The reason that the response gives. Raises `Malformed` for a cancelled Encounter without one."""
    concept = rejection_concept(work.message)
    if concept is None:
        encounter = receiver_encounter(work.message)
        if encounter and encounter.resource["status"] == "cancelled":
            raise Malformed(
                "Encounter.reasonCode: say why the Encounter is cancelled, by a code of "
                "https://fhir.nhs.uk/CodeSystem/rejected-reasons-bars or by a text.",
                code="required",
                expression=f"{encounter.path}.reasonCode",
            )
        concept = {"text": "The team has rejected the request, and gave no reason."}
    codes = [str(coding.get("code", "")).strip() for coding in concept.get("coding", ())]
    return Reason(next(filter(None, codes), ""), with_displays(concept))


def _outputs(work: MessageWork) -> Iterator[Json]:
    for entry in work.message.entries:
        if entry.resource_type in _OUTPUT_TYPES:
            reference = f"{entry.resource_type}/{work.shared_id(entry)}"
            yield {"type": {"text": "Response"}, "valueReference": {"reference": reference}}
