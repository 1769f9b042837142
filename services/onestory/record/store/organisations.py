"""Organisations as they describe themselves in the directory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import orjson

from onestory.shared.database import Queries
from onestory.shared.identity import is_ods_code_system

_OWN = """
select s.organisation, s.content
from directory_statement s
join directory_current c using (shared_id, event_id)
where s.resource_type = 'Organization' and s.organisation = any($1) and c.operation = 'assert'
order by s.organisation, s.rank, s.published_at, s.event_id
"""


async def names(queries: Queries, codes: Collection[str]) -> Mapping[str, str]:
    """The names of organisations by ODS code, of those that say their own; the newest, where one says several."""
    found: dict[str, str] = {}
    for row in await queries.fetch(_OWN, list(codes)):
        said = orjson.loads(row["content"])
        identifiers = said.get("identifier") or []
        named = {each.get("value") for each in identifiers if is_ods_code_system(each.get("system"))}
        if row["organisation"] in named and said.get("name"):
            found[row["organisation"]] = said["name"]
    return found
