"""A person's record as it is read: what is part of it, and the links to other identities of the person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from sys import intern
from typing import Any, NamedTuple
from uuid import UUID

from onestory.record.search.sorting import EntryPlace
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PROVISIONAL_SYSTEM
from onestory.shared.person_links import PersonLink
from onestory.shared.postgres.database import Queries


class CurrentEntry(NamedTuple):
    """A statement that is part of a person's record.

    A shared Patient looks the same, with its NHS number as id; it is `composed` of statements. `content` is None where
    it was not fetched.
    """

    person_key: str
    resource_type: str
    shared_id: str
    event_id: UUID | str
    rank: int
    published_at: datetime | None
    recorded_at: datetime | None
    broker_time: datetime | None
    organisation: str
    system: str
    content_digest: bytes
    content: bytes | None
    composed: bool = False

    @property
    def place(self) -> EntryPlace:
        """Where it stands in a list: the shared Patients come first."""
        return EntryPlace("", self.person_key) if self.composed else EntryPlace(self.resource_type, self.shared_id)


# Contents come along for a record that is small as a whole, and for Patients, because policy needs them.
_ENTRIES = """
select c.resource_type, c.shared_id, c.event_id, c.rank, c.published_at, s.recorded_at, s.broker_time,
    c.organisation, c.system, c.content_digest,
    case when c.resource_type = 'Patient' or sum(octet_length(s.content)) over () <= $2 then s.content end as content
from current c
join statement s using (person_key, shared_id, event_id)
where c.person_key = $1 and c.visible
order by c.resource_type, c.shared_id
"""

_CONTENTS = """
select s.shared_id, s.content
from unnest($1::text[], $2::text[], $3::uuid[]) as wanted (person_key, shared_id, event_id)
join statement s using (person_key, shared_id, event_id)
"""

# A link is in force while the statement that makes it stands and is part of the record. A provisional identity of which
# nobody spoke is nobody.
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
where link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key)
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

# A source's whole list under the number that it now knows leaves out what it said before it knew one. A list under one
# of two numbers says nothing of the other: the source may have two records of that person.
_LEFT_OUT = """
select said.shared_id
from current said
join person unnumbered on unnumbered.person_key = said.person_key and unnumbered.system = $2
    and starts_with(unnumbered.value, said.organisation || '|' || said.system || '|')
join patient_link link on link.other_key = said.person_key and link.kind = 'provisional' and link.person_key = any($1)
cross join lateral (
    select l.* from whole_list l
    where l.person_key = link.person_key and l.organisation = said.organisation and l.system = said.system
        and l.resource_type = said.resource_type
    order by l.rank desc, l.published_at desc, l.event_id desc limit 1
) listed
where said.person_key = any($1) and said.visible
    and (said.rank, said.published_at, said.event_id) < (listed.rank, listed.published_at, listed.event_id)
    and not exists (
        select from statement s
        where s.person_key = listed.person_key and s.event_id = listed.event_id
            and s.shared_id = listed.person_key || '-' || substr(said.shared_id, 28)
    )
"""

_NUMBERS = "select person_key, value from person where person_key = any($1) and system = $2"


async def current(queries: Queries, person_key: str, content_bytes: int) -> list[CurrentEntry]:
    """What is part of the record under this key, by type and id; with its contents if they are not more bytes."""
    rows = await queries.fetch(_ENTRIES, person_key, content_bytes)
    return [_entry(person_key, *row) for row in rows]


async def contents(queries: Queries, wanted: Iterable[CurrentEntry]) -> Mapping[str, bytes]:
    """The contents of entries that came without, by shared id."""
    listed = list(wanted)
    rows = await queries.fetch(
        _CONTENTS,
        [entry.person_key for entry in listed],
        [entry.shared_id for entry in listed],
        [entry.event_id for entry in listed],
    )
    return {row["shared_id"]: row["content"] for row in rows}


async def whole(queries: Queries, some: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
    """The same entries with all of their contents."""
    missing = [entry for entry in some if entry.content is None]
    if not missing:
        return some
    found = await contents(queries, missing)
    return [entry if entry.content else entry._replace(content=found[entry.shared_id]) for entry in some]


async def withdrawn(queries: Queries, person_keys: Collection[str]) -> frozenset[str]:
    """Shared ids of what its source took back later, or left out of a whole list, under another of these identities."""
    asked = list(person_keys)
    rows = [*await queries.fetch(_WITHDRAWN, asked), *await queries.fetch(_LEFT_OUT, asked, PROVISIONAL_SYSTEM)]
    return frozenset(row["shared_id"] for row in rows)


async def links(queries: Queries, person_key: str) -> list[PersonLink]:
    """The links in force among all identities that can be reached from this one."""
    return [PersonLink(*row) for row in await queries.fetch(_LINKS, person_key)]


async def numbers(queries: Queries, person_keys: Collection[str]) -> Mapping[str, str]:
    """The NHS numbers behind those keys that stand for one."""
    rows = await queries.fetch(_NUMBERS, list(person_keys), NHS_NUMBER_SYSTEM)
    return {row["person_key"]: row["value"] for row in rows}


def _entry(person_key: str, resource_type: str, shared_id: str, *rest: Any) -> CurrentEntry:
    event_id, rank, published_at, recorded_at, broker_time, organisation, system, content_digest, content = rest
    # The same few words stand in every row, and entries are kept.
    return CurrentEntry(
        person_key,
        intern(resource_type),
        shared_id,
        event_id,
        rank,
        published_at,
        recorded_at,
        broker_time,
        intern(organisation),
        intern(system),
        content_digest,
        content,
    )


# What stood at an earlier moment for resources whose place in a list is asked for.

_STOOD = """
select distinct on (s.person_key, s.shared_id) s.shared_id, s.content
from unnest($1::text[], $2::text[]) as wanted (person_key, shared_id)
join statement s using (person_key, shared_id)
where s.broker_time <= $3
order by s.person_key, s.shared_id, s.rank desc, s.published_at desc, s.event_id desc
"""


async def contents_at(queries: Queries, wanted: Collection[CurrentEntry], moment: datetime) -> Mapping[str, bytes]:
    """The contents that these resources had at a moment, by shared id; without those that were not there."""
    if not wanted:
        return {}
    keys, ids = [entry.person_key for entry in wanted], [entry.shared_id for entry in wanted]
    rows = await queries.fetch(_STOOD, keys, ids, moment)
    return {row["shared_id"]: row["content"] for row in rows if row["content"] is not None}


# The directory as it is read: several of its resources at once.


class DirectoryEntry(NamedTuple):
    """A resource of the directory as it stands."""

    resource_type: str
    shared_id: str
    event_id: UUID
    content: bytes


_STANDING = """
select c.resource_type, c.shared_id, c.event_id, s.content
from unnest($1::text[], $2::text[]) as wanted (resource_type, shared_id)
join directory_current c using (resource_type, shared_id)
join directory_statement s using (shared_id, event_id)
where c.operation = 'assert'
order by c.resource_type, c.shared_id
"""


async def standing(queries: Queries, wanted: Collection[tuple[str, str]]) -> list[DirectoryEntry]:
    """Of these (type, id) those that the directory has."""
    if not wanted:
        return []
    rows = await queries.fetch(_STANDING, [kind for kind, _ in wanted], [shared_id for _, shared_id in wanted])
    return [DirectoryEntry(*row) for row in rows]
