"""The events on Kafka topics, as frozen values. `schemas/avro/` defines their wire format.

All times are aware UTC datetimes with microseconds. `OrderKey` decides which of two statements is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from onestory.shared.errors import Unprocessable
from onestory.shared.identity import PersonIdentifier

REFERRAL_SYSTEM = "onestory-referral"
"""The system name in statements about referrals made in OneStory. No other source may use it."""
BOOKING_SYSTEM = "onestory-booking"
"""The system name in statements about appointments that were booked in OneStory without a referral."""

REFERENCE_RULES = 2
"""The rules by which intake resolves references today. Events of earlier rules have a smaller number."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Operation(StrEnum):
    """Whether an entry states its resource, or takes the earlier statement back."""

    ASSERT = "assert"
    RETRACT = "retract"


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a statement: the organisation's ODS code and the name of its system."""

    organisation: str
    system: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource inside an event.

    `content` is the resource's FHIR JSON as it was published, with three changes: the id is the shared id, references
    are rewritten, and `meta.versionId` and `meta.lastUpdated` are left out. It begins
    `{"resourceType":"T","id":"I","meta":{`. A retraction has None. `key_id` names the key that encrypts the content;
    None: not encrypted.
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
    """One source's statement about one person. `sequence` is None for a source that does not send it.

    `reference_rules` names the rules that resolved the references in the contents: see `REFERENCE_RULES`.
    """

    event_id: UUID
    source: Source
    person: PersonIdentifier
    sequence: int | None
    recorded_at: datetime
    published_at: datetime
    correlation_id: str
    complete_types: tuple[str, ...]
    entries: tuple[Entry, ...]
    reference_rules: int = 1


@dataclass(frozen=True, slots=True)
class DirectoryChanged:
    """One source's statement about one directory resource. It is about no person."""

    event_id: UUID
    source: Source
    sequence: int | None
    recorded_at: datetime
    published_at: datetime
    correlation_id: str
    entry: Entry
    reference_rules: int = 1


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that could not be used: the reason, its position, its bytes, and the number of attempts.

    `reason` is a code such as `not-decodable`. `explanation` is the same for a reader, without any content of the
    message. `publisher` is the ODS code of the publisher, or None when it is not known.
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
    """A request to read data of a person: the caller, the purpose, the decision and its reason.

    `interaction` is the FHIR interaction or operation (`read`, `search-type`, `$everything`). `resource_types` are the
    requested types. `visibility` is the part of the record that the caller could see: `all`, `own` or `none`.
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
    """A person's whole summary, sent when its content has changed. It is unfiltered: for use inside the deployment.

    `position` is the position token of the latest statement in it, or empty. Two summaries with equal content have the
    same `digest`. `changed` holds the LOINC codes of the changed sections, and `patient` when the demographics changed.
    From `valid_until` on the content may change without a new statement; None: it does not. `document` is an IPS 2.0
    document Bundle as FHIR JSON.
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
    """A party of a referral: an organisation (ODS code) and its team (directory id), empty for the organisation."""

    organisation: str
    team: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change: party, user (`sub` of the token) and role. The subject is `clock` for a passed limit."""

    party: Party
    subject: str
    role: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about a change of a referral, to `party`; None: to the person.

    `recipient` is the party's part in the referral: `requester`, `recipient`, `holder`, `person` or `escalation`.
    `reason` is a code such as `referral-rejected`.
    """

    recipient: str
    party: Party | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReferralChanged:
    """A change of a person's referral. The greater `version` is newer; the first one is 1.

    `referral_id` is the shared id of the ServiceRequest, and `task_id` that of the current Task. `action` is the
    command (`request`, `accept`, ...). `reason` is its code, or empty. `status` and `business_status` are those of the
    Task. The `holder` is clinically responsible, and the `next_actor` must act by `due_at`. All three are None when the
    referral has ended (`is_open` is false). `entries` are the resources that the change wrote. `based_on` is the
    referral that this one continues (empty: none). `carried` are the resources that the actor sends with the change.
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
    based_on: str = ""
    carried: tuple[str, ...] = ()


Event = RecordChanged | DirectoryChanged | Parked | AccessRecorded | SummaryChanged | ReferralChanged


class OrderKey(NamedTuple):
    """Orders statements: the greater key is newer (design section 6). No two events have the same key.

    It compares as a tuple. PostgreSQL compares (rank, published_at, event_id) in the same way.
    """

    rank: int
    published_at: datetime
    event_id: UUID


def rank_of(sequence: int | None, recorded_at: datetime) -> int:
    """Return the sequence, or `recorded_at` in microseconds since 1970 for a source without a sequence."""
    if sequence is not None:
        return sequence
    elapsed = recorded_at - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


@dataclass(frozen=True, slots=True)
class ConsumedMessage:
    """One message. `event` is the decoded event, or the reason why the bytes cannot be decoded.

    `broker_time` is the greatest LogAppendTime of the partition up to this message. So it never goes backwards, and it
    is the same on every rebuild. `key`, `value` and `headers` are the bytes that Kafka stores.
    """

    topic: str
    partition: int
    offset: int
    broker_time: datetime
    key: bytes | None
    value: bytes
    event: Event | Unprocessable
    headers: Sequence[tuple[str, bytes]] = ()
