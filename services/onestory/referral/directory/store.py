"""SQL that reads the directory: teams, roles and names for commands, and the search for a team to refer to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from onestory.referral.directory.claims import with_usable_claims
from onestory.referral.directory.model import Contact, DirectoryNames, Role, Team
from onestory.shared.postgres.database import Queries

_SELECT_TEAM = """
select team_id, organisation, name, kind, network, dos_service_id, practices, escalation_name, escalation_phone,
    escalation_email, active
from referral.team
"""
_SELECT_ROLE = """
select role_id, subject, team_id, organisation, code, name, starts_at, ends_at, active, weekdays
from referral.role
"""


async def find_team(queries: Queries, team_id: str) -> Team | None:
    """The team with this directory id, active or not."""
    row = await queries.fetchrow(f"{_SELECT_TEAM} where team_id = $1", team_id)
    return _team_from_row(row) if row else None


async def teams_by_dos_id(queries: Queries, dos_id: str) -> list[Team]:
    """The teams with this DoS service id, active ones first. The directory does not keep these ids unique."""
    rows = await queries.fetch(f"{_SELECT_TEAM} where dos_service_id = $1 order by active desc, team_id", dos_id)
    return [_team_from_row(row) for row in rows] if dos_id else []


async def roles_of_user(queries: Queries, subject: str) -> list[Role]:
    """All roles of a user, past and future ones too, by team and then by start."""
    rows = await queries.fetch(
        f"{_SELECT_ROLE} where subject = $1 order by team_id, starts_at nulls first, role_id", subject
    )
    return [Role(**{**dict(row), "weekdays": tuple(row["weekdays"])}) for row in rows] if subject else []


async def organisation_name(queries: Queries, ods: str) -> str | None:
    """The name that an organisation gives itself; None without one."""
    name: str | None = await queries.fetchval("select name from referral.organisation where ods = $1", ods)
    return name or None


async def teams_of_organisation(queries: Queries, organisation: str) -> list[Team]:
    """The teams of an organisation, by name."""
    rows = await queries.fetch(f"{_SELECT_TEAM} where organisation = $1 order by name, team_id", organisation)
    return [_team_from_row(row) for row in rows]


async def successors(queries: Queries, team_ids: Collection[str]) -> list[str]:
    """The directory ids of the active teams that succeed one of these teams now."""
    rows = await queries.fetch(
        """select distinct s.new_team from referral.succession s join referral.team t on t.team_id = s.new_team
           where s.kind = 'team' and s.old_team = any($1::text[]) and t.active and coalesce(s.starts_at <= now(), true)
           order by 1""",
        sorted(team_ids),
    )
    return [row["new_team"] for row in rows]


async def teams_by_ids(queries: Queries, team_ids: Collection[str]) -> list[Team]:
    """The teams with these directory ids, by name."""
    rows = await queries.fetch(
        f"{_SELECT_TEAM} where team_id = any($1::text[]) order by name, team_id", sorted(team_ids)
    )
    return [_team_from_row(row) for row in rows]


async def directory_names(
    queries: Queries, team_ids: Collection[str], organisations: Collection[str], users: Collection[str]
) -> DirectoryNames:
    """The names of these teams, organisations and users, as far as the directory has them.

    A user's name comes only from a role at one of these teams, because any organisation may publish roles of any user.
    """
    rows = await queries.fetch(
        """select 'team', team_id, name from referral.team where team_id = any($1::text[])
           union all select 'organisation', ods, name from referral.organisation where ods = any($2::text[])
           union all select distinct 'user', subject, name from referral.role
           where subject = any($3::text[]) and team_id = any($1::text[])""",
        sorted(team_ids),
        sorted(organisations),
        sorted(users),
    )
    names: dict[str, dict[str, str]] = {"team": {}, "organisation": {}, "user": {}}
    for kind, key, name in rows:
        names[kind][key] = name
    return DirectoryNames(names["team"], names["organisation"], names["user"])


async def resources_by_ids(queries: Queries, ids: Collection[str]) -> dict[str, tuple[str, bytes]]:
    """The resource type and the FHIR JSON of these directory resources, by id, without those that were retracted."""
    rows = await queries.fetch(
        """select distinct on (shared_id) shared_id, resource_type, content from referral.directory_statement
           where shared_id = any($1::text[]) order by shared_id, rank desc, published_at desc, event_id desc""",
        sorted(ids),
    )
    return {row["shared_id"]: (row["resource_type"], row["content"]) for row in rows if row["content"] is not None}


def _team_from_row(row: Any) -> Team:
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


@dataclass(frozen=True, slots=True)
class TeamSearch:
    """Conditions that a team must meet; an empty one is always met. `names` are words of its name, in any order.

    `serves` is the ODS code of a practice that it must serve.
    """

    names: tuple[str, ...] = ()
    organisation: str = ""
    kind: str = ""
    dos_service_id: str = ""
    serves: str = ""
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class TeamCursor:
    """The last team of the page before, in the order of names."""

    name: str
    team_id: str


FIRST_PAGE = TeamCursor("", "")

_CONDITIONS = """
    (cardinality($1::text[]) = 0 or not exists (
        select from unnest($1::text[]) as word where strpos(lower(team.name), lower(word)) = 0))
    and ($2 in ('', team.organisation)) and ($3 in ('', team.kind)) and ($4 in ('', team.dos_service_id))
    and ($5 = '' or $5 = any(team.practices)) and ($6::boolean is null or team.active = $6)
"""
_PAGE = f"""
    select team.team_id, team.name, said.content, team.dos_service_id, team.practices,
        (own.own_dos_service_id, own.own_practices) is distinct from (team.dos_service_id, team.practices) as differs
    from referral.team team
    join referral.directory_team own on own.shared_id = team.team_id
    cross join lateral (
        select content from referral.directory_statement statement
        where statement.shared_id = team.team_id
        order by rank desc, published_at desc, event_id desc limit 1
    ) said
    where {_CONDITIONS} and (team.name, team.team_id) > ($7, $8) and said.content is not null
    order by team.name, team.team_id limit $9
"""  # noqa: S608 - the words are our own
_TOTAL = f"select count(*) from referral.team team where {_CONDITIONS}"  # noqa: S608 - the words are our own


async def search_teams(
    queries: Queries, search: TeamSearch, after: TeamCursor, limit: int
) -> list[tuple[TeamCursor, bytes]]:
    """The teams that meet the conditions, by name: the cursor of each, and its HealthcareService.

    It is as published, but with the DoS service id and the practices that count.
    """
    rows = await queries.fetch(_PAGE, *_search_values(search), after.name, after.team_id, limit)
    return [
        (
            TeamCursor(row["name"], row["team_id"]),
            with_usable_claims(row["content"], row["dos_service_id"], row["practices"])
            if row["differs"]
            else row["content"],
        )
        for row in rows
    ]


async def count_teams(queries: Queries, search: TeamSearch) -> int:
    """The number of teams that meet the conditions."""
    return int(await queries.fetchval(_TOTAL, *_search_values(search)))


def _search_values(search: TeamSearch) -> tuple[object, ...]:
    return list(search.names), search.organisation, search.kind, search.dos_service_id, search.serves, search.active
