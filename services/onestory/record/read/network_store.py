"""SQL of the networks: the statements of directory authorities about memberships and organisations."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from onestory.shared.postgres.database import Queries


class DirectoryContent(NamedTuple):
    """A statement of a source about a resource of the directory. `current`: it is the last one, and no retraction."""

    shared_id: str
    source: str
    content: bytes
    current: bool


async def network_version(queries: Queries) -> int:
    """The number that rises with each statement about an Organization or an OrganizationAffiliation."""
    version: int | None = await queries.fetchval("select version from network_version")
    return version or 0


async def stated_affiliations(queries: Queries, authorities: Collection[str]) -> list[DirectoryContent]:
    """All that these sources ever stated about affiliations, each content of a resource once."""
    rows = await queries.fetch(
        """select s.shared_id, s.organisation, (array_agg(s.content))[1] as content,
               bool_or(s.event_id = c.event_id and c.operation = 'assert') as current
           from directory_current c join directory_statement s using (shared_id)
           where c.resource_type = 'OrganizationAffiliation' and s.operation = 'assert' and s.content is not null
               and s.organisation = any($1::text[])
           group by s.shared_id, s.organisation, s.content_digest""",
        sorted(authorities),
    )
    return [DirectoryContent(*row) for row in rows]


async def stated_organisations(
    queries: Queries, authorities: Collection[str], ids: Collection[str], codes: Collection[str]
) -> list[DirectoryContent]:
    """The last assertion of each Organization of these sources that has one of these ids or identifier values."""
    rows = await queries.fetch(
        """select distinct on (s.shared_id) s.shared_id, s.organisation, s.content, c.operation = 'assert' as current
           from directory_current c join directory_statement s using (shared_id)
           where c.resource_type = 'Organization' and s.operation = 'assert' and s.content is not null
               and s.organisation = any($1::text[])
               and s.shared_id in (
                   select unnest($2::text[])
                   union select named.shared_id from directory_statement named
                   where named.resource_type = 'Organization' and named.content is not null
                       and directory_identifiers(named.content) && $3::text[])
           order by s.shared_id, s.rank desc, s.published_at desc, s.event_id desc""",
        sorted(authorities),
        sorted(ids),
        sorted(codes),
    )
    return [DirectoryContent(*row) for row in rows]
