"""A change written: what stands, what it consists of, its place in the history, who is told, and what Kafka hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson
import structlog
from prometheus_client import Counter

from onestory.referral.conversation import store as conversation_store
from onestory.referral.lifecycle import change_store, creation
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.change_store import RequestKey
from onestory.referral.lifecycle.decide import task_local_id
from onestory.referral.lifecycle.machine import Action, ReferralChange, Written
from onestory.referral.lifecycle.model import Json, Referral
from onestory.referral.lifecycle.render import content, event
from onestory.referral.lifecycle.store import ReferralResource
from onestory.referral.notices import store as notices_store
from onestory.referral.person_news import store as person_news_store
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.schemas import REFERRAL
from onestory.shared.postgres.database import Queries, Transaction

# Whoever has it next has not heard yet of what became of the person.
_COMES_TO_SOMEBODY = frozenset({"draft", Action.REQUEST, Action.REDIRECT})

log = structlog.get_logger()

_changes = Counter("onestory_referral_changes", "Changes of referrals.", ["action"])

Also = Callable[[Transaction, ReferralChange], Awaitable[None]]
"""What else is to be written in the same transaction."""


async def write(
    transaction: Transaction, codec: Codec, changed: ReferralChange, asked: RequestKey, also: Also | None = None
) -> list[ReferralResource]:
    """Write a change; gives what it wrote, as it is read."""
    referral, doing = changed.referral, changed.doing
    resources = _resources(changed)
    statements = [
        lifecycle_store.saving(referral, asked.digest),
        lifecycle_store.writing(referral.person_key, resources),
        change_store.adding(changed, asked),
        notices_store.adding(changed),
        lifecycle_store.sending(REFERRAL, referral.person_key.encode(), codec.encode(event(changed))),
    ]
    await change_store.write(transaction, statements)
    if changed.action in _COMES_TO_SOMEBODY:
        await person_news_store.warn(transaction, referral.person_key, referral.referral_id)
    if also is not None:
        await also(transaction, changed)
    _changes.labels(changed.action).inc()
    log.info("referral_changed", event_id=str(doing.event_id), action=changed.action, status=str(referral.status))
    return resources


def _resources(changed: ReferralChange) -> list[ReferralResource]:
    """What a change writes, as it is read."""
    referral_id, event_id, at = changed.referral.referral_id, changed.doing.event_id, changed.doing.at
    return [
        ReferralResource(each.resource_type, each.shared_id, referral_id, event_id, at, content(changed, each))
        for each in changed.written
    ]


# What else of a referral was a mistake, where the referral was one, such as one of the wrong person: its former Tasks
# and everything that was said of it. What they held is taken out of them, and stays in their history.

_HELD = {"Task": ("output", "statusReason"), "Communication": ("payload", "about")}


def message_local_id(referral: Referral, version: int) -> str:
    """What the message that made this version of a referral is called within its requester's organisation."""
    return f"{referral.local_id}-message-{version}"


def former_task(referral: Referral, number: int, shared_id: str, said: Json) -> Written:
    """The Task of this number, as a mistake."""
    return Written("Task", shared_id, task_local_id(referral.local_id, number), _in_error(said))


def message(referral: Referral, version: int, shared_id: str, said: Json) -> Written:
    """The message that made this version, as a mistake."""
    return Written("Communication", shared_id, message_local_id(referral, version), _in_error(said))


def _in_error(said: Json) -> Json:
    gone = ("resourceType", "id", "meta", *_HELD[said["resourceType"]])
    return {**{name: value for name, value in said.items() if name not in gone}, "status": "entered-in-error"}


# A correction takes back all that was a mistake: former Tasks, and what was said.


async def with_all_that_was_said(queries: Queries, changed: ReferralChange, keys: Keys) -> ReferralChange:
    """The correction, with all else of the referral that was a mistake too."""
    referral, tasks = changed.referral, await lifecycle_store.former_tasks(queries, changed.referral)
    ids = {number: creation.task_id(keys, referral, number) for number in range(1, referral.task_number)}
    former = [former_task(referral, *each, orjson.loads(tasks[each[1]])) for each in ids.items()]
    said = await conversation_store.every(queries, referral)
    told = [message(referral, number, each.shared_id, orjson.loads(each.content)) for number, each in said]
    return replace(changed, written=(*changed.written, *former, *told))
