"""Every change of every referral, in order."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from onestory.referral.domain.command import Changed
from onestory.referral.store.at_once import Statement
from onestory.shared.database import Queries
from onestory.shared.events import Notice, Party


@dataclass(frozen=True, slots=True)
class Asked:
    """Under which Idempotency-Key a change was asked for, and the digest of what was asked. Without a key: nothing."""

    key: str = ""
    digest: bytes = b""


def adding(changed: Changed, asked: Asked) -> Statement:
    """Keep a change."""
    referral, doing = changed.referral, changed.doing
    values = [
        referral.person_key,
        referral.referral_id,
        referral.version,
        doing.event_id,
        changed.action,
        changed.reason,
        doing.actor.party.organisation,
        doing.actor.party.team,
        doing.actor.subject,
        doing.actor.role,
        str(referral.status),
        referral.business_status,
        referral.task_id,
        orjson.dumps([_notice(each) for each in changed.notices]).decode(),
        doing.at,
        asked.key or None,
        asked.digest or None,
    ]
    return Statement(
        """insert into referral.change (person_key, referral_id, version, event_id, action, reason, actor_organisation,
               actor_team, actor_subject, actor_role, status, business_status, task_id, notices, at, request_key,
               request_digest)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)""",
        values,
    )


async def asked_before(queries: Queries, person_key: str, referral_id: str, key: str) -> tuple[bytes, str] | None:
    """The digest of the change that was asked for under this key, and the Task in force after it, if there was one."""
    row = await queries.fetchrow(
        """select request_digest, task_id from referral.change
           where person_key = $1 and referral_id = $2 and request_key = $3""",
        person_key,
        referral_id,
        key,
    )
    return None if row is None else (row["request_digest"], row["task_id"])


async def version_of(queries: Queries, person_key: str, referral_id: str, key: str) -> int | None:
    """The version of the referral that the change made which was asked for under this key."""
    found: int | None = await queries.fetchval(
        "select version from referral.change where person_key = $1 and referral_id = $2 and request_key = $3",
        person_key,
        referral_id,
        key,
    )
    return found


def _notice(notice: Notice) -> dict[str, object]:
    return {"recipient": notice.recipient, "party": _party(notice.party), "reason": notice.reason}


def _party(party: Party | None) -> dict[str, str] | None:
    return None if party is None else {"organisation": party.organisation, "team": party.team}
