"""SQL of overdue referrals: open ones whose next actor did not act in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg

from onestory.referral.clocks.domain import PRIORITIES
from onestory.referral.clocks.escalation import Overdue
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.store import BRIEF_COLUMNS, referral_from_row
from onestory.referral.worklist.domain import RECIPIENT_STATUSES
from onestory.shared.events import Party
from onestory.shared.http.cursor import TimeCursor
from onestory.shared.postgres.database import Queries


async def not_escalated(queries: Queries, now: datetime, excluded: Collection[str], limit: int) -> Sequence[Overdue]:
    """Overdue referrals without an escalation for this wait: the most urgent first, then the longest overdue.

    `excluded` are the ids of referrals to leave out.
    """
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
        sorted(excluded),
        limit,
        list(PRIORITIES),
    )
    return [
        Overdue(row["referral_id"], Party(row["next_organisation"], row["next_team"]), row["has_contact"])
        for row in rows
    ]


def overdue_figures(connection: psycopg.Connection, now: datetime) -> tuple[int, int, float]:
    """The number of overdue referrals, the number of them not escalated yet, and for how many seconds the oldest is."""
    row = connection.execute(
        """select count(*), count(*) filter (where escalated_at is null),
               coalesce(extract(epoch from %(now)s - min(due_at)), 0)::float8
           from referral.referral where is_open and due_at <= %(now)s""",
        {"now": now},
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


@dataclass(frozen=True, slots=True)
class BreachQuery:
    """A search of the breach list.

    - `requester`: referrals that this organisation sent; empty: none.
    - `teams`: referrals that one of these teams received, holds, or has to act on.
    - `organisation`: only those with this organisation as a party; empty: all.
    - `since`, `now`: only those with a due time between these.
    """

    requester: str
    teams: Sequence[str]
    organisation: str
    since: datetime
    now: datetime


# Only its requester sees a draft. A team does not see a referral any more that it has given back.
_BREACHES = """
    is_open and due_at between $4 and $5
    and (
        ($1 <> '' and $1 in (requester_organisation, referrer_organisation, practice))
        or (recipient_team = any($2::text[]) and status = any($6::text[]))
        or (holder_team <> '' and holder_team = any($2::text[]))
        or (next_team <> '' and next_team = any($2::text[]))
    )
    and ($3 = '' or $3 in (requester_organisation, referrer_organisation, sender_organisation, recipient_organisation))
"""


async def page(queries: Queries, query: BreachQuery, after: TimeCursor | None, limit: int) -> list[Referral]:
    """A page of the breach list, the longest overdue first. `after` is the last item of the page before."""
    beyond = "and (due_at, referral_id) > ($7, $8)" if after else ""
    rows = await queries.fetch(
        f"""select {BRIEF_COLUMNS} from referral.referral where {_BREACHES} {beyond}
            order by due_at, referral_id limit {int(limit)}""",  # noqa: S608
        *_values(query),
        *([after.sort_time, after.item_id] if after else []),
    )
    return [referral_from_row(row) for row in rows]


async def count(queries: Queries, query: BreachQuery) -> tuple[int, int]:
    """The number of breaches on all pages, and the number of them that were escalated."""
    row = await queries.fetchrow(
        f"select count(*), count(escalated_at) from referral.referral where {_BREACHES}",  # noqa: S608
        *_values(query),
    )
    return row[0], row[1]


def _values(query: BreachQuery) -> list[object]:
    acting = [str(status) for status in RECIPIENT_STATUSES]
    sides = [query.requester, list(query.teams), query.organisation]
    return [*sides, query.since, query.now, acting]
