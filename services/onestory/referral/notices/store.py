"""SQL of notices to organisations and teams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from onestory.referral.lifecycle.model import ReferralChange
from onestory.referral.lifecycle.store import SqlStatement
from onestory.shared.events import Party
from onestory.shared.http.cursor import TimeCursor
from onestory.shared.postgres.database import Queries

# A transaction that was writing a notice while somebody read the list has committed or failed after this time.
_MAX_COMMIT_TIME = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """A notice, with the change that it is about.

    - `recipient`: the role in which the party gets it, such as `holder`.
    - `reason`: its code, one of `notices.domain.NOTICE_CODES`.
    - `kept_at`: the time when it was stored.
    - `appointment_id`: the appointment that it is about where it has no referral; empty otherwise.
    - `appointments`: the appointments that the change concerned, and those to come, as JSON of their column.
    """

    number: int
    kept_at: datetime
    party: Party
    recipient: str
    reason: str
    referral_id: str
    task_id: str
    event_id: UUID
    version: int
    action: str
    change_reason: str
    status: str
    at: datetime
    appointment_id: str
    appointments: Sequence[Mapping[str, Any]]


def insert_notices(change: ReferralChange) -> SqlStatement:
    """Writes the notices of a change to organisations and teams; the notice to the person is only in the event."""
    notices = [(notice, notice.party) for notice in change.notices if notice.party is not None]
    return SqlStatement(
        """insert into referral.notice (person_key, referral_id, version, organisation, team, recipient, reason)
           select $1::text, $2::text, $3::bigint, * from unnest($4::text[], $5::text[], $6::text[], $7::text[])""",
        [
            change.referral.person_key,
            change.referral.referral_id,
            change.referral.version,
            [party.organisation for _, party in notices],
            [party.team for _, party in notices],
            [notice.recipient for notice, _ in notices],
            [notice.reason for notice, _ in notices],
        ],
    )


async def next_since(queries: Queries) -> datetime:
    """The value of `since` for the caller's next request, so that it misses no notice that is being written now."""
    now: datetime = await queries.fetchval("select clock_timestamp()")
    return now - _MAX_COMMIT_TIME


async def page(
    queries: Queries, organisation: str, teams: Sequence[str], since: datetime, before: TimeCursor | None, limit: int
) -> Sequence[StoredNotice]:
    """Notices to an organisation as a whole (empty: none) and to these teams since then, the newest first.

    `before` is the last notice of the page before.
    """
    rows = await queries.fetch(
        """select n.number, n.kept_at, n.organisation, n.team, n.recipient, n.reason, n.referral_id, n.version,
               n.appointment_id, coalesce(c.task_id, '') as task_id, coalesce(c.reason, '') as change_reason,
               coalesce(c.event_id, b.event_id) as event_id, coalesce(c.action, b.action) as action,
               coalesce(c.status, b.status) as status, coalesce(c.at, b.at) as at,
               coalesce(c.appointments, b.appointments) as appointments
           from (
               (select * from referral.notice
                where team = '' and $1 <> '' and organisation = $1 and kept_at >= $3 and (kept_at, number) < ($4, $5)
                order by kept_at desc, number desc limit $6)
               union all
               (select of_team.* from unnest($2::text[]) as wanted(team) cross join lateral (
                    select * from referral.notice n
                    where n.team <> '' and n.team = wanted.team and kept_at >= $3 and (kept_at, number) < ($4, $5)
                    order by kept_at desc, number desc limit $6
                ) as of_team)
           ) as n
           left join referral.change c
               on c.person_key = n.person_key and c.referral_id = n.referral_id and c.version = n.version
           left join referral.booking_change b
               on b.person_key = n.person_key and b.appointment_id = n.appointment_id and b.version = n.version
           order by n.kept_at desc, n.number desc limit $6""",
        organisation,
        list(teams),
        since,
        before.sort_time if before else datetime.max.replace(tzinfo=since.tzinfo),
        int(before.item_id) if before else 0,
        limit,
    )
    return [
        StoredNotice(
            number=row["number"],
            kept_at=row["kept_at"],
            party=Party(row["organisation"], row["team"]),
            recipient=row["recipient"],
            reason=row["reason"],
            referral_id=row["referral_id"],
            task_id=row["task_id"],
            event_id=row["event_id"],
            version=row["version"],
            action=row["action"],
            change_reason=row["change_reason"],
            status=row["status"],
            at=row["at"],
            appointment_id=row["appointment_id"],
            appointments=orjson.loads(row["appointments"]),
        )
        for row in rows
    ]
