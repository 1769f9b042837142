"""A person's record as it is read: what is part of it, and the links to other identities of the person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.record.domain.alias import Link
from onestory.record.domain.search.question import Place, Question
from onestory.shared.database import Database
from onestory.shared.identity import NHS_NUMBER_SYSTEM


class CurrentEntry(NamedTuple):
    """A statement that is part of a person's record.

    A shared Patient looks the same, with its NHS number as id; it is `composed` of statements. `matches`: it is in the
    answer to the question. `content` is None where it was not fetched. `linked`: there may be something under another
    identity of the person.
    """

    person_key: str
    resource_type: str
    shared_id: str
    event_id: UUID | str
    rank: int
    published_at: datetime | None
    organisation: str
    system: str
    content_digest: bytes
    broker_time: datetime | None
    matches: bool
    content: bytes | None
    linked: bool
    composed: bool

    @property
    def place(self) -> Place:
        """Where it stands in a list: the shared Patients come first."""
        return Place("", self.person_key) if self.composed else Place(self.resource_type, self.shared_id)


# Contents come along for one page of a caller who sees everything, and for Patients, because policy needs them.
# The sub-selects are computed once, not for each row. With `= any(...)` for the key PostgreSQL would plan each call
# anew, which takes longer than the call.
_ENTRIES = """
select person_key, resource_type, shared_id, event_id,
    case when resource_type = 'Patient' then rank end as rank,
    case when resource_type = 'Patient' then published_at end as published_at,
    organisation,
    case when resource_type = 'Patient' then system end as system,
    content_digest,
    case when resource_type = 'Patient' or $3 is not null then broker_time end as broker_time,
    matches,
    case when resource_type = 'Patient' or ahead and count(*) filter (where ahead) over (
        order by resource_type, shared_id) <= $8 then content end as content,
    (select exists (
        select from patient_link link where link.person_key = $1
        and (link.kind <> 'provisional' or exists (
            select from current other where other.person_key = link.other_key)))
        or exists (select from patient_link link where link.other_key = $1)) as linked,
    false as composed
from (
    select c.*, s.broker_time, s.content, m.matches,
        m.matches and (c.resource_type, c.shared_id) > ($6, $7) as ahead
    from current c
    join statement s using (person_key, shared_id, event_id)
    cross join lateral (select
        ($2::text[] is null or c.resource_type = any($2))
        and ($3::text[] is null or c.shared_id = any($3))
        and ($4::timestamptz is null or s.broker_time >= $4)
        and ($5::timestamptz is null or s.broker_time < $5) as matches) m
    where c.person_key = $1 and c.visible
) entry
order by resource_type, shared_id
"""

_CONTENTS = """
select s.shared_id, s.content
from unnest($1::text[], $2::text[], $3::uuid[]) as wanted (person_key, shared_id, event_id)
join statement s using (person_key, shared_id, event_id)
"""

# A link is in force while the statement that makes it stands and is part of the record.
_LINKS = """
with recursive reached (person_key) as (
    select $1::text collate "C"
    union
    select next.person_key
    from reached
    cross join lateral (
        select link.other_key as person_key from patient_link link where link.person_key = reached.person_key
        union all
        select link.person_key from patient_link link where link.other_key = reached.person_key
    ) next
)
select link.person_key, link.other_key, link.kind
from reached
join patient_link link using (person_key)
join current c on c.person_key = link.person_key and c.resource_type = 'Patient'
    and c.shared_id = link.shared_id and c.event_id = link.event_id and c.visible
"""

# A source may take back under one identity what it said under another one of the same person.
_WITHDRAWN = """
select said.shared_id
from current taken_back
join current said on substr(said.shared_id, 28) = substr(taken_back.shared_id, 28)
    and (said.rank, said.published_at, said.event_id)
        < (taken_back.rank, taken_back.published_at, taken_back.event_id)
where taken_back.person_key = any($1) and taken_back.operation = 'retract'
    and said.person_key = any($1) and said.visible
"""

_NUMBERS = "select person_key, value from person where person_key = any($1) and system = $2"


async def current(database: Database, person_key: str, asked: Question) -> list[CurrentEntry]:
    """What is part of the record under this key, by type and id, in one round trip."""
    rows = await database.fetch(
        _ENTRIES,
        person_key,
        asked.types,
        asked.ids,
        asked.span.since,
        asked.span.before,
        *asked.after,
        asked.count,
    )
    return list(map(CurrentEntry._make, rows))


async def contents(database: Database, wanted: Iterable[CurrentEntry]) -> Mapping[str, bytes]:
    """The contents of entries that came without, by shared id."""
    listed = list(wanted)
    rows = await database.fetch(
        _CONTENTS,
        [entry.person_key for entry in listed],
        [entry.shared_id for entry in listed],
        [entry.event_id for entry in listed],
    )
    return {row["shared_id"]: row["content"] for row in rows}


async def withdrawn(database: Database, person_keys: Collection[str]) -> frozenset[str]:
    """Shared ids of what was taken back later under another of these identities."""
    return frozenset(row["shared_id"] for row in await database.fetch(_WITHDRAWN, list(person_keys)))


async def links(database: Database, person_key: str) -> list[Link]:
    """The links in force among all identities that can be reached from this one."""
    return [Link(*row) for row in await database.fetch(_LINKS, person_key)]


async def numbers(database: Database, person_keys: Collection[str]) -> Mapping[str, str]:
    """The NHS numbers behind those keys that stand for one."""
    rows = await database.fetch(_NUMBERS, list(person_keys), NHS_NUMBER_SYSTEM)
    return {row["person_key"]: row["value"] for row in rows}
