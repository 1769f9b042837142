"""A change of a referral, as the record sees it: a statement by the requester, and the referral's new state. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.shared.events import REFERRAL_SYSTEM, RecordChanged, ReferralChanged, Source


class ReferralRow(NamedTuple):
    """A row of `referral`: its state after one change.

    `requester`, `recipient` and `holder` are ODS codes; `holder` is None when no organisation is clinically
    responsible. `based_on` is the referral that it continues; empty: none. `carried` are (shared id, ODS code) of what
    an organisation has sent with the change. The change with the greatest (version, event_id) is the current state.
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
    based_on: str
    task_id: str
    occurred_at: datetime
    broker_time: datetime
    carried: tuple[tuple[str, str], ...] = ()

    @property
    def is_sent(self) -> bool:
        """Whether this change, or one before it, has sent the referral, as far as this change shows."""
        return self.status not in _UNSENT_STATUSES


class ReferralSentRow(NamedTuple):
    """A row of `referral_sent`: the change that sent a referral, the one with the least (version, event_id)."""

    person_key: str
    referral_id: str
    version: int
    event_id: UUID
    sent_at: datetime
    broker_time: datetime


class ReferralTaskRow(NamedTuple):
    """A row of `referral_task`: a Task that is or was in force, and its referral."""

    person_key: str
    task_id: str
    referral_id: str


class ReferralCarriedRow(NamedTuple):
    """A row of `referral_carried`: a resource that an organisation has sent to the other parties of a referral."""

    person_key: str
    referral_id: str
    shared_id: str
    organisation: str


# A referral that was cancelled, or entered in error, may never have been sent.
_UNSENT_STATUSES = {"draft", "cancelled", "entered-in-error"}
_RECIPIENT_STATUSES = {"requested", "received", "accepted", "in-progress", "on-hold"}


def record_changed_from(event: ReferralChanged) -> RecordChanged:
    """The statement that follows from a change.

    Its source is the requester, with a system of OneStory. The version of the referral is its sequence number.
    """
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


def fields_outside_statement(event: ReferralChanged) -> list[str]:
    """The fields of a change that its statement lacks.

    They are part of the event's fingerprint: when they differ under one event id, the event id was reused.
    """
    fields = [event.referral_id, event.task_id, event.status, str(event.is_open), event.recipient.organisation]
    # Events from before these two fields keep their fingerprints.
    later = [event.based_on, *event.carried] if event.based_on or event.carried else []
    return [*fields, event.holder.organisation if event.holder else "", *later]


def referral_row(event: ReferralChanged, person_key: str, broker_time: datetime) -> ReferralRow:
    """The referral's state after a change. `broker_time` is Kafka's time of the message."""
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
        based_on=event.based_on,
        task_id=event.task_id,
        occurred_at=event.occurred_at,
        broker_time=broker_time,
        carried=_carried(event),
    )


def _carried(event: ReferralChanged) -> tuple[tuple[str, str], ...]:
    """What a change sends: the resources that it writes are statements of the requester, all others are the actor's."""
    written = [(entry.shared_id, event.requester.organisation) for entry in event.entries]
    return tuple(written + [(shared_id, event.actor.party.organisation) for shared_id in event.carried])


def latest_rows(changes: Collection[ReferralRow]) -> list[ReferralRow]:
    """The current state of each referral: its change with the greatest (version, event_id)."""
    latest = {(row.person_key, row.referral_id): row for row in sorted(changes, key=lambda row: row[:4])}
    return list(latest.values())


def sent_rows(changes: Collection[ReferralRow]) -> list[ReferralSentRow]:
    """The change that sent each referral. Of several copies of it, the one with the least broker time."""
    sent: dict[tuple[str, str], ReferralSentRow] = {}
    for row in sorted(changes, key=lambda row: (*row[:4], row.broker_time)):
        if row.is_sent:
            sent.setdefault(
                (row.person_key, row.referral_id), ReferralSentRow(*row[:4], row.occurred_at, row.broker_time)
            )
    return list(sent.values())


def task_rows(changes: Collection[ReferralRow]) -> list[ReferralTaskRow]:
    """The Tasks that these changes name, each with its referral, in order."""
    return sorted({ReferralTaskRow(row.person_key, row.task_id, row.referral_id) for row in changes})


def carried_rows(changes: Collection[ReferralRow]) -> list[ReferralCarriedRow]:
    """What these changes send, each once, in order."""
    return sorted(
        {ReferralCarriedRow(row.person_key, row.referral_id, *carried) for row in changes for carried in row.carried}
    )


def responsible_organisations(recipient: str, holder: str | None, status: str) -> frozenset[str]:
    """The organisations that have the referral: its holder, and its recipient while the status is one of a sent, open
    referral.

    A draft has not reached the recipient. A recipient that rejects a referral, or fails with it, has given it back.
    """
    holders = {holder} if holder else set()
    return frozenset(holders | {recipient} if status in _RECIPIENT_STATUSES else holders)
