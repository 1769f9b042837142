"""A change of a referral as Kafka hears of it, and as it is read here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from onestory.referral.domain.command import Changed, Written
from onestory.shared.events import Entry, Operation, ReferralChanged
from onestory.shared.fhir.instants import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM


def event(changed: Changed) -> ReferralChanged:
    """The event."""
    referral, doing = changed.referral, changed.doing
    return ReferralChanged(
        event_id=doing.event_id,
        person=referral.person,
        referral_id=referral.referral_id,
        task_id=referral.task_id,
        version=referral.version,
        kind=str(referral.kind),
        priority=referral.priority,
        action=changed.action,
        reason=changed.reason,
        actor=doing.actor,
        status=str(referral.status),
        business_status=referral.business_status,
        is_open=referral.is_open,
        requester=referral.requester,
        recipient=referral.recipient,
        holder=referral.holder,
        next_actor=referral.next_actor,
        due_at=referral.due_at,
        occurred_at=doing.at,
        correlation_id=referral.correlation_id,
        notices=changed.notices,
        entries=tuple(_entry(changed, each) for each in changed.written),
    )


def content(changed: Changed, written: Written) -> bytes:
    """A resource as it is read here: with the version that this change makes of it."""
    meta = {"versionId": str(changed.doing.event_id), "lastUpdated": format_instant(changed.doing.at)}
    return _bytes(written, {**meta, **_tags(changed)})


def _entry(changed: Changed, written: Written) -> Entry:
    return Entry(
        resource_type=written.resource_type,
        local_id=written.local_id,
        shared_id=written.shared_id,
        recorded_at=changed.doing.at,
        operation=Operation.ASSERT,
        content=_bytes(written, _tags(changed)),
    )


def _tags(changed: Changed) -> Mapping[str, Any]:
    return {"tag": [{"system": ODS_CODE_SYSTEM, "code": changed.referral.requester.organisation}]}


def _bytes(written: Written, meta: Mapping[str, Any]) -> bytes:
    # In this order: the record puts its own version into `meta` by looking at the first bytes.
    front = {"resourceType": written.resource_type, "id": written.shared_id, "meta": meta}
    return orjson.dumps({**front, **written.body})
