"""SQL for `moved`: resources that their source moved to another person, or that an undone identity link had brought."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import psycopg

from onestory.record.person.moved import ASSERTED_FOR_ANOTHER, LINK_UNDONE, MovedResource
from onestory.shared.identity import NHS_NUMBER_SYSTEM


def moved_resources(
    connection: psycopg.Connection, person_key: str | None, since: datetime | None
) -> list[MovedResource]:
    """The resources that left this person, or any person, at `since` or later, in the order in which they left.

    A resource that is now under another identity of the same person has not left.
    """
    parameters = {"person": person_key, "since": since}
    rows = connection.execute(_ASSERTED_FOR_ANOTHER, parameters).fetchall()
    moved = [
        MovedResource(
            former_key, now_key, resource_type, shared_id, organisation, ASSERTED_FOR_ANOTHER, since_time, until_time
        )
        for former_key, now_key, resource_type, shared_id, organisation, since_time, until_time in rows
    ]
    undone_links = connection.execute(_LINKS_UNDONE, parameters).fetchall()
    different = _different_persons(
        connection, [(resource.person_key, resource.now_key) for resource in moved] + [row[:2] for row in undone_links]
    )
    resources = [resource for resource in moved if (resource.person_key, resource.now_key) in different]
    for one, other, began, ended in undone_links:
        if (one, other) in different:
            resources += _moved_by_link(connection, one, other, began, ended)
            resources += _moved_by_link(connection, other, one, began, ended)
    selected = [resource for resource in resources if person_key in (None, resource.person_key)]
    return sorted(selected, key=lambda resource: (resource.until, resource.shared_id, resource.person_key))


def _moved_by_link(
    connection: psycopg.Connection, person_key: str, other_key: str, began: datetime, ended: datetime
) -> list[MovedResource]:
    rows = connection.execute(_ASSERTED_UNTIL, [other_key, ended]).fetchall()
    return [
        MovedResource(
            person_key, other_key, resource_type, shared_id, organisation, LINK_UNDONE, max(began, asserted_at), ended
        )
        for resource_type, shared_id, organisation, asserted_at in rows
    ]


def _different_persons(connection: psycopg.Connection, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    different = set()
    for pair in set(pairs):
        row = connection.execute(_SAME_PERSON, list(pair)).fetchone()
        if row and not row[0]:
            different.add(pair)
    return different


def person_key_of(connection: psycopg.Connection, number: str) -> str | None:
    """The person key of an NHS number; None when nothing is stored about that person."""
    row = connection.execute(
        "select person_key from person where system = %s and value = %s", [NHS_NUMBER_SYSTEM, number]
    ).fetchone()
    return row[0] if row else None


# From the first assertion under this person to the first greater assertion under another one. A resource whose first
# assertion here came later than that was never part of this record.
_ASSERTED_FOR_ANOTHER = """
select gone.person_key, gone.now_key, last.resource_type, last.shared_id, last.organisation, first.at, later.at
from (
    select claimant.person_key, owner.person_key as now_key, resource_hash
    from claimant join owner using (resource_hash)
    where owner.person_key <> claimant.person_key and (%(person)s::text is null or claimant.person_key = %(person)s)
) gone
cross join lateral (
    select s.* from statement s
    where s.person_key = gone.person_key and s.shared_id = gone.person_key || '-' || gone.resource_hash
        and s.operation = 'assert'
    order by s.rank desc, s.published_at desc, s.event_id desc limit 1
) last
cross join lateral (
    select min(s.broker_time) as at from statement s
    where s.person_key = gone.person_key and s.shared_id = last.shared_id and s.operation = 'assert'
) first
cross join lateral (
    select min(s.broker_time) as at
    from claimant other
    join statement s on s.person_key = other.person_key and s.shared_id = other.person_key || '-' || gone.resource_hash
    where other.resource_hash = gone.resource_hash and other.person_key <> gone.person_key and s.operation = 'assert'
        and (s.rank, s.published_at, s.event_id) > (last.rank, last.published_at, last.event_id)
) later
where first.at < later.at and (%(since)s::timestamptz is null or later.at >= %(since)s)
order by later.at, last.shared_id
"""

# Two identities that were linked: from the first link to the end of the last one. Each showed the resources of both.
_LINKS_UNDONE = """
select link.person_key, link.other_key, min(s.broker_time), max(ended.at)
from patient_link link
join statement s using (person_key, shared_id, event_id)
cross join lateral (
    select coalesce(min(later.broker_time), now()) as at from statement later
    where later.person_key = s.person_key and later.shared_id = s.shared_id
        and (later.rank, later.published_at, later.event_id) > (s.rank, s.published_at, s.event_id)
) ended
where s.broker_time < ended.at and not link.beyond_limit
    and (%(person)s::text is null or %(person)s in (link.person_key, link.other_key))
    and exists (select from person where person.person_key = link.other_key)
group by link.person_key, link.other_key
having %(since)s::timestamptz is null or max(ended.at) >= %(since)s
"""
_ASSERTED_UNTIL = """
select resource_type, shared_id, min(organisation), min(broker_time)
from statement
where person_key = %s and operation = 'assert'
group by resource_type, shared_id
having min(broker_time) < %s
order by resource_type, shared_id
"""
_SAME_PERSON = """
with recursive reached (person_key) as (
    select %s::text collate "C"
    union
    select next.person_key
    from reached
    cross join lateral (
        select link.other_key as person_key from identity_link link where link.person_key = reached.person_key
        union all
        select link.person_key from identity_link link where link.other_key = reached.person_key
    ) next
)
select exists (select from reached where person_key = %s)
"""
