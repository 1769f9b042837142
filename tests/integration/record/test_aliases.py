"""Links of demographic authorities join NHS numbers. A cycle of links is parked, and its statement stays."""

from __future__ import annotations

import asyncio
import json
import random

from tests.integration.record.record import Record
from tests.integration.record.statements import Said, arrivals, at, person, statement

from onestory.record.person.load import load_person, load_person_as_of
from onestory.shared.events import RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier, provisional_identity
from onestory.shared.postgres.database import Database, create_pool

PDS = Source("X26", "pds")
HOSPITAL = Source("RZ3", "pas")
FIRST, SECOND, THIRD = (PersonIdentifier(NHS_NUMBER_SYSTEM, f"99900000{tail}") for tail in ("18", "26", "34"))


def replacing(keys: Keys, event_id: int, new: PersonIdentifier, old: PersonIdentifier) -> RecordChanged:
    """The authority's Patient `new`, with a link that replaces `old`."""
    other = {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": old.value}}
    link = f'"link":{json.dumps([{"type": "replaces", "other": other}])}'
    return statement(keys, event_id, new, [Said("Patient", new.value, link, event_id)], source=PDS)


def kinds(record: Record) -> list[str]:
    return [kind for (kind,) in record.rows("select kind from patient_link order by kind")]


def test_an_authoritys_link_is_kept_and_anybody_elses_is_not(record: Record, keys: Keys) -> None:
    record.project(keys, [replacing(keys, 1, SECOND, FIRST)])
    assert kinds(record) == ["provisional"]

    record.project(keys, [replacing(keys, 2, SECOND, FIRST)], authorities=["X26"])
    assert kinds(record) == ["provisional", "provisional", "replaces"]


def test_a_link_that_closes_a_cycle_is_noted_and_its_statement_stays(record: Record, keys: Keys) -> None:
    chain = [replacing(keys, 1, SECOND, FIRST), replacing(keys, 2, THIRD, SECOND)]
    record.project(keys, chain, authorities=["X26"])
    assert record.rows("select count(*) from parked") == [(0,)]

    record.project(keys, [person_said(keys)], [replacing(keys, 3, FIRST, THIRD)], authorities=["X26"])

    assert record.rows("select reason from parked") == [("alias-cycle",)]
    assert record.rows("select count(*) from parked_position") == [(0,)]
    assert record.rows("select count(*) from current where resource_type = 'Patient' and visible") == [(3,)]


def linked(keys: Keys, event_id: int, local_id: str, rank: int) -> RecordChanged:
    """A hospital's Patient whose NHS number is known now, under this local id."""
    return statement(keys, event_id, FIRST, [Said("Patient", local_id, '"active":true', rank)], source=HOSPITAL)


def numberless(keys: Keys, event_id: int, local_id: str) -> RecordChanged:
    """A condition that the hospital stated before it knew the NHS number."""
    unknown = provisional_identity(HOSPITAL.organisation, HOSPITAL.system, local_id)
    return statement(keys, event_id, unknown, [Said("Condition", f"c-{local_id}", '"a":1', 1)], source=HOSPITAL)


def test_the_first_identities_of_a_source_are_joined_in_every_order_of_arrival(record: Record, keys: Keys) -> None:
    events = [numberless(keys, number, f"p{number}") for number in range(1, 5)]
    events += [linked(keys, 10 + number, f"p{number}", number) for number in range(1, 5)]
    found = set()

    for seed in range(4):
        record.empty()
        random.Random(seed).shuffle(events)
        projector = record.projector(keys, identity_limit=3)
        for offset, event in enumerate(events):
            record.project_arrivals(projector, keys, arrivals(keys, [event], offset))
        beyond = record.rows("select other_key from patient_link where beyond_limit")
        joined = record.rows("select count(*) from identity_link")
        found.add((tuple(beyond), joined[0][0], loaded(record, keys)))

    fourth = keys.person_key(provisional_identity(HOSPITAL.organisation, HOSPITAL.system, "p4"))
    assert found == {(((fourth,),), 3, (4, 4))}


def loaded(record: Record, keys: Keys) -> tuple[int, int]:
    """How many identities the person has for readers, now and as of the end."""

    async def load() -> tuple[int, int]:
        async with create_pool(record.dsn, "record") as pool, Database(pool).snapshot() as queries:
            key = keys.person_key(FIRST)
            now, then = await load_person(queries, key), await load_person_as_of(queries, key, at(10**6))
            return len(now.person_keys), len(then.person_keys)

    return asyncio.run(load())


def test_an_identity_beyond_the_limit_is_parked_as_a_notice_and_its_statement_stays(record: Record, keys: Keys) -> None:
    projector = record.projector(keys, identity_limit=1)
    for offset, event in enumerate([linked(keys, 1, "p1", 1), linked(keys, 2, "p2", 2), linked(keys, 3, "p2", 3)]):
        record.project_arrivals(projector, keys, arrivals(keys, [event], offset))

    assert record.rows("select reason, explanation like '%limit%' from parked") == [("too-many-identities", True)]
    assert record.rows("select count(*) from parked_position") == [(0,)]
    assert record.rows("select count(*) from current where resource_type = 'Patient' and visible") == [(2,)]


def person_said(keys: Keys) -> RecordChanged:
    """A statement that has nothing to do with the links."""
    return statement(keys, 9, person(1), [Said("Condition", "a", '"a":1', 1)])
