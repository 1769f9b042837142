"""SQL of successions: open referrals that have to move, that wait at a closed team, or that a former member claims."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from onestory.referral.directory.successions import SuccessionKind
from onestory.referral.lifecycle.model import Json
from onestory.referral.succession.domain import DirectorySuccession
from onestory.shared.events import Party
from onestory.shared.postgres.database import Queries, Transaction


class SuccessionMove(NamedTuple):
    """A referral, and the succession that moves it. `had_claim`: the former user's claim has ended with the role."""

    referral_id: str
    succession: DirectorySuccession
    had_claim: bool


class StrandedReferral(NamedTuple):
    """A referral whose team is closed."""

    referral_id: str
    team_id: str


# A succession for named practices goes before the one for all others. A succession moves a referral once.
_MOVES = """
    with now_in_force as (
        select * from referral.succession where coalesce(starts_at <= $1, true)
    ), ended_claim as (
        -- The last word about who works on a referral is that the claim of a user ended with the role.
        select r.person_key, r.referral_id, s.succession_id, s.old_team
        from now_in_force s
        join referral.referral r
            on r.is_open and r.claimed_by = '' and s.kind = 'user' and r.recipient_team = s.old_team
        cross join lateral (
            select action from referral.change c
            where c.person_key = r.person_key and c.referral_id = r.referral_id
                and c.action in ('claim', 'release', 'claim-ended', 'hand-over')
            order by version desc limit 1
        ) last
        cross join lateral (
            select actor_subject from referral.change c
            where c.person_key = r.person_key and c.referral_id = r.referral_id and c.action = 'claim'
            order by version desc limit 1
        ) claim
        where last.action = 'claim-ended' and claim.actor_subject = s.old_user
    ), found as (
        select r.referral_id, r.requester_organisation, false as had_claim, s.*
        from now_in_force s join referral.referral r on r.is_open and s.kind = 'team' and (
            s.old_team in (r.sender_team, r.referrer_team)
            or (s.old_team = r.recipient_team and r.status not in ('rejected', 'failed')))
        union all
        select r.referral_id, r.requester_organisation, false, s.*
        from now_in_force s join referral.referral r on r.is_open and s.kind = 'organisation' and (
            (r.referrer_team = '' and r.referrer_organisation = s.old_organisation)
            or r.practice = s.old_organisation
            or (r.sender_team = '' and r.sender_organisation = s.old_organisation)
            or (r.recipient_team = '' and r.recipient_organisation = s.old_organisation
                and r.status not in ('rejected', 'failed')))
        union all
        select r.referral_id, r.requester_organisation, false, s.*
        from now_in_force s join referral.referral r on r.is_open and s.kind = 'user' and (
            (r.claimed_by = s.old_user and r.recipient_team = s.old_team)
            or (r.requester_subject = s.old_user and r.requester_organisation = s.old_organisation))
        union all
        select r.referral_id, r.requester_organisation, true, s.*
        from ended_claim e
        join now_in_force s using (succession_id, old_team)
        join referral.referral r using (person_key, referral_id)
    )
    select distinct on (found.referral_id) found.*
    from found
    where (practices = '{}' or requester_organisation = any(practices))
        and found.referral_id <> all($2::text[])
        and not exists (select from referral.handover h
            where h.succession_id = found.succession_id and h.referral_id = found.referral_id)
    order by found.referral_id, found.kind, practices = '{}', found.succession_id, had_claim desc
    limit $3
"""


async def moves(queries: Queries, now: datetime, failed: Collection[str], limit: int) -> list[SuccessionMove]:
    """Open referrals that a succession has to move now, one succession for each. `failed` are left out."""
    rows = await queries.fetch(_MOVES, now, sorted(failed), limit)
    return [SuccessionMove(row["referral_id"], _succession(row), row["had_claim"]) for row in rows]


def _succession(row: Any) -> DirectorySuccession:
    return DirectorySuccession(
        row["succession_id"],
        SuccessionKind(row["kind"]),
        Party(row["old_organisation"], row["old_team"]),
        Party(row["new_organisation"], row["new_team"]),
        row["old_user"],
        row["new_user"],
    )


async def insert_handover(
    transaction: Transaction, succession: DirectorySuccession, person_key: str, summary: Json, at: datetime
) -> None:
    """Keep the summary of a referral that a succession moves, and move its bookings to the new team."""
    await transaction.execute(
        """insert into referral.handover (succession_id, referral_id, person_key, kind, old_organisation, old_team,
               old_user, new_organisation, new_team, new_user, at, summary)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)""",
        succession.succession_id,
        summary["referral"],
        person_key,
        str(succession.kind),
        succession.old.organisation,
        succession.old.team,
        succession.old_user,
        succession.new.organisation,
        succession.new.team,
        succession.new_user,
        at,
        orjson.dumps(summary).decode(),
    )
    if succession.kind is SuccessionKind.TEAM:
        await transaction.execute(
            """update referral.booking set team_id = $3, with_organisation = $4
               where person_key = $1 and team_id = $2 and status = 'booked'""",
            person_key,
            succession.old.team,
            succession.new.team,
            succession.new.organisation,
        )


async def at_closed_teams(queries: Queries, now: datetime, limit: int) -> list[StrandedReferral]:
    """Open referrals at a team that takes none any more and has no successor, whose parties were not told yet."""
    rows = await queries.fetch(
        """select r.referral_id, r.recipient_team
           from referral.directory_team d
           join referral.referral r on r.recipient_team = d.shared_id and r.is_open and r.sent_at is not null
           where not exists (select from referral.team t where t.team_id = d.shared_id and t.active)
               and r.status in ('requested', 'received', 'accepted', 'in-progress', 'on-hold')
               and not exists (select from referral.closed_team_told told
                   where told.team_id = d.shared_id and told.referral_id = r.referral_id)
               and not exists (select from referral.succession s
                   where s.kind = 'team' and s.old_team = d.shared_id and coalesce(s.starts_at <= $1, true)
                       and (s.practices = '{}' or r.requester_organisation = any(s.practices)))
           order by r.referral_id limit $2""",
        now,
        limit,
    )
    return [StrandedReferral(*row) for row in rows]


async def insert_told(transaction: Transaction, team_id: str, referral_id: str) -> None:
    """Keep that the parties of a referral were told that its team is closed."""
    await transaction.execute(
        "insert into referral.closed_team_told (team_id, referral_id) values ($1, $2) on conflict do nothing",
        team_id,
        referral_id,
    )


async def forget_open_teams(transaction: Transaction) -> None:
    """Delete what was told of teams that take referrals again: they are told anew when the team closes again."""
    await transaction.execute(
        """delete from referral.closed_team_told told using referral.team t
           where t.team_id = told.team_id and t.active"""
    )


class StoredHandover(NamedTuple):
    """A row of `handover`. `summary` is what `handover_summary` gave at that time."""

    succession_id: str
    kind: str
    old: Party
    old_user: str
    new: Party
    new_user: str
    at: datetime
    summary: Json


async def handovers(
    queries: Queries, organisation: str, teams: Sequence[str], user: str, since: datetime, limit: int
) -> list[StoredHandover]:
    """Referrals that came to this organisation as a whole, to these teams, or to this user, the newest first."""
    rows = await queries.fetch(
        """select * from referral.handover
           where at >= $4 and ((new_team = '' and new_organisation = $1) or (new_team <> '' and new_team = any($2))
               or ($3 <> '' and new_user = $3))
           order by at desc, succession_id, referral_id limit $5""",
        organisation,
        list(teams),
        user,
        since,
        limit,
    )
    return [
        StoredHandover(
            row["succession_id"],
            row["kind"],
            Party(row["old_organisation"], row["old_team"]),
            row["old_user"],
            Party(row["new_organisation"], row["new_team"]),
            row["new_user"],
            row["at"],
            orjson.loads(row["summary"]),
        )
        for row in rows
    ]
