"""The directory as commands ask for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from onestory.referral.directory.model import Contact, Role, Team
from onestory.referral.worklist.domain import DirectoryNames
from onestory.shared.postgres.database import Queries

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
) -> DirectoryNames:
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
    return DirectoryNames(found["team"], found["organisation"], found["user"])


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


# The teams of the directory, as somebody looks for one to refer to.


@dataclass(frozen=True, slots=True)
class Sought:
    """What a team must be; empty for whatever it is. `names` are words of its name, `serves` a practice."""

    names: tuple[str, ...] = ()
    organisation: str = ""
    kind: str = ""
    dos_service_id: str = ""
    serves: str = ""
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class TeamCursor:
    """Where a page begins: behind this team, in the order of names."""

    name: str
    team_id: str


START = TeamCursor("", "")

_FITTING = """
    (cardinality($1::text[]) = 0 or not exists (
        select from unnest($1::text[]) as word where strpos(lower(team.name), lower(word)) = 0))
    and ($2 in ('', team.organisation)) and ($3 in ('', team.kind)) and ($4 in ('', team.dos_service_id))
    and ($5 = '' or $5 = any(team.practices)) and ($6::boolean is null or team.active = $6)
"""
_PAGE = f"""
    select team.team_id, team.name, said.content
    from referral.team team
    cross join lateral (
        select content from referral.directory_statement statement
        where statement.shared_id = team.team_id
        order by rank desc, published_at desc, event_id desc limit 1
    ) said
    where {_FITTING} and (team.name, team.team_id) > ($7, $8) and said.content is not null
    order by team.name, team.team_id limit $9
"""  # noqa: S608 - the words are our own
_TOTAL = f"select count(*) from referral.team team where {_FITTING}"  # noqa: S608 - the words are our own


async def page(queries: Queries, sought: Sought, after: TeamCursor, most: int) -> list[tuple[TeamCursor, bytes]]:
    """The teams that fit, in the order of names: where each stands, and its HealthcareService as it was published."""
    rows = await queries.fetch(_PAGE, *_values(sought), after.name, after.team_id, most)
    return [(TeamCursor(row["name"], row["team_id"]), row["content"]) for row in rows]


async def total(queries: Queries, sought: Sought) -> int:
    """How many teams fit."""
    return int(await queries.fetchval(_TOTAL, *_values(sought)))


def _values(sought: Sought) -> tuple[object, ...]:
    return list(sought.names), sought.organisation, sought.kind, sought.dos_service_id, sought.serves, sought.active
