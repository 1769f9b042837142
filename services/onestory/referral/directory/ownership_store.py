"""SQL of ownership in the directory: authorities, claims of DoS service ids, and what of a team's words counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

import psycopg

from onestory.referral.directory.ownership import DosClaim, RefusedClaim, first_claimant
from onestory.shared.postgres.database import Transaction


def write_authorities(transaction: psycopg.Connection, authorities: Collection[str]) -> None:
    """Write the directory authorities of the settings. Where they have changed, ownership is decided anew."""
    now = {ods for (ods,) in transaction.execute("select ods from referral.directory_authority").fetchall()}
    if now == set(authorities):
        return
    transaction.execute("delete from referral.directory_authority")
    transaction.execute("insert into referral.directory_authority select unnest(%s::text[])", [sorted(authorities)])
    refresh(transaction)


def insert_claims(transaction: psycopg.Connection, claims: Iterable[DosClaim]) -> None:
    """Store the claims of statements, each with its earliest time, and write the first claimant of each id."""
    stored = list(claims)
    if not stored:
        return
    with transaction.cursor() as cursor:
        cursor.executemany(
            """insert into referral.dos_claim (shared_id, event_id, organisation, published_at, dos_service_id)
               values (%s, %s, %s, %s, %s)
               on conflict (shared_id, event_id) do update set
                   published_at = least(dos_claim.published_at, excluded.published_at)""",
            stored,
        )
    rows = transaction.execute(
        """with affected as (
               select distinct dos_service_id from referral.dos_claim
               where shared_id = any(%s) and dos_service_id <> ''
           )
           select a.dos_service_id, c.* from affected a join referral.dos_claim c on c.shared_id in (
               select shared_id from referral.dos_claim named where named.dos_service_id = a.dos_service_id)
           where not exists (select from referral.directory_authority w where w.ods = c.organisation)""",
        [sorted({claim.shared_id for claim in stored})],
    ).fetchall()
    by_id: dict[str, list[DosClaim]] = defaultdict(list)
    for dos_id, *claim in rows:
        by_id[dos_id].append(DosClaim(*claim))
    owners = [(dos_id, owner) for dos_id, all_of_it in by_id.items() if (owner := first_claimant(dos_id, all_of_it))]
    transaction.execute("delete from referral.dos_owner where dos_service_id = any(%s)", [sorted(by_id)])
    transaction.execute(
        "insert into referral.dos_owner select * from unnest(%s::text[], %s::text[])",
        [[dos_id for dos_id, _ in owners], [owner for _, owner in owners]],
    )


# An authority's word comes first: its own team with the id, or an affiliation that names the id and its provider. It
# holds while it is in force; of several the first resource decides.
_DECIDED = """
    with provider as (
        select t.shared_id, t.said_by, t.own_dos_service_id, t.own_practices,
            case when t.ods <> '' then t.ods else coalesce(o.ods, '') end as ods,
            exists (select from referral.directory_authority w where w.ods = t.said_by) as by_authority
        from referral.directory_team t
        left join referral.directory_organisation o on o.shared_id = t.organisation_id and o.said_by = t.said_by
    ), in_force as (
        select * from referral.affiliation
        where kind = 'provider' and active and (by_authority or said_by = organisation)
            and coalesce(starts_at <= now(), true) and coalesce(ends_at > now(), true)
    ), owner as (
        select distinct on (dos_service_id) dos_service_id, organisation from (
            select unnest(dos_service_ids) as dos_service_id, member as organisation, 1 as place, shared_id
            from in_force where by_authority and member <> ''
            union all select own_dos_service_id, ods, 2, shared_id from provider where by_authority and ods <> ''
            union all select dos_service_id, organisation, 3, '' from referral.dos_owner
        ) as stated
        where dos_service_id <> ''
        order by dos_service_id, place, shared_id
    ), with_id as (
        select p.*, case when owner.organisation = p.ods then p.own_dos_service_id else '' end as dos_service_id
        from provider p left join owner on owner.dos_service_id = p.own_dos_service_id
    ), served as (
        select p.shared_id, stated.practice
        from with_id p cross join lateral unnest(p.own_practices) as stated (practice)
        where stated.practice = p.ods or p.by_authority
            or exists (select from referral.practice_served_before b
                       where b.team_id = p.shared_id and b.practice = stated.practice)
            or exists (select from in_force a
                       where a.member = p.ods and a.organisation = stated.practice
                           and cardinality(a.team_ids) = 0 and cardinality(a.dos_service_ids) = 0)
        union
        select p.shared_id, a.organisation
        from with_id p join in_force a on a.member = p.ods and a.organisation <> ''
            and (p.shared_id = any(a.team_ids)
                or (p.dos_service_id <> '' and p.dos_service_id = any(a.dos_service_ids)))
    )
    select p.shared_id, coalesce(p.dos_service_id, '') as dos_service_id, coalesce(
        (select array_agg(s.practice order by s.practice) from served s where s.shared_id = p.shared_id), '{}'
    ) as practices
    from with_id p
"""


_REFRESH = f"""
    update referral.directory_team t set dos_service_id = d.dos_service_id, practices = d.practices
    from ({_DECIDED}) d where d.shared_id = t.shared_id
        and (t.dos_service_id, t.practices) is distinct from (d.dos_service_id, d.practices)
"""  # noqa: S608 - the words are our own


def refresh(transaction: psycopg.Connection) -> int:
    """Decide anew which words of all teams count. Returns the number of teams for which that has changed."""
    return transaction.execute(_REFRESH).rowcount


async def refresh_by_time(transaction: Transaction) -> None:
    """Decide anew which words of all teams count, because the time of a binding may have begun or ended."""
    await transaction.execute(_REFRESH)


def refused_claims(transaction: psycopg.Connection) -> list[RefusedClaim]:
    """Return the claims of active teams that do not count, one of each kind for a team."""
    rows = transaction.execute(
        """select kind, shared_id, said_by from (
               select 'dos-service-id' as kind, shared_id, said_by from referral.directory_team
               where active and own_dos_service_id <> dos_service_id
               union all select 'practice-served', shared_id, said_by from referral.directory_team
               where active and not own_practices <@ practices
           ) as refused order by 1, 2"""
    ).fetchall()
    return [RefusedClaim(*row) for row in rows]
