"""The directory as it is read: several of its resources at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from onestory.shared.database import Queries


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
