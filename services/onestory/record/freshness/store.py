"""SQL of freshness: what a reader sees of one person's sources, and what the projector writes about sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import psycopg

from onestory.record.freshness.domain import SequenceNumber, Source, SourcePartition, SourceState
from onestory.record.read.store import CurrentEntry
from onestory.shared.postgres.database import Queries

# The source of a message that cannot be decoded is in its headers. A replayed message counts as parked until the
# projector has read past the replay. A cycle of identity links is parked as a notice: its statement is in the record.
_SOURCE_STATES = """
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


async def source_states(
    queries: Queries, person_keys: Collection[str], sources: Collection[Source]
) -> list[SourceState]:
    """The stored state of these sources, and of their statements of the person with these keys. One round trip."""
    if not sources:
        return []
    rows = await queries.fetch(
        _SOURCE_STATES, list(person_keys), *[list(column) for column in zip(*sources, strict=True)]
    )
    return [
        SourceState(organisation, system, heard_at, int(missing), parked)
        for organisation, system, heard_at, missing, parked in rows
    ]


_ASSERTED_VERSIONS = """
select s.person_key, s.resource_type, s.shared_id, s.event_id, s.rank, s.published_at, s.recorded_at, s.broker_time,
    s.organisation, s.system, s.content_digest, s.content
from unnest($1::text[], $2::text[]) as wanted (person_key, shared_id)
join statement s using (person_key, shared_id)
where s.operation = 'assert' and s.broker_time <= $3
"""


async def asserted_versions(queries: Queries, entries: Collection[CurrentEntry], until: datetime) -> list[CurrentEntry]:
    """All assertions of these resources by their sources up to a broker time, in no order."""
    if not entries:
        return []
    wanted = [(entry.person_key, entry.shared_id) for entry in entries]
    rows = await queries.fetch(_ASSERTED_VERSIONS, *[list(column) for column in zip(*wanted, strict=True)], until)
    return [CurrentEntry(*row) for row in rows]


# Written by the projector.


def update_last_heard(connection: psycopg.Connection, heard: Mapping[SourcePartition, datetime]) -> None:
    """Write when sources were last heard; an earlier time than the stored one changes nothing."""
    if heard:
        connection.execute(
            """insert into source_heard as h (organisation, system, topic, partition, broker_time)
               select * from unnest(%b::text[], %b::text[], %b::text[], %b::int[], %b::timestamptz[])
               on conflict (organisation, system, topic, partition) do update set broker_time = excluded.broker_time
               where excluded.broker_time > h.broker_time""",
            [*[list(column) for column in zip(*heard, strict=True)], list(heard.values())],
        )


def add_sequence_numbers(connection: psycopg.Connection, numbered: Collection[SequenceNumber]) -> None:
    """Add the sequence numbers of statements, and count them for each person and source."""
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


# Read for the projector's metrics.


def last_heard(connection: psycopg.Connection) -> list[tuple[Source, datetime]]:
    """The broker time at which each source was last heard."""
    rows = connection.execute("select organisation, system, max(broker_time) from source_heard group by 1, 2")
    return [((organisation, system), at) for organisation, system, at in rows]


def missing_counts(connection: psycopg.Connection) -> list[tuple[Source, int]]:
    """How many statements of all persons are missing, of each source that has numbered statements and lacks some."""
    rows = connection.execute(
        "select organisation, system, sum(missing) from sequence_span where missing > 0 group by 1, 2"
    )
    return [((organisation, system), int(count)) for organisation, system, count in rows]
