"""The SQL of the publish path: it reads four views of the record service.

`condition_store.py` has the SQL of conditions, and `reservation_store.py` that of intake's own tables.
"""

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
_CURRENT = """
    select shared_id, event_id
    from record.standing_statement
    where person_key = any($1::text[]) and resource_type = any($2::text[]) and shared_id = any($3::text[])
"""
# Readers ignore identity links that contradict each other. Here they count too, because a judgement joins no one.
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
# A publisher waits at most five seconds for an answer, and Kafka needs most of that time.
_TIMEOUT_S = 0.8


async def known_resources(database: Database, shared_ids: Iterable[str]) -> dict[str, KnownResource]:
    """Return the resources behind these shared ids, without those that the record does not have.

    Raises `Unavailable`.
    """
    wanted = sorted(shared_ids)
    if not wanted:
        return {}
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            rows = await database.fetch(_KNOWN, sorted({shared_id[:_KEY_LENGTH] for shared_id in wanted}), wanted)
    except TimeoutError as error:
        raise Unavailable("PostgreSQL does not answer in time. Try again.") from error
    return {row["shared_id"]: _known_resource(row) for row in rows}


async def with_linked_identities(database: Database, known: Mapping[str, KnownResource]) -> dict[str, KnownResource]:
    """Return the resources, each with the person keys of all identities of its person. Raises `Unavailable`."""
    rows = await database.fetch(_IDENTITIES, sorted({shared_id[:_KEY_LENGTH] for shared_id in known}))
    linked: dict[str, set[str]] = {}
    for row in rows:
        linked.setdefault(row["start"], set()).add(row["person_key"])
    return {
        shared_id: replace(resource, linked_person_keys=frozenset(linked.get(shared_id[:_KEY_LENGTH], ())))
        for shared_id, resource in known.items()
    }


async def current_judgements(database: Database, shared_ids: Iterable[str]) -> frozenset[str]:
    """Return those of the shared ids whose current statement is a clinician's judgement. Raises `Unavailable`."""
    by_hash = {shared_id.rpartition("-")[2]: shared_id for shared_id in shared_ids}
    if not by_hash:
        return frozenset()
    rows = await database.fetch(_JUDGEMENTS, sorted(by_hash))
    return frozenset(by_hash[row["resource_hash"]] for row in rows)


async def current_event_ids(database: Database, entries: Iterable[AcceptedEntry]) -> dict[str, UUID]:
    """Return, by shared id, the event id of each resource's current statement. Raises `Unavailable`.

    Directory resources are left out.
    """
    wanted = [(entry.shared_id[:_KEY_LENGTH], entry.resource_type, entry.shared_id) for entry in entries]
    if not wanted:
        return {}
    columns = [sorted(set(column)) for column in zip(*wanted, strict=True)]
    rows = await database.fetch(_CURRENT, *columns)
    return {row["shared_id"]: UUID(str(row["event_id"])) for row in rows}


def _known_resource(row: Any) -> KnownResource:
    return KnownResource(
        person=PersonIdentifier(row["person_system"], row["person_value"]),
        source=Source(row["organisation"], row["system"]),
        resource_type=row["resource_type"],
        local_id=row["local_id"],
    )
