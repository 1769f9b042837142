"""What somebody wants to be done to a referral, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from onestory.referral.domain.machine import Action
from onestory.referral.domain.referral import Json, Reason, Referral
from onestory.shared.events import Actor, Notice, Party

CLOCK = "clock"
"""Who acts where nobody did: time itself, or what another source said."""


@dataclass(frozen=True, slots=True)
class Doing:
    """One change of a referral as it happens: by whom, when, under which event id."""

    event_id: UUID
    actor: Actor
    at: datetime
    correlation_id: str

    @property
    def by(self) -> Party | None:
        """Whose act it is; None where nobody acted."""
        return None if self.actor.subject == CLOCK else self.actor.party


@dataclass(frozen=True, slots=True)
class Command:
    """An action, and what is said with it.

    `business_status` is a word of e-RS, empty for the one that goes with the action. `outputs` come to Task.output.
    `recipient` is the team that a redirection goes to. `until` is when a hold shall end, or when an
    appointment is.
    """

    action: Action
    reason: Reason | None = None
    business_status: str = ""
    outputs: tuple[Json, ...] = ()
    recipient: Party | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A resource that a change writes: FHIR JSON without id and meta."""

    resource_type: str
    shared_id: str
    local_id: str
    body: Json


@dataclass(frozen=True, slots=True)
class Changed:
    """A change: what was done (`action`: an `Action`, or another word), how, the referral after it, who is told, and
    the resources as they are now.
    """

    action: str
    reason: str
    doing: Doing
    referral: Referral
    notices: tuple[Notice, ...]
    written: tuple[Written, ...]
