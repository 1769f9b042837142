"""A change of a referral, as the record has it: a statement of who made the referral, and how the referral stands."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.shared.events import REFERRAL_SYSTEM, RecordChanged, ReferralChanged, Source

# What is called off or marked as a mistake may never have been sent.
_UNSENT = {"draft", "cancelled", "entered-in-error"}
_WITH_RECIPIENT = {"requested", "received", "accepted", "in-progress", "on-hold"}


class ReferralRow(NamedTuple):
    """A row of `referral`, as one change leaves it. `recipient` and `holder` are organisations; `holder` None: nobody.

    The greatest (version, event_id) of a referral decides how it stands.
    """

    person_key: str
    referral_id: str
    version: int
    event_id: UUID
    requester: str
    recipient: str
    holder: str | None
    status: str
    is_open: bool
    task_id: str
    occurred_at: datetime
    broker_time: datetime

    @property
    def is_sent(self) -> bool:
        """Whether the referral has left its author, by this change or before, as far as this change tells."""
        return self.status not in _UNSENT


class Sent(NamedTuple):
    """A row of `referral_sent`: the change by which a referral left its author, with the least (version, event_id)."""

    person_key: str
    referral_id: str
    version: int
    event_id: UUID
    sent_at: datetime
    broker_time: datetime


class InForce(NamedTuple):
    """A row of `referral_task`: a Task that was in force once, and its referral."""

    person_key: str
    task_id: str
    referral_id: str


def stated(event: ReferralChanged) -> RecordChanged:
    """What a change says of the person: a statement of the requester, by a system that numbers each referral's own."""
    return RecordChanged(
        event_id=event.event_id,
        source=Source(event.requester.organisation, REFERRAL_SYSTEM),
        person=event.person,
        sequence=event.version,
        recorded_at=event.occurred_at,
        published_at=event.occurred_at,
        correlation_id=event.correlation_id,
        complete_types=(),
        entries=event.entries,
    )


def beside_statement(event: ReferralChanged) -> list[str]:
    """What a change says that its statement does not: with other words of it, the same event id is another event."""
    names = [event.referral_id, event.task_id, event.status, str(event.is_open), event.recipient.organisation]
    return [*names, event.holder.organisation if event.holder else ""]


def changed(event: ReferralChanged, person_key: str, broker_time: datetime) -> ReferralRow:
    """How the referral stands after a change that Kafka had at this time."""
    return ReferralRow(
        person_key=person_key,
        referral_id=event.referral_id,
        version=event.version,
        event_id=event.event_id,
        requester=event.requester.organisation,
        recipient=event.recipient.organisation,
        holder=event.holder.organisation if event.holder else None,
        status=event.status,
        is_open=event.is_open,
        task_id=event.task_id,
        occurred_at=event.occurred_at,
        broker_time=broker_time,
    )


def hands(recipient: str, holder: str | None, status: str) -> frozenset[str]:
    """The organisations that have a referral in their hands: who holds it, and to whom it has come.

    A draft has come to nobody, and who rejects a referral or fails with it has given it back.
    """
    held = {holder} if holder else set()
    return frozenset(held | {recipient} if status in _WITH_RECIPIENT else held)


def latest(of: Collection[ReferralRow]) -> list[ReferralRow]:
    """Of each referral, the change that decides how it stands."""
    found = {(each.person_key, each.referral_id): each for each in sorted(of, key=lambda each: each[:4])}
    return list(found.values())


def sent(of: Collection[ReferralRow]) -> list[Sent]:
    """Of each referral that was sent, the change that did it; of its copies, the one that Kafka had first."""
    found: dict[tuple[str, str], Sent] = {}
    for each in sorted(of, key=lambda each: (*each[:4], each.broker_time)):
        if each.is_sent:
            found.setdefault((each.person_key, each.referral_id), Sent(*each[:4], each.occurred_at, each.broker_time))
    return list(found.values())


def in_force(of: Collection[ReferralRow]) -> list[InForce]:
    """The Tasks that these changes name, each with its referral."""
    return sorted({InForce(each.person_key, each.task_id, each.referral_id) for each in of})
