"""SQL of the directory search: the current resources of one type that no person's record holds."""

from __future__ import annotations

from collections.abc import Collection

from onestory.record.read.store import CurrentEntry
from onestory.shared.postgres.database import Queries

_RESOURCES = """
select c.resource_type, c.shared_id, c.event_id, c.rank, c.published_at, s.recorded_at, s.broker_time, s.organisation,
    s.system, s.content_digest, s.content
from directory_current c
join directory_statement s using (shared_id, event_id)
where c.resource_type = $1 and c.operation = 'assert' and s.content is not null
    and ($2::text[] is null or c.shared_id = any($2))
order by c.shared_id
limit $3
"""
_RESOURCES_BY_IDENTIFIER = _RESOURCES.replace("order by", "and directory_identifiers(s.content) && $4::text[] order by")


async def directory_resources(
    queries: Queries, resource_type: str, ids: Collection[str] | None, identifiers: Collection[str] | None, limit: int
) -> list[CurrentEntry]:
    """At most `limit` current resources of a type, by id, with contents; `person_key` is empty.

    `ids` and `identifiers` limit them to these shared ids, and to resources with one of these identifier values.
    """
    wanted_ids = None if ids is None else list(ids)
    if identifiers is None:
        rows = await queries.fetch(_RESOURCES, resource_type, wanted_ids, limit)
    else:
        rows = await queries.fetch(_RESOURCES_BY_IDENTIFIER, resource_type, wanted_ids, limit, list(identifiers))
    return [CurrentEntry("", *row) for row in rows]
