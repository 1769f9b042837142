"""The record's views that intake reads: what ids in our own form stand for, and what stands. It owns no tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from onestory.intake.domain.request import AcceptedEntry, KnownResource
from onestory.shared.errors import Unavailable
from onestory.shared.events import Source
from onestory.shared.identity import PersonIdentifier
from onestory.shared.postgres.database import Database

_KNOWN = """
    select shared_id, person_system, person_value, organisation, system, resource_type, local_id
    from record.known_resource
    where person_key = any($1::text[]) and shared_id = any($2::text[])
"""
_JUDGEMENTS = "select resource_hash from record.standing_judgement where resource_hash = any($1::text[])"
_STANDING = """
    select shared_id, event_id
    from record.standing_statement
    where person_key = any($1::text[]) and resource_type = any($2::text[]) and shared_id = any($3::text[])
"""
# Contradictory links, which join nobody to a reader, are followed here too: a judgement alone joins nobody.
_IDENTITIES = """
    with recursive reached (start, person_key) as (
        select asked, asked collate "C" from unnest($1::text[]) asked
        union
        select reached.start, next.person_key
        from reached
        cross join lateral (
            select link.other_key as person_key from record.identity_link link
            where link.person_key = reached.person_key
            union all
            select link.person_key from record.identity_link link where link.other_key = reached.person_key
        ) next
    )
    select start, person_key from reached
"""
_KEY_LENGTH = 26
# A publisher waits at most five seconds for an answer, and most of them are Kafka's.
_TIMEOUT_S = 0.8


async def known_resources(database: Database, shared_ids: Iterable[str]) -> dict[str, KnownResource]:
    """What these ids stand for, as far as the record has seen them. Raises `Unavailable`."""
    wanted = sorted(shared_ids)
    if not wanted:
        return {}
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            rows = await database.fetch(_KNOWN, sorted({each[:_KEY_LENGTH] for each in wanted}), wanted)
    except TimeoutError as error:
        raise Unavailable("The record's database does not answer in time. Try again.") from error
    return {row["shared_id"]: _known(row) for row in rows}


async def with_identities(database: Database, known: Mapping[str, KnownResource]) -> dict[str, KnownResource]:
    """The same, each with the keys of all identities that are its person. Raises `Unavailable`."""
    rows = await database.fetch(_IDENTITIES, sorted({each[:_KEY_LENGTH] for each in known}))
    joined: dict[str, set[str]] = {}
    for row in rows:
        joined.setdefault(row["start"], set()).add(row["person_key"])
    return {each: replace(meant, joined=frozenset(joined.get(each[:_KEY_LENGTH], ()))) for each, meant in known.items()}


async def judgements(database: Database, shared_ids: Iterable[str]) -> frozenset[str]:
    """Those of these shared ids whose resource stands as a clinician's judgement. Raises `Unavailable`."""
    hashes = {each.rpartition("-")[2]: each for each in shared_ids}
    if not hashes:
        return frozenset()
    rows = await database.fetch(_JUDGEMENTS, sorted(hashes))
    return frozenset(hashes[row["resource_hash"]] for row in rows)


async def standing(database: Database, stated: Iterable[AcceptedEntry]) -> dict[str, UUID]:
    """By shared id, the event whose statement stands for each of these resources of persons. Raises `Unavailable`."""
    wanted = [(each.shared_id[:_KEY_LENGTH], each.resource_type, each.shared_id) for each in stated]
    if not wanted:
        return {}
    columns = [sorted(set(column)) for column in zip(*wanted, strict=True)]
    rows = await database.fetch(_STANDING, *columns)
    return {row["shared_id"]: UUID(str(row["event_id"])) for row in rows}


def _known(row: Any) -> KnownResource:
    return KnownResource(
        person=PersonIdentifier(row["person_system"], row["person_value"]),
        source=Source(row["organisation"], row["system"]),
        resource_type=row["resource_type"],
        local_id=row["local_id"],
    )
