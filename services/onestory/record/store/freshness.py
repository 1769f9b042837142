"""How fresh sources are, as a reader asks it of one person."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from onestory.record.domain.freshness import Source, Told
from onestory.record.store.entries import CurrentEntry
from onestory.shared.database import Queries

# What cannot be decoded is known by its headers. A replay waits until the projector has passed it. A cycle of aliases
# is a notice: its statement is in the record.
_TOLD = """
select source.organisation, source.system,
    (select max(heard.broker_time) from source_heard heard
     where heard.organisation = source.organisation and heard.system = source.system) as heard_at,
    (select coalesce(sum(span.missing), 0) from unnest($1::text[]) as person (person_key)
     join sequence_span span using (person_key)
     where span.organisation = source.organisation and span.system = source.system)::text as missing,
    (select count(*) from unnest($1::text[]) as person (person_key)
     join parked on parked.key = convert_to(person.person_key, 'UTF8')
     where parked.topic = 'care.record'
        and case when parked.publisher is null
            then parked.header_values[array_position(parked.header_names, 'ce_source')]
                = convert_to('/organisations/' || source.organisation || '/systems/' || source.system, 'UTF8')
            else parked.publisher = source.organisation
                and (parked.system is null or parked.system = source.system) end
        and parked.reason <> 'alias-cycle'
        and (parked.waiting or not exists (
            select from position
            where position.topic = parked.topic and position.partition = parked.partition
                and position.next_offset > parked.replayed_offset))) as parked
from unnest($2::text[], $3::text[]) as source (organisation, system)
"""

_VERSIONS = """
select s.person_key, s.resource_type, s.shared_id, s.event_id, s.rank, s.published_at, s.recorded_at, s.broker_time,
    s.organisation, s.system, s.content_digest, s.content
from unnest($1::text[], $2::text[]) as wanted (person_key, shared_id)
join statement s using (person_key, shared_id)
where s.operation = 'assert' and s.broker_time <= $3
"""


async def told(queries: Queries, person_keys: Collection[str], sources: Collection[Source]) -> list[Told]:
    """What is known of these sources, and of their statements of the person with these keys. One round trip."""
    if not sources:
        return []
    rows = await queries.fetch(_TOLD, list(person_keys), *[list(column) for column in zip(*sources, strict=True)])
    return [
        Told(organisation, system, heard_at, int(missing), parked)
        for organisation, system, heard_at, missing, parked in rows
    ]


async def versions(queries: Queries, of: Collection[CurrentEntry], until: datetime) -> list[CurrentEntry]:
    """All that their sources asserted of these resources until a moment, in no order."""
    if not of:
        return []
    wanted = [(entry.person_key, entry.shared_id) for entry in of]
    rows = await queries.fetch(_VERSIONS, *[list(column) for column in zip(*wanted, strict=True)], until)
    return list(map(CurrentEntry._make, ((*row, False) for row in rows)))
