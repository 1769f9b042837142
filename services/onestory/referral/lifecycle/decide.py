"""The change that a command makes of a referral. Pure: equal inputs give equal results."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

import orjson

from onestory.referral.appointments import domain as appointment_rules
from onestory.referral.appointments.model import changed_appointments, upcoming, upcoming_of_task
from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.correction import without_content
from onestory.referral.lifecycle.machine import ADVICE_HINT, NEEDS_REASON, Transition, allowed_actions, transition_for
from onestory.referral.lifecycle.model import (
    ENDED,
    HELD_BY_RECIPIENT,
    Action,
    ChangeContext,
    Command,
    Referral,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
    WrittenResource,
    requesting_parties,
    task_local_id,
)
from onestory.referral.lifecycle.render import service_request, task
from onestory.referral.lifecycle.status_words import (
    business_status_for,
    refuse_contradicting_word,
    refuse_unfit_for_advice,
)
from onestory.referral.notices.domain import notices
from onestory.shared.errors import Conflict, Forbidden, PreconditionFailed, TooLarge, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.bundle import etag

TaskIds = Callable[[Referral, int], str]
"""Gives the shared id of a referral's Task with this number."""


def decide(
    referral: Referral,
    command: Command,
    sides: Collection[Side],
    context: ChangeContext,
    clocks: Clocks,
    task_ids: TaskIds,
) -> ReferralChange:
    """The change that a command makes, sent by a caller on these sides.

    Raises `Forbidden` where another side may do it, `Conflict` where this status does not allow it, `Unprocessable`
    where the command lacks a parameter.
    """
    transition = _allowed_transition(referral, command.action, sides)
    _refuse_incomplete(referral, command)
    context, to = with_acting_party(referral, transition.sides.intersection(sides), context), transition.to
    after = replace(
        referral,
        version=referral.version + 1,
        status=to,
        is_open=referral.is_open and to not in ENDED and command.action is not Action.CANCEL,
        business_status=appointment_rules.status_word(
            referral, command, business_status_for(referral, command.action), context.at
        ),
        reason=command.reason,
        outputs=(*referral.outputs, *command.outputs),
        until=command.until if command.action is Action.HOLD else None,
        acts_next="",
        question_id="",
        state_due_at=None,
        sent_at=context.at if command.action is Action.REQUEST else referral.sent_at,
    )
    if command.action is Action.CORRECT:
        after = without_content(after)
    action = str(command.action)
    former: tuple[WrittenResource, ...] = ()
    if command.action is Action.BOOK:
        action, after = appointment_rules.book(referral, after, command, context.actor.party, context.at)
    else:
        after = replace(after, appointments=appointment_rules.settled(referral, command, context.at))
    if command.action is Action.REDIRECT:
        after, former = _redirect(referral, after, command, context, task_ids)
    return build_change(referral, with_due_time(after, context.at, clocks), action, context, former)


def with_acting_party(referral: Referral, sides: Collection[Side], context: ChangeContext) -> ChangeContext:
    """The same context, with the party of these sides as its actor.

    Of several sides it is the recipient, the one nearest to the person. Of several parties on the requester's side it
    is the one of the caller's organisation.
    """
    side = max(sides, key=list(Side).index)
    parties = {Side.SENDER: [referral.sender], Side.RECIPIENT: [referral.recipient]}.get(
        side, list(requesting_parties(referral))
    )
    own = (party for party in parties if party.organisation == context.actor.party.organisation)
    return replace(context, actor=replace(context.actor, party=next(own, parties[0])))


def with_referrer(after: Referral, actor: Party | None) -> Referral:
    """The referral after an act of the person's new practice for the requester: the practice stands there from now on.

    Until then the former party stays responsible, so that no referral is with a practice that does not look at it.
    """
    if actor is None or not after.practice or actor != Party(after.practice):
        return after
    sender = actor if after.sender == after.referrer else after.sender
    return replace(after, referrer=actor, sender=sender, practice="")


def build_change(
    before: Referral, after: Referral, action: str, context: ChangeContext, others: Collection[WrittenResource] = ()
) -> ReferralChange:
    """The change from one version to the next, with its notices and the resources that it writes.

    `others` are written besides the Task and the ServiceRequest; the ServiceRequest only if it differs.
    """
    after = replace(with_referrer(after, context.acting_party), changed_at=context.at, changed_by=context.event_id)
    reason = after.reason.code if after.reason else ""
    resources = [task_resource(after), *others]
    if after.version == 1 or service_request(before) != service_request(after):
        resources.insert(0, request_resource(after))
    sent = notices(action, before, after, context.acting_party)
    changed = changed_appointments(before.appointments, after.appointments)
    to_come = [each for each in upcoming(after.appointments, context.at) if each not in changed]
    return ReferralChange(action, reason, context, after, sent, tuple(resources), (*changed, *to_come))


def request_resource(referral: Referral) -> WrittenResource:
    """The ServiceRequest, to be written."""
    return WrittenResource("ServiceRequest", referral.referral_id, referral.local_id, service_request(referral))


def task_resource(referral: Referral) -> WrittenResource:
    """The Task in force, to be written."""
    return WrittenResource(
        "Task", referral.task_id, task_local_id(referral.local_id, referral.task_number), task(referral)
    )


def _allowed_transition(referral: Referral, action: Action, sides: Collection[Side]) -> Transition:
    transition = transition_for(referral.status, action, is_open=referral.is_open, kind=referral.kind)
    if transition is None:
        instead = f" {ADVICE_HINT}" if referral.is_open and referral.kind is ReferralKind.ADVICE else ""
        raise Conflict(
            f"{_status_text(referral)}: {action} is not possible. {_possible_actions_text(referral, sides)}{instead}",
            code="conflict",
        )
    if transition.sides.isdisjoint(sides):
        who, possible = " or ".join(sorted(transition.sides)), _possible_actions_text(referral, sides)
        raise Forbidden(f"Only its {who} may {action} a referral that is {referral.status}. {possible}")
    return transition


def _status_text(referral: Referral) -> str:
    return f"The referral is {referral.status}" + ("" if referral.is_open else " and has ended")


def _possible_actions_text(referral: Referral, sides: Collection[Side]) -> str:
    actions = allowed_actions(referral.status, sides, is_open=referral.is_open, kind=referral.kind)
    return f"You can: {', '.join(actions)}." if actions else "You can do nothing with it now."


def _refuse_incomplete(referral: Referral, command: Command) -> None:
    if referral.kind is ReferralKind.ADVICE:
        refuse_unfit_for_advice(referral, command)
    refuse_contradicting_word(command)
    if command.action in NEEDS_REASON and command.reason is None:
        raise Unprocessable(
            f"{command.action} needs the parameter reason: send a CodeableConcept with a code or a text.",
            code="required",
            expression="Parameters.parameter.where(name='reason')",
        )
    if command.action is Action.REDIRECT and command.recipient in (None, referral.recipient):
        raise Unprocessable(
            "redirect needs the parameter recipient: send another team (HealthcareService) than the present one.",
            code="required",
            expression="Parameters.parameter.where(name='recipient')",
        )


def _redirect(
    referral: Referral, after: Referral, command: Command, context: ChangeContext, task_ids: TaskIds
) -> tuple[Referral, tuple[WrittenResource, ...]]:
    """The referral with its new Task, and its former Task, to be written.

    A team that had accepted stays responsible until the next recipient accepts: it becomes the sender.
    """
    assert command.recipient is not None
    sender = referral.sender
    if referral.status in HELD_BY_RECIPIENT:
        sender = referral.recipient
    elif referral.status is Status.FAILED:
        sender = referral.referrer
    has_ended = referral.status in (Status.REJECTED, Status.FAILED)
    # The former Task is not open, so that it names no holder and no next actor: otherwise there would be two.
    ended = replace(
        referral,
        version=after.version,
        status=referral.status if has_ended else Status.CANCELLED,
        is_open=False,
        due_at=None,
        claimed_by="",
        reason=referral.reason if has_ended else command.reason,
        appointments=after.appointments,
        changed_at=context.at,
        changed_by=context.event_id,
    )
    number = referral.task_number + 1
    redirected = replace(
        after,
        sender=sender,
        recipient=command.recipient,
        task_number=number,
        task_id=task_ids(referral, number),
        outputs=(),
        claimed_by="",
        # A clinician who is named works in the former team.
        service_request={name: value for name, value in after.service_request.items() if name != "performer"},
    )
    return redirected, (task_resource(ended),)


# Before the referral is accepted, an appointment does not show that the team has looked at it.
_BEGIN_WITH_APPOINTMENT = (Status.ACCEPTED, Status.IN_PROGRESS)


def with_due_time(after: Referral, at: datetime, clocks: Clocks) -> Referral:
    """The referral with the time until which the next actor has to act.

    With several appointments to come it follows from the next one: its result is the first that is awaited.
    """
    if not after.is_open:
        return replace(after, due_at=None, until=None, escalated_at=None, claimed_by="")
    if after.status is Status.ON_HOLD:
        due = clocks.due_on_hold(after.kind, after.priority, after.until, at)
    elif after.status in _BEGIN_WITH_APPOINTMENT and (
        booked := upcoming_of_task(after.appointments, after.task_number, at)
    ):
        due = clocks.due_after_appointment(after.kind, after.priority, after.status, booked[0].starts_at, at)
    else:
        due = clocks.due(after.kind, after.priority, after.status, at)
    # A team that gives a referral back does not work on it any more.
    given_back = after.status in (Status.REJECTED, Status.FAILED)
    return replace(after, due_at=due, escalated_at=None, claimed_by="" if given_back else after.claimed_by)


CURRENT_TASK = "https://onestory.nhs.uk/StructureDefinition/current-task"
"""Extension on an OperationOutcome: the Task as it is now, contained."""


def stale_version(referral: Referral, task: bytes) -> PreconditionFailed:
    """The refusal of an If-Match with an older version. `task` is the Task in force as FHIR JSON, with id and meta."""
    refused = PreconditionFailed(
        f"The referral has changed since you read it: it is {referral.status} now. Read the Task in this answer, then "
        "repeat with its ETag in If-Match."
    )
    refused.headers["ETag"] = etag(referral.changed_by)
    refused.contained = (CURRENT_TASK, task)
    return refused


# Every change writes a referral again, and a Kafka message has a size limit. All fields together have to fit into one
# message, with the outputs twice: a redirection writes the former Task too.
_MAX_BYTES = {"service_request": 4_000_000, "outputs": 4_000_000}
_MAX_REASON_BYTES = 100_000


def refuse_too_large(before: Referral | None, after: Referral) -> None:
    """Raise `TooLarge` where a change makes a referral too large for its event.

    A change that adds nothing to a field always passes.
    """
    for name, limit in _MAX_BYTES.items():
        content = getattr(after, name)
        if (before is None or content is not getattr(before, name)) and len(orjson.dumps(content)) > limit:
            raise TooLarge(
                "This is too large for a referral: publish documents as DocumentReference, and reference them.",
                expression="Task.output" if name == "outputs" else "ServiceRequest",
            )
    if after.reason and len(orjson.dumps(after.reason.concept)) > _MAX_REASON_BYTES:
        raise TooLarge("Give a shorter reason, and send the rest as a message.", expression="Task.statusReason")


def with_priority(referral: Referral, priority: str, at: datetime, clocks: Clocks) -> Referral:
    """The open referral with this priority.

    A more urgent one is due as soon as if it had been sent now. A less urgent one keeps its due time, and has more time
    from the next transition on.
    """
    if priority == referral.priority or referral.due_at is None:
        return replace(referral, priority=priority)
    due = clocks.due(referral.kind, priority, referral.status, at)
    state_due = referral.state_due_at and min(referral.state_due_at, due)
    return replace(referral, priority=priority, due_at=min(referral.due_at, due), state_due_at=state_due)
