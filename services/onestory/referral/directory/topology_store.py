"""SQL of the directory as it was at a moment: networks, members, teams and successions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from onestory.shared.fhir.dates import format_instant
from onestory.shared.postgres.database import Queries

_MEMBERS = """
    select code.network, coalesce(n.name, '') as network_name, a.member, coalesce(o.name, '') as name,
        a.starts_at, a.ends_at
    from referral.affiliation a
    join referral.directory_affiliation raw using (shared_id)
    left join lateral (
        select d.network, d.ods, d.name, d.kind, d.active from referral.directory_organisation d
        where d.said_by = a.said_by and (d.shared_id = raw.organisation_id
            or (raw.network <> '' and d.network = raw.network) or (raw.ods <> '' and d.ods = raw.ods))
        order by d.active desc, d.shared_id limit 1
    ) n on true
    cross join lateral (select coalesce(nullif(raw.network, ''), nullif(n.network, ''), n.ods) as network) code
    left join referral.organisation o on o.ods = a.member
    where a.kind = 'member' and a.by_authority and a.active and a.member <> '' and code.network is not null
        and (raw.network <> '' or n.kind = 'network')
        and coalesce(a.starts_at <= $1, true) and coalesce(a.ends_at > $1, true)
    order by 1, 3
"""
_TEAMS = """
    select t.team_id, t.organisation, said.content, said.operation
    from referral.team t
    cross join lateral (
        select content, operation from referral.directory_statement s
        where s.shared_id = t.team_id and s.published_at <= $1
        order by rank desc, published_at desc, event_id desc limit 1
    ) said
    order by t.organisation, t.team_id
"""
_SUCCESSIONS = """
    select s.* from referral.succession s
    join referral.directory_succession d using (succession_id)
    cross join lateral (
        select min(published_at) as stated_at from referral.directory_statement where shared_id = d.resource_id
    ) first
    where coalesce(s.starts_at, first.stated_at) <= $1 order by s.succession_id, s.old_team
"""


async def topology(queries: Queries, at: datetime) -> dict[str, Any]:
    """The networks with their members, the teams and the successions at a moment, as JSON.

    Members follow the periods of membership that the directory states now. Teams are as they were stated by then.
    """
    networks: dict[str, dict[str, Any]] = {}
    for row in await queries.fetch(_MEMBERS, at):
        network = networks.setdefault(
            row["network"], {"network": row["network"], "name": row["network_name"], "members": []}
        )
        network["members"].append(
            _without_empty(
                organisation=row["member"],
                name=row["name"],
                starts=row["starts_at"] and format_instant(row["starts_at"]),
                ends=row["ends_at"] and format_instant(row["ends_at"]),
            )
        )
    teams = [
        _team(row["team_id"], row["organisation"], orjson.loads(row["content"]))
        for row in await queries.fetch(_TEAMS, at)
        if row["operation"] == "assert" and row["content"]
    ]
    successions = [
        _without_empty(
            succession=row["succession_id"],
            kind=row["kind"],
            **{
                side: _without_empty(
                    organisation=row[f"{side}_organisation"], team=row[f"{side}_team"], user=row[f"{side}_user"]
                )
                for side in ("old", "new")
            },
            practices=list(row["practices"]),
        )
        for row in await queries.fetch(_SUCCESSIONS, at)
    ]
    return {"networks": list(networks.values()), "teams": teams, "successions": successions}


def _team(team_id: str, organisation: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "team": team_id,
        "organisation": organisation,
        "name": resource.get("name", ""),
        "active": resource.get("active", True),
    }


def _without_empty(**parts: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if value not in ("", None, [], {})}
