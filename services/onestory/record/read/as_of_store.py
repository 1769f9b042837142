"""SQL of a person's record as of a moment, by the rules of the current record.

No past record is stored. It follows from the statements, whole lists and claims that had arrived by then, as their
broker times show. Their order keys are as they were before later repetitions lowered them. See
docs/explanation/decisions/0009-the-record-as-it-was.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from onestory.record.read.store import CurrentEntry, DirectoryEntry
from onestory.record.search.dates import TimeRange
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PROVISIONAL_SYSTEM
from onestory.shared.identity_links import IdentityLink
from onestory.shared.postgres.database import Queries

# $1: the person keys. $2: the moment.
_CURRENT = """
lowered as (
    select person_key, shared_id, event_id,
        max(rank) as rank, max(published_at) as published_at, max(recorded_at) as recorded_at
    from lowering where person_key = any($1) and broker_time > $2
    group by person_key, shared_id, event_id
), current_then as (
    select distinct on (s.person_key, s.shared_id)
        s.person_key, s.resource_type, s.shared_id, s.event_id,
        coalesce(l.rank, s.rank) as rank, coalesce(l.published_at, s.published_at) as published_at,
        coalesce(l.recorded_at, s.recorded_at) as recorded_at,
        s.broker_time, s.organisation, s.system, s.operation, s.content_digest, s.restricted
    from statement s
    left join lowered l using (person_key, shared_id, event_id)
    where s.person_key = any($1) and s.broker_time <= $2
    order by s.person_key, s.shared_id,
        coalesce(l.rank, s.rank) desc, coalesce(l.published_at, s.published_at) desc, s.event_id desc
), list_lowered as (
    select person_key, organisation, system, resource_type, event_id,
        max(rank) as rank, max(published_at) as published_at
    from whole_list_lowering where person_key = any($1) and broker_time > $2
    group by person_key, organisation, system, resource_type, event_id
), list as (
    select distinct on (w.person_key, w.organisation, w.system, w.resource_type)
        w.person_key, w.organisation, w.system, w.resource_type, w.event_id,
        coalesce(l.rank, w.rank) as rank, coalesce(l.published_at, w.published_at) as published_at
    from whole_list w
    left join list_lowered l using (person_key, organisation, system, resource_type, event_id)
    where w.person_key = any($1) and w.broker_time <= $2
    order by w.person_key, w.organisation, w.system, w.resource_type,
        coalesce(l.rank, w.rank) desc, coalesce(l.published_at, w.published_at) desc, w.event_id desc
), visible as (
    select s.*
    from current_then s
    left join list using (person_key, organisation, system, resource_type)
    where s.operation = 'assert'
        and (list.event_id is null
            or (s.rank, s.published_at, s.event_id) >= (list.rank, list.published_at, list.event_id)
            or exists (
                select from statement listed
                where (listed.person_key, listed.shared_id, listed.event_id)
                    = (s.person_key, s.shared_id, list.event_id)))
)"""

# A source may retract under one identity a statement that it made under another identity of the same person. Its whole
# list under an NHS number retires the statements that it made before it knew the number.
_ENTRIES = f"""
with {_CURRENT}, taken_back as materialized (
    select * from current_then where operation = 'retract' and cardinality($1) > 1
), left_out as materialized (
    select v.shared_id
    from visible v
    join person unnumbered on unnumbered.person_key = v.person_key and unnumbered.system = $4
        and starts_with(unnumbered.value, v.organisation || '|' || v.system || '|')
    join patient_link link on link.other_key = v.person_key and link.kind = 'provisional' and link.person_key = any($1)
    join statement made
        on (made.person_key, made.shared_id, made.event_id) = (link.person_key, link.shared_id, link.event_id)
        and made.broker_time <= $2
    join list on list.person_key = link.person_key and list.organisation = v.organisation and list.system = v.system
        and list.resource_type = v.resource_type
    where (v.rank, v.published_at, v.event_id) < (list.rank, list.published_at, list.event_id)
        and not exists (
            select from statement s
            where s.person_key = list.person_key and s.event_id = list.event_id
                and s.shared_id = list.person_key || '-' || substr(v.shared_id, 28))
)
select v.person_key, v.resource_type, v.shared_id, v.event_id, v.rank, v.published_at, v.recorded_at, v.broker_time,
    v.organisation, v.system, v.content_digest,
    case when v.resource_type = 'Patient' or sum(octet_length(s.content)) over () <= $3 then s.content end as content,
    false as composed, v.restricted
from visible v
join statement s using (person_key, shared_id, event_id)
where not exists (
    select from taken_back t
    where substr(t.shared_id, 28) = substr(v.shared_id, 28)
        and (v.rank, v.published_at, v.event_id) < (t.rank, t.published_at, t.event_id))
    and not exists (select from left_out where left_out.shared_id = v.shared_id)
order by v.resource_type, v.shared_id
"""  # noqa: S608 - no value is inserted

# As in the current record, a provisional identity without any statement is no person.
_LINKS = f"""
with {_CURRENT}
select link.shared_id, link.person_key, link.other_key, link.kind
from visible v
join patient_link link using (person_key, shared_id, event_id)
where v.resource_type = 'Patient' and not link.beyond_limit and (link.kind <> 'provisional'
    or exists (select from statement older where older.person_key = link.other_key and older.broker_time <= $2)
    or exists (select from whole_list older where older.person_key = link.other_key and older.broker_time <= $2))
"""  # noqa: S608

# $3: the identities that are the same person now; null for any. Only resources that several persons claimed count.
_OWNED_BY_OTHERS = """
with contested as (
    select distinct resource_hash from claimant where person_key = any($1)
), claim as (
    select distinct on (contested.resource_hash) contested.resource_hash, s.person_key
    from contested
    join claimant c using (resource_hash)
    join statement s on s.person_key = c.person_key and s.shared_id = c.person_key || '-' || contested.resource_hash
    left join lateral (
        select max(rank) as rank, max(published_at) as published_at
        from lowering later
        where (later.person_key, later.shared_id, later.event_id) = (s.person_key, s.shared_id, s.event_id)
            and later.broker_time > $2
    ) l on true
    where s.operation = 'assert' and s.broker_time <= $2
    order by contested.resource_hash,
        coalesce(l.rank, s.rank) desc, coalesce(l.published_at, s.published_at) desc, s.event_id desc
)
select claimant.person_key || '-' || claimant.resource_hash as shared_id
from claim
join claimant using (resource_hash)
join owner using (resource_hash)
where claimant.person_key = any($1)
    and (claimant.person_key <> claim.person_key or owner.person_key <> all($3::text[]))
"""

_REACHABLE = """
with recursive reached (person_key) as (
    select $1::text collate "C"
    union
    select next.person_key
    from reached
    cross join lateral (
        select link.other_key as person_key from patient_link link
        where link.person_key = reached.person_key and not link.beyond_limit
        union all
        select link.person_key from patient_link link
        where link.other_key = reached.person_key and not link.beyond_limit
    ) next
)
select person_key from reached
"""

# A number was known only if there was a statement or a whole list under it.
_NHS_NUMBERS = """
select person_key, value from person
where person_key = any($1) and system = $2
    and (exists (select from statement older where older.person_key = person.person_key and older.broker_time <= $3)
        or exists (select from whole_list older where older.person_key = person.person_key and older.broker_time <= $3))
"""

# The shared Patient may change with a Patient statement, with a whole list, and with the first statement of a number.
_PATIENT_CHANGE_TIMES = """
with moments as (
    select broker_time from statement
    where person_key = any($1) and resource_type = 'Patient' and ($2::text is null or organisation = $2)
    union
    select broker_time from whole_list
    where person_key = any($1) and resource_type = 'Patient' and ($2::text is null or organisation = $2)
    union
    select l.broker_time from lowering l
    join statement s using (person_key, shared_id, event_id)
    where l.person_key = any($1) and s.resource_type = 'Patient' and ($2::text is null or s.organisation = $2)
    union
    select min(broker_time) from statement
    where person_key = any($1) and ($2::text is null or organisation = $2)
    group by person_key
)
select broker_time from moments
where ($3::timestamptz is null or broker_time >= $3) and ($4::timestamptz is null or broker_time < $4)
order by broker_time desc
limit $5
"""


_OF_MISTAKEN_REFERRALS = """
select c.shared_id from referral_carried c join referral r using (person_key, referral_id)
where c.person_key = any($1) and r.status = 'entered-in-error'
"""


async def current_entries(
    queries: Queries, person_keys: Collection[str], at: datetime, same_now: Collection[str], content_bytes: int
) -> list[CurrentEntry]:
    """The entries under these keys at a moment, by type and id; with contents if these have at most `content_bytes`.

    Entries that now belong to a person who is not in `same_now` are left out, and so are the resources of a referral
    that was a mistake.
    """
    rows = await queries.fetch(_ENTRIES, list(person_keys), at, content_bytes, PROVISIONAL_SYSTEM)
    others = await _owned_by_others(queries, person_keys, at, same_now)
    entries = [CurrentEntry(*row) for row in rows if row["shared_id"] not in others]
    if all(entry.system != REFERRAL_SYSTEM for entry in entries):
        return entries
    mistaken = {row["shared_id"] for row in await queries.fetch(_OF_MISTAKEN_REFERRALS, list(person_keys))}
    return [entry for entry in entries if entry.system != REFERRAL_SYSTEM or entry.shared_id not in mistaken]


async def links_in_force(queries: Queries, person_key: str, at: datetime) -> list[IdentityLink]:
    """The links in force at a moment, between all identities that could ever be reached from this one."""
    reachable = [row["person_key"] for row in await queries.fetch(_REACHABLE, person_key)]
    if len(reachable) == 1:
        return []
    rows = await queries.fetch(_LINKS, reachable, at)
    others = await _owned_by_others(queries, reachable, at, None)
    return [IdentityLink(*link) for shared_id, *link in rows if shared_id not in others]


async def _owned_by_others(
    queries: Queries, person_keys: Collection[str], at: datetime, same_now: Collection[str] | None
) -> frozenset[str]:
    """Shared ids of resources that belonged to another person then, or belong to none of `same_now` now."""
    now = None if same_now is None else list(same_now)
    return frozenset(row["shared_id"] for row in await queries.fetch(_OWNED_BY_OTHERS, list(person_keys), at, now))


async def nhs_numbers(queries: Queries, person_keys: Collection[str], at: datetime) -> Mapping[str, str]:
    """The NHS number of each key that has one and had a statement or whole list at that moment."""
    rows = await queries.fetch(_NHS_NUMBERS, list(person_keys), NHS_NUMBER_SYSTEM, at)
    return {row["person_key"]: row["value"] for row in rows}


async def patient_change_times(
    queries: Queries,
    person_keys: Collection[str],
    organisation: str | None,
    time_range: TimeRange,
    limit: int,
) -> list[datetime]:
    """At most `limit` broker times at which the shared Patient may have changed, latest first.

    With `organisation`, only by its statements.
    """
    rows = await queries.fetch(_PATIENT_CHANGE_TIMES, list(person_keys), organisation, *time_range, limit)
    return [row["broker_time"] for row in rows]


_DIRECTORY_ENTRIES = """
select resource_type, shared_id, event_id, content
from (
    select distinct on (s.shared_id) s.*
    from unnest($1::text[], $2::text[]) as wanted (resource_type, shared_id)
    join directory_statement s using (resource_type, shared_id)
    where s.broker_time <= $3
    order by s.shared_id, s.rank desc, s.published_at desc, s.event_id desc
) as then_current
where operation = 'assert'
order by resource_type, shared_id
"""


async def directory_entries(
    queries: Queries, wanted: Collection[tuple[str, str]], at: datetime
) -> list[DirectoryEntry]:
    """The directory's resources among these pairs of type and id, as they were at a moment."""
    rows = await queries.fetch(_DIRECTORY_ENTRIES, *map(list, zip(*wanted, strict=True)), at)
    return [DirectoryEntry(*row) for row in rows]
