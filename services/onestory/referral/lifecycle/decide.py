"""What becomes of a referral when somebody does something to it. Pure: the same in, the same out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime

import orjson

from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle import machine
from onestory.referral.lifecycle.machine import (
    NEEDS_REASON,
    Action,
    Command,
    Doing,
    ReferralChange,
    Side,
    Transition,
    Written,
    allowed,
    is_end,
    step,
)
from onestory.referral.lifecycle.model import HELD_BY_RECIPIENT, Referral, ReferralKind, Status
from onestory.referral.lifecycle.render import service_request, task
from onestory.referral.notices.domain import notices
from onestory.shared.errors import Conflict, Forbidden, PreconditionFailed, TooLarge, Unprocessable

E_RS_WORDS = (
    "APPT_CANCELLED_BY_PATIENT",
    "APPT_CANCELLED_BY_PROVIDER",
    "ASSESSMENT_RESULT",
    "AWAITING_TRIAGE",
    "BOOKED",
    "CANCELLED_REFERRAL",
    "DEFERRED_TO_PROVIDER",
    "DID_NOT_ATTEND",
    "NOT_BOOKED",
    "REJECTED",
    "TRIAGE_RESPONSE",
)
"""Task.businessStatus of a referral (e-RS)."""

_WORDS = {
    Action.REQUEST: "AWAITING_TRIAGE",
    Action.RECEIVE: "AWAITING_TRIAGE",
    Action.ACCEPT: "NOT_BOOKED",
    Action.REJECT: "REJECTED",
    Action.HOLD: "DEFERRED_TO_PROVIDER",
    Action.BOOK: "BOOKED",
    Action.CANCEL: "CANCELLED_REFERRAL",
    Action.REDIRECT: "AWAITING_TRIAGE",
    Action.CORRECT: "CANCELLED_REFERRAL",
}


TaskIds = Callable[[Referral, int], str]
"""The shared id of a referral's Task of this number."""


def decide(
    referral: Referral, command: Command, sides: Collection[Side], doing: Doing, clocks: Clocks, task_ids: TaskIds
) -> ReferralChange:
    """The change that the command makes, by somebody who stands on these sides.

    Raises `Forbidden` for who may not, `Conflict` for what this state does not allow, `Unprocessable` for what a
    command lacks.
    """
    found = _step(referral, command.action, sides)
    _refuse_unfit(referral, command)
    doing, to = acting(referral, found.sides.intersection(sides), doing), found.to
    after = replace(
        referral,
        version=referral.version + 1,
        status=to,
        is_open=referral.is_open and not is_end(to) and command.action is not Action.CANCEL,
        business_status=command.business_status or _word(referral, command.action),
        reason=command.reason,
        outputs=(*referral.outputs, *command.outputs),
        until=command.until if command.action in (Action.HOLD, Action.BOOK) else None,
        acts_next="",
        question_id="",
        state_due_at=None,
        sent_at=doing.at if command.action is Action.REQUEST else referral.sent_at,
    )
    former: tuple[Written, ...] = ()
    if command.action is Action.REDIRECT:
        after, former = _redirected(referral, after, command, doing, task_ids)
    return finish(referral, timed(after, doing.at, clocks), command.action, doing, former)


def acting(referral: Referral, sides: Collection[Side], doing: Doing) -> Doing:
    """The same, done for the party on these sides: of several for the recipient, who is nearest to the person."""
    side = max(sides, key=list(Side).index)
    party = {Side.REQUESTER: referral.requester, Side.SENDER: referral.sender, Side.RECIPIENT: referral.recipient}[side]
    return replace(doing, actor=replace(doing.actor, party=party))


def finish(
    before: Referral, after: Referral, action: str, doing: Doing, also: Collection[Written] = ()
) -> ReferralChange:
    """The change from one to the other: who is told of it, and what it writes."""
    after = replace(after, changed_at=doing.at, changed_by=doing.event_id)
    reason = after.reason.code if after.reason else ""
    written = [written_task(after), *also]
    if after.version == 1 or service_request(before) != service_request(after):
        written.insert(0, written_request(after))
    told = notices(action, before, after, doing.by)
    return ReferralChange(action, reason, doing, after, told, tuple(written))


def written_request(referral: Referral) -> Written:
    """The ServiceRequest as it is to be written."""
    return Written("ServiceRequest", referral.referral_id, referral.local_id, service_request(referral))


def written_task(referral: Referral) -> Written:
    """The Task in force as it is to be written."""
    return Written("Task", referral.task_id, task_local_id(referral.local_id, referral.task_number), task(referral))


def task_local_id(local_id: str, number: int) -> str:
    """What a referral's Task is called within its requester's organisation."""
    return f"{local_id}-{number}"


def _step(referral: Referral, action: Action, sides: Collection[Side]) -> Transition:
    found = step(referral.status, action, is_open=referral.is_open, kind=referral.kind)
    if found is None:
        instead = f" {machine.INSTEAD}" if referral.is_open and referral.kind is ReferralKind.ADVICE else ""
        raise Conflict(
            f"{_standing(referral)}: {action} is not possible. {_possible(referral, sides)}{instead}", code="conflict"
        )
    if found.sides.isdisjoint(sides):
        who = " or ".join(sorted(found.sides))
        raise Forbidden(
            f"Only its {who} may {action} a referral that is {referral.status}. {_possible(referral, sides)}"
        )
    return found


def _standing(referral: Referral) -> str:
    return f"The referral is {referral.status}" + ("" if referral.is_open else " and has ended")


def _possible(referral: Referral, sides: Collection[Side]) -> str:
    actions = allowed(referral.status, sides, is_open=referral.is_open, kind=referral.kind)
    return f"You can: {', '.join(actions)}." if actions else "There is nothing that you can do to it now."


def _word(referral: Referral, action: Action) -> str:
    words = machine.WORDS if referral.kind is ReferralKind.ADVICE else _WORDS
    return words.get(action, referral.business_status)


def _refuse_unfit(referral: Referral, command: Command) -> None:
    if referral.kind is ReferralKind.ADVICE:
        machine.refuse_unfit(referral, command)
    if command.action in NEEDS_REASON and command.reason is None:
        raise Unprocessable(
            f"Say why: {command.action} needs the parameter reason, a CodeableConcept with a code or text.",
            code="required",
            expression="Parameters.parameter.where(name='reason')",
        )
    if command.business_status and command.business_status not in E_RS_WORDS:
        raise Unprocessable(
            f"businessStatus is one of {', '.join(E_RS_WORDS)}.",
            code="code-invalid",
            expression="Parameters.parameter.where(name='businessStatus')",
        )
    if command.action is Action.REDIRECT and command.recipient in (None, referral.recipient):
        raise Unprocessable(
            "Say to whom: redirect needs the parameter recipient, another team (HealthcareService) than the present.",
            code="required",
            expression="Parameters.parameter.where(name='recipient')",
        )


def _redirected(
    referral: Referral, after: Referral, command: Command, doing: Doing, task_ids: TaskIds
) -> tuple[Referral, tuple[Written, ...]]:
    """The referral with its next Task, and the Task that ends with it.

    Who had accepted stays responsible until the next recipient accepts: it becomes the sender.
    """
    assert command.recipient is not None
    sender = referral.sender
    if referral.status in HELD_BY_RECIPIENT:
        sender = referral.recipient
    elif referral.status is Status.FAILED:
        sender = referral.requester
    still = referral.status in (Status.REJECTED, Status.FAILED)
    # The referral goes on with the next Task: this one names no holder and nobody to act, or there would be two.
    ended = replace(
        referral,
        version=after.version,
        status=referral.status if still else Status.CANCELLED,
        is_open=False,
        due_at=None,
        claimed_by="",
        reason=referral.reason if still else command.reason,
        changed_at=doing.at,
        changed_by=doing.event_id,
    )
    number = referral.task_number + 1
    begun = replace(
        after,
        sender=sender,
        recipient=command.recipient,
        task_number=number,
        task_id=task_ids(referral, number),
        outputs=(),
        claimed_by="",
    )
    return begun, (written_task(ended),)


def timed(after: Referral, at: datetime, clocks: Clocks) -> Referral:
    """With the time by which the next actor has to act."""
    if not after.is_open:
        return replace(after, due_at=None, until=None, escalated_at=None, claimed_by="")
    if after.status is Status.ON_HOLD:
        due = clocks.review(after.kind, after.priority, after.until, at)
    elif after.until is not None:
        due = clocks.seen(after.kind, after.priority, after.status, after.until, at)
    else:
        due = clocks.due(after.kind, after.priority, after.status, at)
    # Whoever gives it back does not work on it any more.
    given_back = after.status in (Status.REJECTED, Status.FAILED)
    return replace(after, due_at=due, escalated_at=None, claimed_by="" if given_back else after.claimed_by)


# What is said to somebody who knows an earlier version: what stands now.

CURRENT_TASK = "https://onestory.nhs.uk/StructureDefinition/current-task"
"""Extension on an OperationOutcome: the Task as it is now, contained."""


def stale(referral: Referral, task: bytes) -> PreconditionFailed:
    """If-Match names another version than the one that stands. `task` is the Task in force, as it is read."""
    refused = PreconditionFailed(
        f"It has been changed since you read it: it is {referral.status} now. Look at the Task in this answer, then "
        "repeat with its ETag in If-Match."
    )
    refused.headers["ETag"] = f'W/"{referral.changed_by}"'
    refused.contained = (CURRENT_TASK, task)
    return refused


# How much a referral may carry: each change of it writes it anew, and Kafka takes no message without a limit.

# Together they have to fit into one message, the outputs twice: a redirection writes the former Task too.
_MOST = {"service_request": 4_000_000, "outputs": 4_000_000}
_LONGEST_REASON = 100_000


def refuse_too_large(before: Referral | None, after: Referral) -> None:
    """Raise `TooLarge` where a referral grows beyond what can be told of it. What adds nothing is always possible."""
    for name, most in _MOST.items():
        said = getattr(after, name)
        if (before is None or said is not getattr(before, name)) and len(orjson.dumps(said)) > most:
            raise TooLarge(
                "This is more than travels with a referral: publish documents as DocumentReference, and refer to them.",
                expression="Task.output" if name == "outputs" else "ServiceRequest",
            )
    if after.reason and len(orjson.dumps(after.reason.concept)) > _LONGEST_REASON:
        raise TooLarge("Give a shorter reason, and send the rest as a message.", expression="Task.statusReason")


# What changes when a referral that waits turns out to be more, or less, urgent than it was said to be.


def with_priority(referral: Referral, priority: str, at: datetime, clocks: Clocks) -> Referral:
    """The open referral with this priority. What is more urgent is due as soon as if it had come now; what is less so
    keeps its time, and has more from the next step on.
    """
    if priority == referral.priority or referral.due_at is None:
        return replace(referral, priority=priority)
    due = clocks.due(referral.kind, priority, referral.status, at)
    beneath = referral.state_due_at and min(referral.state_due_at, due)
    return replace(referral, priority=priority, due_at=min(referral.due_at, due), state_due_at=beneath)
