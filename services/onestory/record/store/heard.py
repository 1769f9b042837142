"""What is known of the sources themselves, written by the projector: when they were heard of, and their numbering."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import psycopg

from onestory.record.domain.freshness import Source
from onestory.record.domain.heard import Numbered, Place


def hear(connection: psycopg.Connection, heard: Mapping[Place, datetime]) -> None:
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
