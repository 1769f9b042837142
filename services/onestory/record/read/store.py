"""SQL of the record: the current entries of a person, the identity links, and entries of the directory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from sys import intern
from typing import Any, NamedTuple
from uuid import UUID

from onestory.record.person.labels import redacted_version
from onestory.record.search.sorting import EntryCursor
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PROVISIONAL_SYSTEM
from onestory.shared.identity_links import IdentityLink
from onestory.shared.postgres.database import Queries
from onestory.shared.turns import wait_for_large_turn


class CurrentEntry(NamedTuple):
    """A statement that is part of a person's record.

    A shared Patient has the same fields, with its NHS number as id. It is `composed`, not stored. `content` is JSON
    bytes, or None if it was not fetched. `restricted`: its source labels it R or V. `redacted`: contact details were
    taken out of the content.
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
    restricted: bool = False
    redacted: bool = False

    @property
    def version_id(self) -> str:
        """The version id of the content: meta.versionId, and the ETag."""
        return redacted_version(self.event_id) if self.redacted else str(self.event_id)

    @property
    def resource_hash(self) -> str:
        """The hash of the resource, which is the same under every identity of the person."""
        return resource_hash_of(self.shared_id)

    @property
    def cursor(self) -> EntryCursor:
        """The cursor that names this entry. Cursors sort as lists do: shared Patients first, then by type and id."""
        return EntryCursor("", self.person_key) if self.composed else EntryCursor(self.resource_type, self.shared_id)


def resource_hash_of(shared_id: str) -> str:
    """The part of a shared id after the person key, which has 26 letters."""
    return shared_id[27:]


# Contents are fetched for Patients, because policy needs them, and for all if the whole record is small.
_ENTRIES = """
select c.person_key, c.resource_type, c.shared_id, c.event_id, c.rank, c.published_at, s.recorded_at, s.broker_time,
    c.organisation, c.system, c.content_digest,
    case when c.resource_type = 'Patient' or sum(octet_length(s.content)) over () <= $2 then s.content end as content,
    s.restricted
from current c
join statement s using (person_key, shared_id, event_id)
where c.person_key = any($1) and c.visible
order by c.resource_type, c.shared_id
"""

_CONTENTS = """
select s.shared_id, s.content
from unnest($1::text[], $2::text[], $3::uuid[]) as wanted (person_key, shared_id, event_id)
join statement s using (person_key, shared_id, event_id)
"""

# A link is in force while its statement is current and part of the record. A provisional identity without any statement
# is no person.
_LINKS = """
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
select link.person_key, link.other_key, link.kind
from reached
join patient_link link using (person_key)
join current c on c.person_key = link.person_key and c.resource_type = 'Patient'
    and c.shared_id = link.shared_id and c.event_id = link.event_id and c.visible
where not link.beyond_limit
    and (link.kind <> 'provisional' or exists (select from person where person.person_key = link.other_key))
"""

# A source may retract under one identity a statement that it made under another identity of the same person.
_WITHDRAWN = """
select older.shared_id
from current taken_back
join current older on substr(older.shared_id, 28) = substr(taken_back.shared_id, 28)
    and (older.rank, older.published_at, older.event_id)
        < (taken_back.rank, taken_back.published_at, taken_back.event_id)
where taken_back.person_key = any($1) and taken_back.operation = 'retract'
    and older.person_key = any($1) and older.visible
"""

# A source's whole list under an NHS number retires the statements that it made before it knew the number. A list under
# one of two NHS numbers retires nothing under the other: the source may have two records of that person.
_LEFT_OUT = """
select older.shared_id
from current older
join person unnumbered on unnumbered.person_key = older.person_key and unnumbered.system = $2
    and starts_with(unnumbered.value, older.organisation || '|' || older.system || '|')
join patient_link link on link.other_key = older.person_key and link.kind = 'provisional' and link.person_key = any($1)
cross join lateral (
    select l.* from whole_list l
    where l.person_key = link.person_key and l.organisation = older.organisation and l.system = older.system
        and l.resource_type = older.resource_type
    order by l.rank desc, l.published_at desc, l.event_id desc limit 1
) listed
where older.person_key = any($1) and older.visible
    and (older.rank, older.published_at, older.event_id) < (listed.rank, listed.published_at, listed.event_id)
    and not exists (
        select from statement s
        where s.person_key = listed.person_key and s.event_id = listed.event_id
            and s.shared_id = listed.person_key || '-' || substr(older.shared_id, 28)
    )
"""

_NHS_NUMBERS = "select person_key, value from person where person_key = any($1) and system = $2"


async def current_entries(queries: Queries, person_keys: Collection[str], content_bytes: int) -> list[CurrentEntry]:
    """The current entries under these keys, by type and id; with contents if these have at most `content_bytes`."""
    rows = await queries.fetch(_ENTRIES, list(person_keys), content_bytes)
    return [_entry(*row) for row in rows]


async def contents(queries: Queries, wanted: Iterable[CurrentEntry]) -> Mapping[str, bytes]:
    """The contents of these entries, by shared id."""
    listed = list(wanted)
    rows = await queries.fetch(
        _CONTENTS,
        [entry.person_key for entry in listed],
        [entry.shared_id for entry in listed],
        [entry.event_id for entry in listed],
    )
    return {row["shared_id"]: row["content"] for row in rows}


async def with_contents(queries: Queries, entries: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
    """The same entries, all with contents."""
    missing = [entry for entry in entries if entry.content is None]
    if not missing:
        return entries
    await wait_for_large_turn()
    fetched = await contents(queries, missing)
    return [entry if entry.content else entry._replace(content=fetched[entry.shared_id]) for entry in entries]


async def withdrawn_ids(queries: Queries, person_keys: Collection[str]) -> frozenset[str]:
    """Shared ids of entries that their source retracted or left out of a whole list later, under another identity."""
    keys = list(person_keys)
    rows = [*await queries.fetch(_WITHDRAWN, keys), *await queries.fetch(_LEFT_OUT, keys, PROVISIONAL_SYSTEM)]
    return frozenset(row["shared_id"] for row in rows)


# A source takes a label off when it states the resource again without one. A retraction takes none off.
_RESTRICTED = """
with labelled as (
    select distinct substr(shared_id, 28) as resource_hash from statement where person_key = any($1) and restricted
), newest as (
    select distinct on (labelled.resource_hash) labelled.resource_hash, s.restricted
    from labelled
    cross join unnest($1::text[]) as identity (person_key)
    join statement s on s.person_key = identity.person_key
        and s.shared_id = identity.person_key || '-' || labelled.resource_hash
    where s.operation = 'assert'
    order by labelled.resource_hash, s.rank desc, s.published_at desc, s.event_id desc
)
select resource_hash from newest where restricted
"""


async def restricted_resources(queries: Queries, person_keys: Collection[str]) -> frozenset[str]:
    """The hashes of resources whose newest assertion, under any of these keys, has a label R or V."""
    return frozenset(row["resource_hash"] for row in await queries.fetch(_RESTRICTED, list(person_keys)))


async def links_in_force(queries: Queries, person_key: str) -> list[IdentityLink]:
    """The links in force between all identities that can be reached from this one."""
    return [IdentityLink(*row) for row in await queries.fetch(_LINKS, person_key)]


async def nhs_numbers(queries: Queries, person_keys: Collection[str]) -> Mapping[str, str]:
    """The NHS number of each key that has one."""
    rows = await queries.fetch(_NHS_NUMBERS, list(person_keys), NHS_NUMBER_SYSTEM)
    return {row["person_key"]: row["value"] for row in rows}


def _entry(person_key: str, resource_type: str, shared_id: str, *rest: Any) -> CurrentEntry:
    event_id, rank, published_at, recorded_at, broker_time, organisation, system, digest, content, restricted = rest
    # These texts are the same in many rows, and entries are cached.
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
        digest,
        content,
        restricted=restricted,
    )


_CONTENTS_AS_OF = """
select distinct on (s.person_key, s.shared_id) s.shared_id, s.content
from unnest($1::text[], $2::text[]) as wanted (person_key, shared_id)
join statement s using (person_key, shared_id)
where s.broker_time <= $3
order by s.person_key, s.shared_id, s.rank desc, s.published_at desc, s.event_id desc
"""


async def contents_as_of(queries: Queries, wanted: Collection[CurrentEntry], moment: datetime) -> Mapping[str, bytes]:
    """The contents of these resources as of a moment, by shared id, without resources that had none."""
    if not wanted:
        return {}
    keys, ids = [entry.person_key for entry in wanted], [entry.shared_id for entry in wanted]
    rows = await queries.fetch(_CONTENTS_AS_OF, keys, ids, moment)
    return {row["shared_id"]: row["content"] for row in rows if row["content"] is not None}


class DirectoryEntry(NamedTuple):
    """A current resource of the directory. `content` is JSON bytes."""

    resource_type: str
    shared_id: str
    event_id: UUID
    content: bytes


_DIRECTORY_ENTRIES = """
select c.resource_type, c.shared_id, c.event_id, s.content
from unnest($1::text[], $2::text[]) as wanted (resource_type, shared_id)
join directory_current c using (resource_type, shared_id)
join directory_statement s using (shared_id, event_id)
where c.operation = 'assert'
order by c.resource_type, c.shared_id
"""


async def directory_entries(queries: Queries, wanted: Collection[tuple[str, str]]) -> list[DirectoryEntry]:
    """The directory's resources among these pairs of type and id."""
    if not wanted:
        return []
    rows = await queries.fetch(
        _DIRECTORY_ENTRIES, [resource_type for resource_type, _ in wanted], [shared_id for _, shared_id in wanted]
    )
    return [DirectoryEntry(*row) for row in rows]


_DIRECTORY_VERSIONS = """
select c.resource_type, c.shared_id, c.event_id
from unnest($1::text[], $2::text[]) as wanted (resource_type, shared_id)
join directory_current c using (resource_type, shared_id)
where c.operation = 'assert'
"""


async def directory_versions(queries: Queries, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], UUID]:
    """The event id of each resource that the directory has among these pairs of type and id."""
    rows = await queries.fetch(_DIRECTORY_VERSIONS, *map(list, zip(*wanted, strict=True)))
    return {(resource_type, shared_id): event_id for resource_type, shared_id, event_id in rows}
