"""Open referrals whose next actor did not act in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

import psycopg

from onestory.referral.domain.clocks import PRIORITIES
from onestory.referral.domain.escalation import Overdue
from onestory.shared.database import Queries
from onestory.shared.events import Party


async def not_escalated(queries: Queries, now: datetime, but: Collection[str], most: int) -> Sequence[Overdue]:
    """What nobody was told of for this wait, the most urgent first, and of these the longest overdue; but not these."""
    rows = await queries.fetch(
        """select r.referral_id, r.next_organisation, r.next_team,
               coalesce(t.active and (t.escalation_name, t.escalation_phone, t.escalation_email) <> ('', '', ''), false)
                   as has_contact
           from (
               select referral_id, due_at, next_organisation, next_team, array_position($4::text[], priority) as urgency
               from referral.referral
               where is_open and escalated_at is null and due_at <= $1 and referral_id <> all($2::text[])
               order by urgency desc, due_at, referral_id limit $3
           ) as r
           left join referral.team t on r.next_team <> '' and t.team_id = r.next_team
           order by r.urgency desc, r.due_at, r.referral_id""",
        now,
        sorted(but),
        most,
        list(PRIORITIES),
    )
    return [
        Overdue(row["referral_id"], Party(row["next_organisation"], row["next_team"]), row["has_contact"])
        for row in rows
    ]


def figures(connection: psycopg.Connection, now: datetime) -> tuple[int, int, float]:
    """How many are overdue, how many of these nobody was told of yet, and for how many seconds the oldest is."""
    row = connection.execute(
        """select count(*), count(*) filter (where escalated_at is null),
               coalesce(extract(epoch from %(now)s - min(due_at)), 0)::float8
           from referral.referral where is_open and due_at <= %(now)s""",
        {"now": now},
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]
