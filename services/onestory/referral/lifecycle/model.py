"""A referral as it stands: who asked whom, who holds it, who acts next and until when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from onestory.shared.events import Party
from onestory.shared.identity import PersonIdentifier

Json = Mapping[str, Any]


class ReferralKind(StrEnum):
    """What is asked for: care, a second look before anybody is sent (BaRS), or advice."""

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


BEFORE_ACCEPTANCE = frozenset({Status.DRAFT, Status.REQUESTED, Status.RECEIVED})
HELD_BY_RECIPIENT = frozenset({Status.ACCEPTED, Status.IN_PROGRESS, Status.ON_HOLD})
ENDED = frozenset({Status.COMPLETED, Status.CANCELLED, Status.ENTERED_IN_ERROR})


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a code for machines (empty where none was given), and the CodeableConcept that was said."""

    code: str
    concept: Json


@dataclass(frozen=True, slots=True)
class Referral:
    """One ServiceRequest and the Task of it that is in force.

    `local_id` names it within its requester's organisation. `task_number` counts its Tasks: each recipient has one.
    `sender` is who asked the present recipient: the requester, or a former holder who passed it on. `service_request`
    is what was asked for, as FHIR JSON without id, meta and status. `outputs` are Task.output. `is_open`: somebody
    holds it still. `acts_next` is a side that has to act though the status would say another one (a conversation).
    While a question waits, `question_id` is the message that asks it, and `state_due_at` until when the state itself
    gives time. `claimed_by` is the user (`sub`) of the recipient who works on it. `due_at` is until when the next
    actor acts; `until` when a hold shall end, or the appointment is. `changed_by` is the event of the last change, and
    its version id.
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

    @property
    def holder(self) -> Party | None:
        """Who is clinically responsible. Never two, and never nobody while it is open."""
        if not self.is_open:
            return None
        if self.kind is ReferralKind.ADVICE:
            # Who advises does not take over.
            return self.requester
        if self.status in HELD_BY_RECIPIENT:
            return self.recipient
        return self.requester if self.status is Status.FAILED else self.sender

    @property
    def next_actor(self) -> Party | None:
        """Who has to act by `due_at`."""
        if not self.is_open:
            return None
        if self.acts_next:
            return {"requester": self.requester, "sender": self.sender, "recipient": self.recipient}[self.acts_next]
        if self.status in (Status.DRAFT, Status.REJECTED, Status.FAILED):
            return self.holder
        return self.recipient


def request_status(referral: Referral) -> str:
    """ServiceRequest.status (http://hl7.org/fhir/R4/valueset-request-status.html) for each state of the Task.

    A rejected or failed Task leaves the request active: the person still needs what was asked for, until the holder
    has found another recipient or has closed it.
    """
    match referral.status:
        case Status.DRAFT | Status.ON_HOLD | Status.COMPLETED | Status.ENTERED_IN_ERROR:
            return str(referral.status)
        case Status.CANCELLED:
            return "revoked"
        case _:
            return "active" if referral.is_open else "revoked"
