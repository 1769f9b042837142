"""The SQL of the publish path: it reads views of the record service.

`condition_store.py` has the SQL of conditions, and `reservation_store.py` that of intake's own tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from onestory.intake.domain.earlier import (
    IdentifiedPatient,
    OwnPatient,
    OwnReference,
    PatientQuestion,
    SystemQuestion,
    SystemResources,
)
from onestory.intake.domain.request import AcceptedEntry, KnownResource
from onestory.shared.errors import Unavailable
from onestory.shared.events import Source
from onestory.shared.identity import PROVISIONAL_SYSTEM, Keys, PersonIdentifier
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
_REACHED = """
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
"""
_IDENTITIES = f"{_REACHED} select start, person_key from reached"  # noqa: S608 - no value is inserted
# A statement about a resource may be under any identity of its person. Supporting types may be in the directory too;
# of several places the one that was stated last counts.
_TARGETS = f"""{_REACHED}
    select asked.ordinality, (
        select shared_id
        from (
            select there.shared_id, there.rank, there.published_at
            from reached
            join record.person_resource there on there.person_key = reached.person_key
                and there.resource_type = asked.resource_type
                and there.shared_id = reached.person_key || '-' || asked.resource_hash
            where reached.start = asked.person_key
            union all
            select there.shared_id, there.rank, there.published_at
            from record.directory_resource there
            where there.shared_id = asked.resource_hash and there.resource_type = asked.resource_type
        ) place
        order by rank desc, published_at desc, shared_id
        limit 1
    ) as shared_id, exists (
        select from record.owned_resource owned
        where owned.resource_hash = asked.resource_hash and owned.resource_type = asked.resource_type and owned.visible
    ) as has_owner
    from unnest($2::text[], $3::text[], $4::text[])
        with ordinality as asked (person_key, resource_type, resource_hash, ordinality)
"""  # noqa: S608 - no value is inserted
_PATIENTS = """
    select asked.ordinality, owned.person_system, owned.person_value
    from unnest($1::text[]) with ordinality as asked (resource_hash, ordinality)
    join record.owned_resource owned on owned.resource_hash = asked.resource_hash and owned.resource_type = 'Patient'
    where owned.visible
"""
_IDENTIFIED_PATIENTS = """
    select distinct asked.ordinality, patient.person_system, patient.person_value
    from unnest($1::text[], $2::text[]) with ordinality as asked (system, value, ordinality)
    join record.identified_patient patient on patient.system = asked.system and patient.value = asked.value
    where patient.organisation = $3 and patient.source_system = $4
"""
# A provisional identity is retired with the person if it is linked to this person alone. Another NHS number is not:
# the system may have two records of that person.
_RESOURCES_OF_SYSTEM = f"""{_REACHED}, stated as (
        select there.person_key, there.resource_type, min(there.shared_id) as shared_id, count(*) as resources,
            count(*) filter (where (there.rank, there.published_at) < ($4::bigint, $5::timestamptz)) as earlier
        from (select distinct person_key from reached) place
        join record.person_resource there using (person_key)
        where there.organisation = $2 and there.system = $3
        group by there.person_key, there.resource_type
    )
    select stated.resource_type, stated.earlier, stated.resources - stated.earlier as later, known.person_system,
        known.person_value, stated.person_key = any($1) or known.person_system = $6 and exists (
            select from record.identity_link link
            where link.person_key = any($1) and link.other_key = stated.person_key
        ) and not exists (
            select from record.identity_link link
            where link.other_key = stated.person_key and link.person_key <> all($1)
        ) and not exists (
            select from record.identity_link link
            where link.person_key = stated.person_key and link.other_key <> all($1)
        ) as is_own
    from stated
    join record.own_statement known using (person_key, resource_type, shared_id)
    order by stated.person_key, stated.resource_type
"""  # noqa: S608 - no value is inserted
_KEY_LENGTH = 26
_MAX_TARGETS = 5_000
# A publisher waits at most five seconds for an answer, and Kafka needs most of that time.
_TIMEOUT_S = 0.8


async def known_resources(database: Database, shared_ids: Iterable[str]) -> dict[str, KnownResource]:
    """Return the resources behind these shared ids, without those that the record does not have.

    Raises `Unavailable`.
    """
    wanted = sorted(shared_ids)
    if not wanted:
        return {}
    person_keys = sorted({shared_id[:_KEY_LENGTH] for shared_id in wanted})
    rows = await _in_time(database.fetch(_KNOWN, person_keys, wanted))
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


async def own_patients(
    database: Database, questions: Sequence[PatientQuestion], source: Source, keys: Keys
) -> dict[PatientQuestion, PersonIdentifier | None]:
    """Return the person of each Patient of the source; None for one that the record does not know, or of several.

    Raises `Unavailable`.
    """
    by_id = [question for question in questions if isinstance(question, OwnPatient)]
    by_identifier = [question for question in questions if isinstance(question, IdentifiedPatient)]
    named = (source.organisation, source.system)
    hashes = [keys.resource_hash(*named, "Patient", question.local_id) for question in by_id]
    found: dict[PatientQuestion, set[PersonIdentifier]] = {question: set() for question in questions}
    for row in await _in_time(database.fetch(_PATIENTS, hashes)) if by_id else ():
        found[by_id[row["ordinality"] - 1]].add(_person(row))
    columns = [[each.system for each in by_identifier], [each.value for each in by_identifier]]
    for row in await _in_time(database.fetch(_IDENTIFIED_PATIENTS, *columns, *named)) if by_identifier else ():
        found[by_identifier[row["ordinality"] - 1]].add(_person(row))
    return {question: next(iter(persons)) if len(persons) == 1 else None for question, persons in found.items()}


async def own_targets(
    database: Database, questions: Mapping[OwnReference, str], source: Source, keys: Keys
) -> dict[OwnReference, str | None]:
    """Return the shared id of each resource of the source. None: the resource belongs to another person.

    `questions` has the computed ids, which stand for resources that the record does not have. Raises `Unavailable`.
    """
    listed = list(questions)
    answers: dict[OwnReference, str | None] = {}
    # One query for all, but no query so long that it would not end in time.
    for start in range(0, len(listed), _MAX_TARGETS):
        part = listed[start : start + _MAX_TARGETS]
        for row in await _target_rows(database, part, source, keys):
            question = part[row["ordinality"] - 1]
            answers[question] = row["shared_id"] or (None if row["has_owner"] else questions[question])
    return answers


async def _target_rows(
    database: Database, questions: Sequence[OwnReference], source: Source, keys: Keys
) -> Sequence[Any]:
    person_keys = [question.person_key for question in questions]
    types = [question.resource_type for question in questions]
    hashes = [
        keys.resource_hash(source.organisation, source.system, question.resource_type, question.local_id)
        for question in questions
    ]
    return await _in_time(database.fetch(_TARGETS, sorted(set(person_keys)), person_keys, types, hashes))


async def resources_of_system(
    database: Database, question: SystemQuestion, organisation: str
) -> Sequence[SystemResources]:
    """Return the current resources that a system of an organisation has, by type and identity. Raises `Unavailable`."""
    arguments = (organisation, question.system, question.rank, question.published_at, PROVISIONAL_SYSTEM)
    rows = await _in_time(database.fetch(_RESOURCES_OF_SYSTEM, [question.person_key], *arguments))
    return [
        SystemResources(row["resource_type"], _person(row) if row["is_own"] else None, row["earlier"], row["later"])
        for row in rows
    ]


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


async def _in_time(rows: Awaitable[Sequence[Any]]) -> Sequence[Any]:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await rows
    except TimeoutError as error:
        raise Unavailable("PostgreSQL does not answer in time. Try again.") from error


def _person(row: Any) -> PersonIdentifier:
    return PersonIdentifier(row["person_system"], row["person_value"])


def _known_resource(row: Any) -> KnownResource:
    return KnownResource(
        person=_person(row),
        source=Source(row["organisation"], row["system"]),
        resource_type=row["resource_type"],
        local_id=row["local_id"],
    )
