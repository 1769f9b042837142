"""SQL of the directory search: the current resources of one type that no person's record holds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from onestory.record.read.store import CurrentEntry
from onestory.shared.postgres.database import Queries

# The size of a stored content is known without reading it, so no content is read where all are too large.
_RESOURCES = """
with found as (
    select c.resource_type, c.shared_id, c.event_id, c.rank, c.published_at, s.recorded_at, s.broker_time,
        s.organisation, s.system, s.content_digest, s.content,
        sum(octet_length(s.content)) over ()::bigint as total_bytes
    from (
        select c.resource_type, c.shared_id, c.event_id, c.rank, c.published_at
        from directory_current c
        join directory_statement s using (shared_id, event_id)
        where c.resource_type = $1 and c.operation = 'assert' and s.content is not null
            and ($2::text[] is null or c.shared_id = any($2))
            -- and identifiers
        order by c.shared_id
        limit $3
    ) c
    join directory_statement s using (shared_id, event_id)
)
select total_bytes, resource_type, shared_id, event_id, rank, published_at, recorded_at, broker_time, organisation,
    system, content_digest, case when total_bytes <= $4 then content end
from found
order by shared_id
"""
_RESOURCES_BY_IDENTIFIER = _RESOURCES.replace(
    "-- and identifiers", "and directory_identifiers(s.content) && $5::text[]"
)


class DirectoryResources(NamedTuple):
    """The found resources, and how many bytes their contents have together."""

    entries: list[CurrentEntry]
    total_bytes: int


async def directory_resources(
    queries: Queries,
    resource_type: str,
    ids: Collection[str] | None,
    identifiers: Collection[str] | None,
    limit: int,
    max_bytes: int,
) -> DirectoryResources:
    """At most `limit` current resources of a type, by id; `person_key` is empty.

    `ids` and `identifiers` limit them to these shared ids, and to resources with one of these identifier values. The
    entries have contents if all contents together have at most `max_bytes`.
    """
    wanted_ids = None if ids is None else list(ids)
    if identifiers is None:
        rows = await queries.fetch(_RESOURCES, resource_type, wanted_ids, limit, max_bytes)
    else:
        rows = await queries.fetch(
            _RESOURCES_BY_IDENTIFIER, resource_type, wanted_ids, limit, max_bytes, list(identifiers)
        )
    return DirectoryResources([CurrentEntry("", *row[1:]) for row in rows], rows[0][0] if rows else 0)


_CONTENTS = """
with found as (
    select shared_id, content, sum(octet_length(content)) over ()::bigint as total_bytes from directory_statement
    join unnest($1::text[], $2::uuid[]) as wanted (shared_id, event_id) using (shared_id, event_id)
)
select shared_id, total_bytes, case when total_bytes <= $3 then content end as content from found
"""


async def with_directory_contents(
    queries: Queries, entries: Sequence[CurrentEntry], max_bytes: int
) -> DirectoryResources:
    """The same entries of the directory; with contents if all contents together have at most `max_bytes`."""
    keys = [entry.shared_id for entry in entries], [entry.event_id for entry in entries]
    rows = await queries.fetch(_CONTENTS, *keys, max_bytes) if entries else []
    contents = {row["shared_id"]: row["content"] for row in rows}
    found = [entry._replace(content=contents.get(entry.shared_id)) for entry in entries]
    return DirectoryResources(found, rows[0]["total_bytes"] if rows else 0)
