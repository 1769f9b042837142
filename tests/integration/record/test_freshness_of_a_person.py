"""The freshness of one person's sources, as a reader sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, arrivals, at, person, statement

from onestory.record.freshness.domain import Freshness
from onestory.record.freshness.service import FreshnessService
from onestory.record.read import store as read_store
from onestory.shared.events import Source
from onestory.shared.identity import Keys
from onestory.shared.postgres.database import Database, create_pool
from onestory.shared.settings import Settings

GP = (PRACTICE.organisation, PRACTICE.system)
DOCUMENTS, HOSPITAL = replace(PRACTICE, system="docman"), Source("RX1", "emis")
AMINA, JOE = person(1), person(2)
PROBLEM = [Said("Condition", "a", '"a":1', 1)]
UNUSABLE = PROBLEM * 2
SETTINGS = Settings(source_rhythms={"A81001": timedelta(seconds=60)}, sequenced_sources=("A81001/emis",))


def lines(record: Record, keys: Keys, now: datetime, hidden: Sequence[str] = ()) -> list[Freshness]:
    """The freshness lines of Amina's record for a reader who cannot see the hidden organisations."""

    async def ask() -> list[Freshness]:
        async with create_pool(record.dsn, "record") as pool:
            database, person_key = Database(pool), keys.person_key(AMINA)
            seen = [
                entry
                for entry in await read_store.current_entries(database, [person_key], 0)
                if entry.organisation not in hidden
            ]
            return await FreshnessService(database, SETTINGS).sources([person_key], seen, now)

    return asyncio.run(ask())


def test_the_practice_that_spoke_of_somebody_else_since_was_heard_of_since(record: Record, keys: Keys) -> None:
    of_joe = statement(keys, 2, JOE, [Said("Condition", "b", '"a":1', 1)])
    record.project(keys, [statement(keys, 1, AMINA, PROBLEM)], [of_joe])

    assert lines(record, keys, at(61)) == [Freshness(*GP, heard_at=at(1), last_statement_at=at(0))]
    assert lines(record, keys, at(62)) == [Freshness(*GP, heard_at=at(1), last_statement_at=at(0), stale=True)]


def test_numbers_that_are_missing_of_somebody_else_are_not_missing_of_this_person(record: Record, keys: Keys) -> None:
    of_joe = [statement(keys, number, JOE, [Said("Condition", "j", '"a":1', 1)], sequence=number) for number in (1, 5)]
    of_amina = [statement(keys, 10 + number, AMINA, PROBLEM, sequence=number) for number in (1, 3)]
    record.project(keys, [*of_joe, *of_amina])

    (line,) = lines(record, keys, at(3))

    assert line.missing == 1


def test_what_is_parked_counts_for_the_system_that_sent_it_and_for_this_person_alone(
    record: Record, keys: Keys
) -> None:
    usable = [
        statement(keys, place, AMINA, PROBLEM, source=each)
        for place, each in enumerate((PRACTICE, DOCUMENTS, HOSPITAL), 1)
    ]
    unusable = [
        statement(keys, 11, AMINA, UNUSABLE),
        statement(keys, 12, AMINA, UNUSABLE, source=DOCUMENTS),
        statement(keys, 13, AMINA, UNUSABLE, source=DOCUMENTS),
        statement(keys, 14, JOE, UNUSABLE),
    ]
    record.project(keys, usable)
    record.project_arrivals(record.projector(keys), keys, arrivals(keys, unusable, 9))

    found = lines(record, keys, at(3))

    assert [(line.organisation, line.system, line.parked) for line in found] == [
        ("A81001", "docman", 2),
        ("A81001", "emis", 1),
        ("RX1", "emis", 0),
    ]


def test_who_sees_nothing_of_a_source_learns_nothing_of_what_it_lacks(record: Record, keys: Keys) -> None:
    record.project(
        keys, [statement(keys, 1, AMINA, PROBLEM, sequence=1), statement(keys, 2, AMINA, PROBLEM, sequence=9)]
    )
    record.project(keys, [statement(keys, 3, AMINA, PROBLEM, source=HOSPITAL), statement(keys, 4, AMINA, UNUSABLE)])

    assert [line.organisation for line in lines(record, keys, at(3))] == ["A81001", "RX1"]
    (shown,) = lines(record, keys, at(3), hidden=["A81001"])
    assert shown == Freshness("RX1", "emis", heard_at=at(0), last_statement_at=at(0))
