"""The directory as commands ask for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from onestory.referral.domain.directory import Contact, Role, Team
from onestory.referral.domain.worklist_row import Names
from onestory.shared.database import Queries

_TEAM = """
select team_id, organisation, name, kind, network, dos_service_id, practices, escalation_name, escalation_phone,
    escalation_email, active
from referral.team
"""
_ROLE = """
select role_id, subject, team_id, organisation, code, name, starts_at, ends_at, active
from referral.role
"""


async def team(queries: Queries, team_id: str) -> Team | None:
    """The team with this directory id, active or not."""
    row = await queries.fetchrow(f"{_TEAM} where team_id = $1", team_id)
    return _team(row) if row else None


async def team_by_dos_id(queries: Queries, dos_id: str) -> list[Team]:
    """The teams that go by this DoS service id, active ones first: the directory does not keep two from having one."""
    rows = await queries.fetch(f"{_TEAM} where dos_service_id = $1 order by active desc, team_id", dos_id)
    return [_team(row) for row in rows] if dos_id else []


async def roles_of(queries: Queries, subject: str) -> list[Role]:
    """All roles of a user, past and future ones too, by team and then by start."""
    rows = await queries.fetch(f"{_ROLE} where subject = $1 order by team_id, starts_at nulls first, role_id", subject)
    return [Role(*row) for row in rows] if subject else []


async def organisation_name(queries: Queries, ods: str) -> str | None:
    """What an organisation calls itself; None where it has not said it."""
    name: str | None = await queries.fetchval("select name from referral.organisation where ods = $1", ods)
    return name or None


async def teams_of(queries: Queries, organisation: str) -> list[Team]:
    """The teams of an organisation, by name."""
    rows = await queries.fetch(f"{_TEAM} where organisation = $1 order by name, team_id", organisation)
    return [_team(row) for row in rows]


async def teams(queries: Queries, team_ids: Collection[str]) -> list[Team]:
    """The teams with these directory ids, by name."""
    rows = await queries.fetch(f"{_TEAM} where team_id = any($1::text[]) order by name, team_id", sorted(team_ids))
    return [_team(row) for row in rows]


async def names(
    queries: Queries, team_ids: Collection[str], organisations: Collection[str], users: Collection[str]
) -> Names:
    """What these are called, as far as they have said it; users by one of these teams, for anybody may list anybody."""
    rows = await queries.fetch(
        """select 'team', team_id, name from referral.team where team_id = any($1::text[])
           union all select 'organisation', ods, name from referral.organisation where ods = any($2::text[])
           union all select distinct 'user', subject, name from referral.role
           where subject = any($3::text[]) and team_id = any($1::text[])""",
        sorted(team_ids),
        sorted(organisations),
        sorted(users),
    )
    found: dict[str, dict[str, str]] = {"team": {}, "organisation": {}, "user": {}}
    for kind, key, name in rows:
        found[kind][key] = name
    return Names(found["team"], found["organisation"], found["user"])


def _team(row: Any) -> Team:
    return Team(
        team_id=row["team_id"],
        organisation=row["organisation"],
        name=row["name"],
        kind=row["kind"],
        network=row["network"],
        dos_service_id=row["dos_service_id"],
        practices=tuple(row["practices"]),
        escalation=Contact(row["escalation_name"], row["escalation_phone"], row["escalation_email"]),
        active=row["active"],
    )
