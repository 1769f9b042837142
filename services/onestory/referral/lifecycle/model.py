"""A referral, a command that changes it, and the change that results. Pure values, without any rule.

A referral is one ServiceRequest (http://hl7.org/fhir/R4/servicerequest.html) and one Task for each recipient
(http://hl7.org/fhir/R4/task.html); one of these Tasks is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from onestory.referral.appointments.model import Appointments
from onestory.shared.events import Actor, Notice, Party
from onestory.shared.identity import PersonIdentifier

Json = Mapping[str, Any]


class ReferralKind(StrEnum):
    """The kind of request: care, a second assessment before the person is sent on (BaRS validation), or advice."""

    REFERRAL = "referral"
    VALIDATION = "validation"
    ADVICE = "advice"


class Status(StrEnum):
    """Task.status, as closed-loop guides use it (http://hl7.org/fhir/R4/valueset-task-status.html)."""

    DRAFT = "draft"
    REQUESTED = "requested"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    IN_PROGRESS = "in-progress"
    ON_HOLD = "on-hold"
    REJECTED = "rejected"
    FAILED = "failed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ENTERED_IN_ERROR = "entered-in-error"


HELD_BY_RECIPIENT = frozenset({Status.ACCEPTED, Status.IN_PROGRESS, Status.ON_HOLD})
ENDED = frozenset({Status.COMPLETED, Status.CANCELLED, Status.ENTERED_IN_ERROR})
"""The referral ends together with a Task that has one of these."""


class Side(StrEnum):
    """A side of a referral. The sender is the requester, or a former holder who passed the referral on."""

    REQUESTER = "requester"
    SENDER = "sender"
    RECIPIENT = "recipient"


class Action(StrEnum):
    """An action on a referral. Each one is a FHIR operation on its Task, with the same name."""

    REQUEST = "request"
    RECEIVE = "receive"
    ACCEPT = "accept"
    REJECT = "reject"
    START = "start"
    HOLD = "hold"
    RESUME = "resume"
    BOOK = "book"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REDIRECT = "redirect"
    CORRECT = "correct"


@dataclass(frozen=True, slots=True)
class Reason:
    """The reason of a change: its code (empty where none was given), and the CodeableConcept as it was sent."""

    code: str
    concept: Json


@dataclass(frozen=True, slots=True)
class Referral:
    """One version of a referral: its ServiceRequest and its Task in force.

    - `local_id`: its local id, within the requester's organisation.
    - `task_number`: the number of its Task in force, from 1; each recipient has a Task.
    - `is_open`: it still has a holder.
    - `sender`: the party that asked the present recipient: the requester, or a former holder who passed it on.
    - `referrer`: the party that stands on the requester's side now: the requester, or a later practice of the person
      that has acted for it. The requester itself never changes: the ids of the resources follow from it.
    - `practice`: the practice (ODS code) where the person has registered since; it may act for the requester, and
      becomes the referrer when it does. Empty: none.
    - `based_on`: the id of the referral that this one continues, because its holder has referred on; empty: none.
    - `group_id`: the same for the referrals of one request to several teams: one acceptance ends the others. Empty: the
      request went to one team.
    - `service_request`: what is requested, as FHIR JSON without id, meta and status.
    - `changed_by`: the id of the event that made this version; it is the version id of its resources.
    - `due_at`: the time until which the next actor has to act.
    - `until`: the planned end of a hold.
    - `outputs`: Task.output.
    - `appointments`: its appointments, also those that are over or cancelled, in the order of their time.
    - `acts_next`: the side that has to act because of the conversation; empty: the status decides.
    - `question_id`: the id of the message with the open question; empty: none.
    - `state_due_at`: while a question is open, the due time that the status alone would give.
    - `claimed_by`: the user (`sub`) of the recipient who works on it; empty: nobody.
    """

    person: PersonIdentifier
    person_key: str
    local_id: str
    referral_id: str
    task_id: str
    task_number: int
    version: int
    kind: ReferralKind
    priority: str
    status: Status
    business_status: str
    is_open: bool
    requester: Party
    requester_subject: str
    sender: Party
    referrer: Party
    recipient: Party
    service_request: Json
    correlation_id: str
    created_at: datetime
    changed_at: datetime
    changed_by: UUID
    sent_at: datetime | None = None
    due_at: datetime | None = None
    until: datetime | None = None
    escalated_at: datetime | None = None
    reason: Reason | None = None
    outputs: tuple[Json, ...] = ()
    acts_next: str = ""
    question_id: str = ""
    state_due_at: datetime | None = None
    claimed_by: str = ""
    appointments: Appointments = ()
    practice: str = ""
    based_on: str = ""
    group_id: str = ""

    @property
    def holder(self) -> Party | None:
        """The party that is clinically responsible: exactly one while the referral is open, None after its end."""
        if not self.is_open:
            return None
        if self.kind is ReferralKind.ADVICE:
            # A team that advises does not take over.
            return self.referrer
        if self.status in HELD_BY_RECIPIENT:
            return self.recipient
        return self.referrer if self.status is Status.FAILED else self.sender

    @property
    def next_actor(self) -> Party | None:
        """The party that has to act by `due_at`; None after its end."""
        if not self.is_open:
            return None
        if self.acts_next:
            return {"requester": self.referrer, "sender": self.sender, "recipient": self.recipient}[self.acts_next]
        if self.status in (Status.DRAFT, Status.REJECTED, Status.FAILED):
            return self.holder
        return self.recipient


class PartyFields(Protocol):
    """The fields of a referral that decide who its parties are."""

    @property
    def requester(self) -> Party: ...
    @property
    def sender(self) -> Party: ...
    @property
    def referrer(self) -> Party: ...
    @property
    def practice(self) -> str: ...
    @property
    def recipient(self) -> Party: ...
    @property
    def sent_at(self) -> datetime | None: ...


def requesting_parties(referral: PartyFields) -> tuple[Party, ...]:
    """The parties that may act on the requester's side, each once: the one that stands there now comes first."""
    practices = [Party(referral.practice)] if referral.practice else []
    return tuple(dict.fromkeys((referral.referrer, referral.requester, *practices)))


def request_status(referral: Referral) -> str:
    """ServiceRequest.status (http://hl7.org/fhir/R4/valueset-request-status.html) for each status of the Task.

    A rejected or failed Task leaves the request active. The person still needs what was requested, until the holder
    has found another recipient or has closed it.
    """
    match referral.status:
        case Status.DRAFT | Status.ON_HOLD | Status.COMPLETED | Status.ENTERED_IN_ERROR:
            return str(referral.status)
        case Status.CANCELLED:
            return "revoked"
        case _:
            return "active" if referral.is_open else "revoked"


def task_local_id(local_id: str, number: int) -> str:
    """The local id of a referral's Task with this number, within the requester's organisation."""
    return f"{local_id}-{number}"


def message_local_id(referral: Referral, version: int) -> str:
    """The local id of the message that made this version of a referral, within the requester's organisation."""
    return f"{referral.local_id}-message-{version}"


@dataclass(frozen=True, slots=True)
class Command:
    """An action, and the parameters that were sent with it.

    - `business_status`: an e-RS code; empty: the one that goes with the action.
    - `outputs`: added to Task.output.
    - `recipient`: the new team, for a redirection.
    - `until`: the planned end of a hold.
    - `starts_at`: the time of an appointment.
    - `appointment_id`: the appointment to move or to end; empty: a new one, or the only one.
    - `appointments`: what becomes of the appointments to come, `keep` or `cancel`; empty: it was not said.
    """

    action: Action
    reason: Reason | None = None
    business_status: str = ""
    outputs: tuple[Json, ...] = ()
    recipient: Party | None = None
    until: datetime | None = None
    starts_at: datetime | None = None
    appointment_id: str = ""
    appointments: str = ""


CLOCK_SUBJECT = "clock"
"""The subject of a change that no user made: a clock ran out, or another source stated something about the person."""


@dataclass(frozen=True, slots=True)
class ChangeContext:
    """The circumstances of one change: the id of its event, the actor, and the time."""

    event_id: UUID
    actor: Actor
    at: datetime
    correlation_id: str

    @property
    def acting_party(self) -> Party | None:
        """The party that makes the change; None for a change that no user made."""
        return None if self.actor.subject == CLOCK_SUBJECT else self.actor.party


@dataclass(frozen=True, slots=True)
class WrittenResource:
    """A resource that a change writes. `body` is FHIR JSON without id and meta."""

    resource_type: str
    shared_id: str
    local_id: str
    body: Json


@dataclass(frozen=True, slots=True)
class ReferralChange:
    """One change of a referral.

    - `action`: an `Action`, or another word, such as `escalate`.
    - `reason`: the code of its reason; empty: none.
    - `referral`: the referral after the change.
    - `resources`: the resources that the change writes.
    - `appointments`: the appointments that it has changed, and those to come.
    - `carried`: the shared ids of other resources that came with it, which the other parties may read.
    """

    action: str
    reason: str
    context: ChangeContext
    referral: Referral
    notices: tuple[Notice, ...]
    resources: tuple[WrittenResource, ...]
    appointments: Appointments = ()
    carried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferralParties:
    """The parties of a referral, and what the id of a converted referral follows from. It has no content."""

    referral_id: str
    person: PersonIdentifier
    local_id: str
    business_status: str
    sent_at: datetime | None
    requester: Party
    sender: Party
    referrer: Party
    recipient: Party
    practice: str
    based_on: str
    status: Status
    is_open: bool
