"""Every change of every referral, in order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import orjson

from onestory.referral.lifecycle.machine import ReferralChange
from onestory.shared.events import Notice, Party
from onestory.shared.postgres.database import Queries, Transaction

# Several statements in one round trip to PostgreSQL: a command waits for round trips more than for anything else.

_PLACE = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class SqlStatement:
    """SQL that writes, and the values of its $1, $2, ..."""

    sql: str
    values: Sequence[object]


async def write(transaction: Transaction, statements: Sequence[SqlStatement]) -> None:
    """All of them as one. None sees what another writes, so each writes to a table of its own."""
    values = [value for each in statements for value in each.values]
    await transaction.execute(_joined(tuple((each.sql, len(each.values)) for each in statements)), *values)


@cache
def _joined(statements: tuple[tuple[str, int], ...]) -> str:
    parts, before = [], 0
    for sql, count in statements:
        parts.append(_moved(sql, before))
        before += count
    beside = ", ".join(f"part_{place} as ({part})" for place, part in enumerate(parts[:-1]))
    return f"with {beside} {parts[-1]}" if beside else parts[-1]


def _moved(sql: str, by: int) -> str:
    return _PLACE.sub(lambda place: f"${int(place[1]) + by}", sql)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Under which Idempotency-Key a change was asked for, and the digest of what was asked. Without a key: nothing."""

    key: str = ""
    digest: bytes = b""


def adding(changed: ReferralChange, asked: RequestKey) -> SqlStatement:
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
    return SqlStatement(
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
