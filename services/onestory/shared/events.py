"""The vocabulary: what happened, as frozen values. `schemas/avro/` holds the same, as the contract on the wire.

All times are aware UTC datetimes with microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from onestory.shared.identity import PersonIdentifier

REFERRAL_SYSTEM = "onestory-referral"
"""The system that referrals made here are said by; no other may take its name."""
BOOKING_SYSTEM = "onestory-booking"
"""The same of appointments that were booked here for no referral."""


class Operation(StrEnum):
    """What an entry says of its resource: it is so, or it is no longer said."""

    ASSERT = "assert"
    RETRACT = "retract"


@dataclass(frozen=True, slots=True)
class Source:
    """Who says it: the organisation's ODS code and the name of its system."""

    organisation: str
    system: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource of a statement.

    `content` is the resource's FHIR JSON as it was published, apart from its id (the shared id), rewritten references
    and `meta.versionId` / `meta.lastUpdated` (left out); it begins `{"resourceType":"T","id":"I","meta":{`. None when
    the operation is a retraction. `key_id` names the key that the content is encrypted with; None: not encrypted.
    """

    resource_type: str
    local_id: str
    shared_id: str
    recorded_at: datetime
    operation: Operation
    content: bytes | None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordChanged:
    """One source's statement about one person. `sequence` is there for sources that always send it."""

    event_id: UUID
    source: Source
    person: PersonIdentifier
    sequence: int | None
    recorded_at: datetime
    published_at: datetime
    correlation_id: str
    complete_types: tuple[str, ...]
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class DirectoryChanged:
    """One source's statement about one resource of the directory, about no person."""

    event_id: UUID
    source: Source
    sequence: int | None
    recorded_at: datetime
    published_at: datetime
    correlation_id: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that could not be used: why, where it stood, its bytes (key and value), how often it was tried.

    `reason` is a code such as `not-decodable`; `explanation` says it to a person and holds nothing of the content.
    `publisher` is the organisation, where it is known.
    """

    parked_id: UUID
    reason: str
    explanation: str
    topic: str
    partition: int
    offset: int
    publisher: str | None
    key: bytes | None
    value: bytes
    attempts: int
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class AccessRecorded:
    """Somebody asked to read of a person: who, in which role, what for, the decision and its reason.

    `interaction` is the FHIR interaction or operation (`read`, `search-type`, `$everything`); `resource_types` is what
    was asked for. `visibility` is what the caller could see: `all`, `own` or `none`.
    """

    access_id: UUID
    person_key: str
    occurred_at: datetime
    organisation: str
    subject: str
    role: str
    purpose: str
    interaction: str
    resource_types: tuple[str, ...]
    visibility: str
    reason: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class SummaryChanged:
    """A person's whole summary, because it says something else than before. Unfiltered: for the deployment's own use.

    `position` is a position token of the latest statement that it follows from, empty where there is none. `digest` is
    the same where two summaries say the same. `changed` are the LOINC codes of the sections that say something else
    than in the summary before, and `patient` for who it is. From `valid_until` on it may say something else though
    nothing new was said; None: never. `document` is an IPS 2.0 document Bundle as FHIR JSON.
    """

    event_id: UUID
    person: PersonIdentifier
    position: str
    digest: str
    changed: tuple[str, ...]
    summarised_at: datetime
    valid_until: datetime | None
    document: bytes


@dataclass(frozen=True, slots=True)
class Party:
    """Who takes part in a referral: an organisation (ODS code), and its team (directory id), where one is named."""

    organisation: str
    team: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: for which party, as which user (`sub` of the token) in which role; `clock` where nobody did."""

    party: Party
    subject: str
    role: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody is to be told: who (`party`; None: the person), as what (`requester`, `recipient`, `holder`, `person`,
    `escalation`), and of what (`reason`, a code such as `referral-rejected`).
    """

    recipient: str
    party: Party | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReferralChanged:
    """A referral of a person was changed. What has the greater `version` is newer; the first is 1.

    `referral_id` is the shared id of the ServiceRequest, `task_id` that of the Task that is in force. `action` is what
    was done (`request`, `accept`, ...), `reason` its code, empty where none was given. `status` and `business_status`
    are those of the Task. `holder` is clinically responsible, `next_actor` has to act by `due_at`; all three are None
    once the referral has ended (`is_open` is false). `entries` are the resources that the change wrote.
    """

    event_id: UUID
    person: PersonIdentifier
    referral_id: str
    task_id: str
    version: int
    kind: str
    priority: str
    action: str
    reason: str
    actor: Actor
    status: str
    business_status: str
    is_open: bool
    requester: Party
    recipient: Party
    holder: Party | None
    next_actor: Party | None
    due_at: datetime | None
    occurred_at: datetime
    correlation_id: str
    notices: tuple[Notice, ...]
    entries: tuple[Entry, ...]


Event = RecordChanged | DirectoryChanged | Parked | AccessRecorded | SummaryChanged | ReferralChanged


# Which of two statements is newer (design section 6): sequence or recorded_at, then published_at, then event id.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OrderKey(NamedTuple):
    """Compares as a tuple; no two events have the same. PostgreSQL compares (rank, published_at, event_id) alike."""

    rank: int
    published_at: datetime
    event_id: UUID


def rank_of(sequence: int | None, recorded_at: datetime) -> int:
    """The sequence, where the source declares one, else `recorded_at` in microseconds since 1970."""
    if sequence is not None:
        return sequence
    since = recorded_at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
