"""Writes one change of a referral, with everything that belongs to it, in one transaction.

A change consists of the referral and its resources, a row of its history, its notices, and its event in the outbox.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import orjson
import structlog
from prometheus_client import Counter

from onestory.referral.appointments.model import appointment_to_json
from onestory.referral.conversation import store as conversation_store
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.correction import corrected_message, corrected_task
from onestory.referral.lifecycle.creation import task_id
from onestory.referral.lifecycle.model import Action, Referral, ReferralChange
from onestory.referral.lifecycle.render import referral_event, resource_content
from onestory.referral.lifecycle.store import ReferralResource, SqlStatement
from onestory.referral.notices import store as notices_store
from onestory.referral.person_news import store as person_news_store
from onestory.shared.events import Notice, Party
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import Codec
from onestory.shared.kafka.messages import event_message
from onestory.shared.kafka.schemas import REFERRAL_TOPIC
from onestory.shared.postgres.database import Queries, Transaction

# These give the referral a new party, which may not know yet that the person has died.
_REACHES_NEW_PARTY = frozenset({"draft", Action.REQUEST, Action.REDIRECT})

log = structlog.get_logger()

_changes = Counter("onestory_referral_changes", "Changes of referrals.", ["action"])

AlsoWrite = Callable[[Transaction, ReferralChange], Awaitable[None]]
"""Writes something else in the transaction of a change."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The Idempotency-Key of a request, and the digest of the request. Both are empty without a key."""

    key: str = ""
    digest: bytes = b""


async def write_change(
    transaction: Transaction,
    codec: Codec,
    change: ReferralChange,
    request_key: RequestKey,
    also: AlsoWrite | None = None,
) -> list[ReferralResource]:
    """Writes a change, and with it its place in the history, its notices and its event in the outbox.

    Returns the resources that it wrote.
    """
    referral, context = change.referral, change.context
    resources = _resources(change)
    statements = [
        lifecycle_store.upsert_referral(referral, request_key.digest),
        lifecycle_store.upsert_resources(referral.person_key, resources),
        insert_change(change, request_key),
        notices_store.insert_notices(change),
        lifecycle_store.insert_outbox(
            event_message(REFERRAL_TOPIC, referral.person_key.encode(), referral_event(change), codec)
        ),
    ]
    await lifecycle_store.execute_together(transaction, statements)
    if change.action in _REACHES_NEW_PARTY:
        await person_news_store.queue_death_news(transaction, referral.person_key, referral.referral_id)
    if also is not None:
        await also(transaction, change)
    _changes.labels(change.action).inc()
    log.info("referral_changed", event_id=str(context.event_id), action=change.action, status=str(referral.status))
    return resources


def _resources(change: ReferralChange) -> list[ReferralResource]:
    referral_id, event_id, at = change.referral.referral_id, change.context.event_id, change.context.at
    return [
        ReferralResource(
            written.resource_type, written.shared_id, referral_id, event_id, at, resource_content(change, written)
        )
        for written in change.resources
    ]


async def with_corrected_history(queries: Queries, correction: ReferralChange, keys: Keys) -> ReferralChange:
    """The correction of a referral, with its former Tasks and its messages, which were a mistake too."""
    referral, contents = correction.referral, await _former_tasks(queries, correction.referral)
    ids = {number: task_id(keys, referral, number) for number in range(1, referral.task_number)}
    tasks = [
        corrected_task(referral, number, shared_id, orjson.loads(contents[shared_id]))
        for number, shared_id in ids.items()
    ]
    messages = [
        corrected_message(referral, version, resource.shared_id, orjson.loads(resource.content))
        for version, resource in await conversation_store.all_with_versions(queries, referral)
    ]
    return replace(correction, resources=(*correction.resources, *tasks, *messages))


async def _former_tasks(queries: Queries, referral: Referral) -> dict[str, bytes]:
    """The content of the former Tasks of a referral, by their ids."""
    rows = await queries.fetch(
        """select shared_id, content from referral.resource
           where person_key = $1 and referral_id = $2 and resource_type = 'Task' and shared_id <> $3""",
        referral.person_key,
        referral.referral_id,
        referral.task_id,
    )
    return {row["shared_id"]: row["content"] for row in rows}


def insert_change(change: ReferralChange, request_key: RequestKey) -> SqlStatement:
    """Adds a change to the history of its referral."""
    referral, context = change.referral, change.context
    values = [
        referral.person_key,
        referral.referral_id,
        referral.version,
        context.event_id,
        change.action,
        change.reason,
        context.actor.party.organisation,
        context.actor.party.team,
        context.actor.subject,
        context.actor.role,
        str(referral.status),
        referral.business_status,
        referral.task_id,
        orjson.dumps([_notice(notice) for notice in change.notices]).decode(),
        context.at,
        request_key.key or None,
        request_key.digest or None,
        orjson.dumps([appointment_to_json(each) for each in change.appointments]).decode(),
    ]
    return SqlStatement(
        """insert into referral.change (person_key, referral_id, version, event_id, action, reason, actor_organisation,
               actor_team, actor_subject, actor_role, status, business_status, task_id, notices, at, request_key,
               request_digest, appointments)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)""",
        values,
    )


async def open_of_group(queries: Queries, referral: Referral) -> list[Referral]:
    """The other open referrals of one request to several teams."""
    rows = await queries.fetch(
        """select * from referral.referral
           where person_key = $1 and group_id = $2 and referral_id <> $3 and is_open order by referral_id""",
        referral.person_key,
        referral.group_id,
        referral.referral_id,
    )
    return [lifecycle_store.referral_from_row(row) for row in rows]


async def find_by_request_key(
    queries: Queries, person_key: str, referral_id: str, key: str
) -> tuple[bytes, str] | None:
    """The change that an earlier request with this key made: the request's digest, and the id of the Task in force
    after the change. None: no request had this key.
    """
    row = await queries.fetchrow(
        """select request_digest, task_id from referral.change
           where person_key = $1 and referral_id = $2 and request_key = $3""",
        person_key,
        referral_id,
        key,
    )
    return None if row is None else (row["request_digest"], row["task_id"])


async def version_by_request_key(queries: Queries, person_key: str, referral_id: str, key: str) -> int | None:
    """The version of the referral that the request with this key made; None: no request had this key."""
    version: int | None = await queries.fetchval(
        "select version from referral.change where person_key = $1 and referral_id = $2 and request_key = $3",
        person_key,
        referral_id,
        key,
    )
    return version


def _notice(notice: Notice) -> dict[str, object]:
    return {"recipient": notice.recipient, "party": _party(notice.party), "reason": notice.reason}


def _party(party: Party | None) -> dict[str, str] | None:
    return None if party is None else {"organisation": party.organisation, "team": party.team}
