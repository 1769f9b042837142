"""What stood at an earlier moment for resources whose place in a list is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from onestory.record.store.entries import CurrentEntry
from onestory.shared.database import Queries

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
