"""The teams of the directory, as somebody looks for one to refer to."""

from __future__ import annotations

from dataclasses import dataclass

from onestory.shared.database import Queries


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
class Place:
    """Where a page begins: behind this team, in the order of names."""

    name: str
    team_id: str


START = Place("", "")

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


async def page(queries: Queries, sought: Sought, after: Place, most: int) -> list[tuple[Place, bytes]]:
    """The teams that fit, in the order of names: where each stands, and its HealthcareService as it was published."""
    rows = await queries.fetch(_PAGE, *_values(sought), after.name, after.team_id, most)
    return [(Place(row["name"], row["team_id"]), row["content"]) for row in rows]


async def total(queries: Queries, sought: Sought) -> int:
    """How many teams fit."""
    return int(await queries.fetchval(_TOTAL, *_values(sought)))


def _values(sought: Sought) -> tuple[object, ...]:
    return list(sought.names), sought.organisation, sought.kind, sought.dos_service_id, sought.serves, sought.active
