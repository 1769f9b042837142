"""Open referrals whose next actor did not act in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from onestory.referral.clocks.domain import PRIORITIES
from onestory.referral.clocks.escalation import Overdue
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import BRIEF, referral_of
from onestory.referral.worklist.domain import ACTING
from onestory.shared.events import Party
from onestory.shared.http.cursor import TimeCursor
from onestory.shared.postgres.database import Queries


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


# Open referrals on which nobody acted in time, as those who take part in them may see them.


@dataclass(frozen=True, slots=True)
class BreachQuery:
    """What is asked for: of what an organisation has sent (`requester`; empty: of nothing), and of what these teams
    were asked for, hold, or have to act on; where that other `organisation` takes part; late since then, until now.
    """

    requester: str
    teams: Sequence[str]
    organisation: str
    since: datetime
    now: datetime


# A draft is its requester's alone; what a team has given back does not wait for that team any more.
_ASKED = """
    is_open and due_at between $4 and $5
    and (
        ($1 <> '' and requester_organisation = $1)
        or (recipient_team = any($2::text[]) and status = any($6::text[]))
        or (holder_team <> '' and holder_team = any($2::text[]))
        or (next_team <> '' and next_team = any($2::text[]))
    )
    and ($3 = '' or $3 in (requester_organisation, sender_organisation, recipient_organisation))
"""


async def page(queries: Queries, question: BreachQuery, after: TimeCursor | None, most: int) -> list[Referral]:
    """What is late the longest first, from after that place."""
    beyond = "and (due_at, referral_id) > ($7, $8)" if after else ""
    rows = await queries.fetch(
        f"""select {BRIEF} from referral.referral where {_ASKED} {beyond}
            order by due_at, referral_id limit {int(most)}""",  # noqa: S608
        *_values(question),
        *([after.moment, after.name] if after else []),
    )
    return [referral_of(row) for row in rows]


async def count(queries: Queries, question: BreachQuery) -> tuple[int, int]:
    """How many there are on all pages, and how many of them were escalated."""
    row = await queries.fetchrow(
        f"select count(*), count(escalated_at) from referral.referral where {_ASKED}",  # noqa: S608
        *_values(question),
    )
    return row[0], row[1]


def _values(question: BreachQuery) -> list[object]:
    acting = [str(each) for each in ACTING]
    sides = [question.requester, list(question.teams), question.organisation]
    return [*sides, question.since, question.now, acting]
