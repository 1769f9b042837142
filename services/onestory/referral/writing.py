"""A change written: what stands, what it consists of, its place in the history, who is told, and what Kafka hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter

from onestory.referral.domain.command import Changed
from onestory.referral.domain.event import content, event
from onestory.referral.domain.machine import Action
from onestory.referral.store import at_once, changes, persons, referrals, told
from onestory.referral.store.changes import Asked
from onestory.referral.store.referrals import Resource
from onestory.shared.contracts.codec import Codec
from onestory.shared.contracts.topics import REFERRAL
from onestory.shared.database import Transaction

# Whoever has it next has not heard yet of what became of the person.
_COMES_TO_SOMEBODY = frozenset({"draft", Action.REQUEST, Action.REDIRECT})

log = structlog.get_logger()

_changes = Counter("onestory_referral_changes", "Changes of referrals.", ["action"])

Also = Callable[[Transaction, Changed], Awaitable[None]]
"""What else is to be written in the same transaction."""


async def write(
    transaction: Transaction, codec: Codec, changed: Changed, asked: Asked, also: Also | None = None
) -> list[Resource]:
    """Write a change; gives what it wrote, as it is read."""
    referral, doing = changed.referral, changed.doing
    resources = _resources(changed)
    statements = [
        referrals.saving(referral, asked.digest),
        referrals.writing(referral.person_key, resources),
        changes.adding(changed, asked),
        told.adding(changed),
        referrals.sending(REFERRAL, referral.person_key.encode(), codec.encode(event(changed))),
    ]
    await at_once.write(transaction, statements)
    if changed.action in _COMES_TO_SOMEBODY:
        await persons.warn(transaction, referral.person_key, referral.referral_id)
    if also is not None:
        await also(transaction, changed)
    _changes.labels(changed.action).inc()
    log.info("referral_changed", event_id=str(doing.event_id), action=changed.action, status=str(referral.status))
    return resources


def _resources(changed: Changed) -> list[Resource]:
    """What a change writes, as it is read."""
    referral_id, event_id, at = changed.referral.referral_id, changed.doing.event_id, changed.doing.at
    return [
        Resource(each.resource_type, each.shared_id, referral_id, event_id, at, content(changed, each))
        for each in changed.written
    ]
