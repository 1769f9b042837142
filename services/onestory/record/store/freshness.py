"""How fresh sources are, as a reader asks it of one person."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from onestory.record.domain.freshness import Source, Told
from onestory.record.store.entries import CurrentEntry
from onestory.shared.database import Database

# A replay waits until the projector has passed it. A cycle of aliases is a notice: its statement is in the record.
_TOLD = """
select source.organisation, source.system,
    (select max(heard.broker_time) from source_heard heard
     where heard.organisation = source.organisation and heard.system = source.system) as heard_at,
    (select coalesce(sum(span.missing), 0) from unnest($1::text[]) as person (person_key)
     join sequence_span span using (person_key)
     where span.organisation = source.organisation and span.system = source.system)::text as missing,
    (select count(*) from unnest($1::text[]) as person (person_key)
     join parked on parked.key = convert_to(person.person_key, 'UTF8')
     where parked.topic = 'care.record' and parked.publisher = source.organisation
        and (parked.system is null or parked.system = source.system)
        and parked.reason <> 'alias-cycle'
        and (parked.waiting or not exists (
            select from position
            where position.topic = parked.topic and position.partition = parked.partition
                and position.next_offset > parked.replayed_offset))) as parked
from unnest($2::text[], $3::text[]) as source (organisation, system)
"""

_SAID = """
select s.organisation, s.system, max(s.broker_time) as said_at
from unnest($1::text[], $2::text[], $3::uuid[]) as seen (person_key, shared_id, event_id)
join statement s using (person_key, shared_id, event_id)
group by s.organisation, s.system
"""


async def told(database: Database, person_keys: Collection[str], sources: Collection[Source]) -> list[Told]:
    """What is known of these sources, and of their statements of the person with these keys. One round trip."""
    if not sources:
        return []
    rows = await database.fetch(_TOLD, list(person_keys), *[list(column) for column in zip(*sources, strict=True)])
    return [
        Told(organisation, system, heard_at, int(missing), parked)
        for organisation, system, heard_at, missing, parked in rows
    ]


async def last_said(database: Database, seen: Iterable[CurrentEntry]) -> dict[Source, datetime]:
    """When each source last said any of these entries, by the broker."""
    named = [(entry.person_key, entry.shared_id, entry.event_id) for entry in seen]
    if not named:
        return {}
    rows = await database.fetch(_SAID, *[list(column) for column in zip(*named, strict=True)])
    return {(row["organisation"], row["system"]): row["said_at"] for row in rows}
