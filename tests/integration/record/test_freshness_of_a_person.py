"""How fresh the sources of one person are, as a reader asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, arrivals, at, person, statement

from onestory.record.domain.freshness import Freshness, Source
from onestory.record.reading.freshness import Sources
from onestory.shared.database import Database, create_pool
from onestory.shared.identity import Keys

GP = (PRACTICE.organisation, PRACTICE.system)
AMINA, JOE = person(1), person(2)


def lines(record: Record, keys: Keys, said: Mapping[Source, datetime], now: datetime) -> list[Freshness]:
    """What a reader of Amina's record is shown."""

    async def ask() -> list[Freshness]:
        async with create_pool(record.dsn) as pool:
            sources = Sources(Database(pool), {"A81001": timedelta(seconds=60)}, ["A81001/emis"])
            return await sources.freshness([keys.person_key(AMINA)], said, now)

    return asyncio.run(ask())


def test_the_practice_that_spoke_of_somebody_else_since_was_heard_of_since(record: Record, keys: Keys) -> None:
    of_amina = statement(keys, 1, AMINA, [Said("Condition", "a", '"a":1', 1)])
    of_joe = statement(keys, 2, JOE, [Said("Condition", "b", '"b":1', 1)])
    record.project(keys, [of_amina], [of_joe])

    assert lines(record, keys, {GP: at(0)}, at(61)) == [Freshness(*GP, heard_at=at(1), said_at=at(0))]
    assert lines(record, keys, {GP: at(0)}, at(62)) == [Freshness(*GP, heard_at=at(1), said_at=at(0), stale=True)]


def test_numbers_that_are_missing_of_somebody_else_are_not_missing_of_this_person(record: Record, keys: Keys) -> None:
    entries = [Said("Condition", "a", '"a":1', 1)]
    of_joe = [statement(keys, number, JOE, entries, sequence=number) for number in (1, 5)]
    of_amina = [statement(keys, 10 + number, AMINA, entries, sequence=number) for number in (1, 3)]
    record.project(keys, [*of_joe, *of_amina])

    (line,) = lines(record, keys, {GP: at(0)}, at(3))

    assert line.missing == 1


def test_what_is_parked_counts_for_the_system_that_sent_it_and_for_this_person_alone(
    record: Record, keys: Keys
) -> None:
    twice = [Said("Condition", "a", '"a":1', 1)] * 2
    other = replace(PRACTICE, system="docman")
    unusable = [
        statement(keys, 1, AMINA, twice),
        statement(keys, 2, AMINA, twice, source=other),
        statement(keys, 3, AMINA, twice, source=other),
        statement(keys, 4, JOE, twice),
    ]
    record.project_arrivals(record.projector(keys), keys, arrivals(keys, unusable))

    found = lines(record, keys, {GP: at(0), ("A81001", "docman"): at(0), ("RX1", "emis"): at(0)}, at(3))

    assert [(line.organisation, line.system, line.parked) for line in found] == [
        ("A81001", "docman", 2),
        ("A81001", "emis", 1),
        ("RX1", "emis", 0),
    ]


def test_nothing_is_asked_of_a_person_of_whom_the_reader_sees_nothing(record: Record, keys: Keys) -> None:
    record.project(keys, [statement(keys, 1, AMINA, [Said("Condition", "a", '"a":1', 1)])])

    assert lines(record, keys, {}, at(3)) == []
