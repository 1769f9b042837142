"""How fresh sources are, as a reader asks it of one person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import psycopg

from onestory.record.freshness.domain import Numbered, Source, SourcePartition, SourceState
from onestory.record.read.store import CurrentEntry
from onestory.shared.postgres.database import Queries

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


async def told(queries: Queries, person_keys: Collection[str], sources: Collection[Source]) -> list[SourceState]:
    """What is known of these sources, and of their statements of the person with these keys. One round trip."""
    if not sources:
        return []
    rows = await queries.fetch(_TOLD, list(person_keys), *[list(column) for column in zip(*sources, strict=True)])
    return [
        SourceState(organisation, system, heard_at, int(missing), parked)
        for organisation, system, heard_at, missing, parked in rows
    ]


async def versions(queries: Queries, of: Collection[CurrentEntry], until: datetime) -> list[CurrentEntry]:
    """All that their sources asserted of these resources until a moment, in no order."""
    if not of:
        return []
    wanted = [(entry.person_key, entry.shared_id) for entry in of]
    rows = await queries.fetch(_VERSIONS, *[list(column) for column in zip(*wanted, strict=True)], until)
    return list(map(CurrentEntry._make, ((*row, False) for row in rows)))


# What is known of the sources themselves, written by the projector: when they were heard of, and their numbering.


def hear(connection: psycopg.Connection, heard: Mapping[SourcePartition, datetime]) -> None:
    """Note when sources were heard of; an earlier time than is known changes nothing."""
    if heard:
        connection.execute(
            """insert into source_heard as h (organisation, system, topic, partition, broker_time)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::int[], %b::timestamptz[])
               on conflict (organisation, system, topic, partition) do update set broker_time = excluded.broker_time
               where excluded.broker_time > h.broker_time""",
            [*[list(column) for column in zip(*heard, strict=True)], list(heard.values())],
        )


def number(connection: psycopg.Connection, numbered: Collection[Numbered]) -> None:
    """Note the numbers of statements; one that is known already changes nothing."""
    if numbered:
        connection.execute(
            """with added as (
                   insert into sequence_seen (person_key, organisation, system, sequence)
                   select * from unnest(%b::text[], %b::text[], %b::text[], %b::bigint[])
                   on conflict do nothing
                   returning person_key, organisation, system, sequence
               )
               insert into sequence_span as s (person_key, organisation, system, lowest, highest, seen)
               select person_key, organisation, system, min(sequence), max(sequence), count(*)
               from added group by person_key, organisation, system
               on conflict (person_key, organisation, system) do update set
                   lowest = least(s.lowest, excluded.lowest), highest = greatest(s.highest, excluded.highest),
                   seen = s.seen + excluded.seen""",
            [list(column) for column in zip(*sorted(numbered), strict=True)],
        )


def heard_of(connection: psycopg.Connection) -> list[tuple[Source, datetime]]:
    """When each source was last heard of."""
    rows = connection.execute("select organisation, system, max(broker_time) from source_heard group by 1, 2")
    return [((organisation, system), at) for organisation, system, at in rows]


def missing(connection: psycopg.Connection) -> list[tuple[Source, int]]:
    """How many statements are missing of each source that numbers them, of all persons; of others nothing."""
    rows = connection.execute(
        "select organisation, system, sum(missing) from sequence_span where missing > 0 group by 1, 2"
    )
    return [((organisation, system), int(numbers)) for organisation, system, numbers in rows]
