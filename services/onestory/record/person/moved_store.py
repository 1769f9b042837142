"""What left a person: said of somebody else since, or under an alias that was undone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import psycopg

from onestory.record.person.moved import ALIAS_UNDONE, SAID_OF_ANOTHER, Left
from onestory.shared.identity import NHS_NUMBER_SYSTEM

# From when it first stood there, until somebody else's greater assertion came. What came too late was never there.
_SAID_OF_ANOTHER = """
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

# Two identities that were linked: from when the first link came until the last one ended. Each showed what both had.
_UNDONE = """
select link.person_key, link.other_key, min(s.broker_time), max(ended.at)
from patient_link link
join statement s using (person_key, shared_id, event_id)
cross join lateral (
    select coalesce(min(later.broker_time), now()) as at from statement later
    where later.person_key = s.person_key and later.shared_id = s.shared_id
        and (later.rank, later.published_at, later.event_id) > (s.rank, s.published_at, s.event_id)
) ended
where s.broker_time < ended.at and (%(person)s::text is null or %(person)s in (link.person_key, link.other_key))
    and exists (select from person where person.person_key = link.other_key)
group by link.person_key, link.other_key
having %(since)s::timestamptz is null or max(ended.at) >= %(since)s
"""

_SAID = """
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


def left(connection: psycopg.Connection, person_key: str | None, since: datetime | None) -> list[Left]:
    """What left this person, or anybody, at this time or later, in the order in which it left.

    What is now under another identity of the same person has not left.
    """
    asked = {"person": person_key, "since": since}
    rows = connection.execute(_SAID_OF_ANOTHER, asked).fetchall()
    moved = [
        Left(mine, now, kind, shared_id, organisation, SAID_OF_ANOTHER, came, gone)
        for mine, now, kind, shared_id, organisation, came, gone in rows
    ]
    undone = connection.execute(_UNDONE, asked).fetchall()
    apart = _apart(connection, [(each.person_key, each.now_key) for each in moved] + [row[:2] for row in undone])
    found = [each for each in moved if (each.person_key, each.now_key) in apart]
    for one, other, began, ended in undone:
        if (one, other) in apart:
            found += _read_as(connection, one, other, began, ended)
            found += _read_as(connection, other, one, began, ended)
    asked_for = [each for each in found if person_key in (None, each.person_key)]
    return sorted(asked_for, key=lambda each: (each.until, each.shared_id, each.person_key))


def person_key_of(connection: psycopg.Connection, number: str) -> str | None:
    """The person key behind an NHS number, if anybody has spoken of it."""
    row = connection.execute(
        "select person_key from person where system = %s and value = %s", [NHS_NUMBER_SYSTEM, number]
    ).fetchone()
    return row[0] if row else None


def _read_as(
    connection: psycopg.Connection, person_key: str, other_key: str, began: datetime, ended: datetime
) -> list[Left]:
    rows = connection.execute(_SAID, [other_key, ended]).fetchall()
    return [
        Left(person_key, other_key, kind, shared_id, organisation, ALIAS_UNDONE, max(began, said_at), ended)
        for kind, shared_id, organisation, said_at in rows
    ]


def _apart(connection: psycopg.Connection, pairs: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    apart = set()
    for pair in set(pairs):
        row = connection.execute(_SAME_PERSON, list(pair)).fetchone()
        if row and not row[0]:
            apart.add(pair)
    return apart
