"""What organisations and teams were told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from onestory.referral.lifecycle.change_store import SqlStatement
from onestory.referral.lifecycle.machine import ReferralChange
from onestory.shared.events import Party
from onestory.shared.http.cursor import TimeCursor
from onestory.shared.postgres.database import Queries

# A transaction that began to tell somebody before a reader looked has ended by then, or has failed.
_LONGEST_COMMIT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """A notice, with the change that it tells of. `recipient` is as what the party was told it, `reason` the code."""

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


def adding(changed: ReferralChange) -> SqlStatement:
    """Keep whom a change is told to."""
    told = [(each, each.party) for each in changed.notices if each.party is not None]
    return SqlStatement(
        """insert into referral.notice (person_key, referral_id, version, organisation, team, recipient, reason)
           select $1::text, $2::text, $3::bigint, * from unnest($4::text[], $5::text[], $6::text[], $7::text[])""",
        [
            changed.referral.person_key,
            changed.referral.referral_id,
            changed.referral.version,
            [party.organisation for _, party in told],
            [party.team for _, party in told],
            [each.recipient for each, _ in told],
            [each.reason for each, _ in told],
        ],
    )


async def asked_again_from(queries: Queries) -> datetime:
    """From when on who asks again later has to ask, so as not to miss what is being written at this moment."""
    now: datetime = await queries.fetchval("select clock_timestamp()")
    return now - _LONGEST_COMMIT


async def told(
    queries: Queries, organisation: str, teams: Sequence[str], since: datetime, before: TimeCursor | None, most: int
) -> Sequence[StoredNotice]:
    """What an organisation as a whole (empty: none) and these teams were told since then, the newest first."""
    rows = await queries.fetch(
        """select n.number, n.kept_at, n.organisation, n.team, n.recipient, n.reason, n.referral_id, c.task_id,
               c.event_id, n.version, c.action, c.reason as change_reason, c.status, c.at
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
           join referral.change c using (person_key, referral_id, version)
           order by n.kept_at desc, n.number desc limit $6""",
        organisation,
        list(teams),
        since,
        before.moment if before else datetime.max.replace(tzinfo=since.tzinfo),
        int(before.name) if before else 0,
        most,
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
        )
        for row in rows
    ]
