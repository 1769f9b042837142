"""Shows, rule by rule, which later changes alter a read as of an earlier moment and which do not."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, at, later, person, statement

from onestory.record.person.load import PersonRecord, load_person_as_of
from onestory.shared.events import RecordChanged, Source
from onestory.shared.identity import Keys, PersonIdentifier
from onestory.shared.postgres.database import Database, create_pool

AMINA, JOE = person(18), person(26)
PDS = Source("X26", "pds")


def project(record: Record, keys: Keys, *events: RecordChanged) -> None:
    """Project each event in its own batch. The events arrive one second apart, from second 0."""
    record.project(keys, *[[event] for event in events], authorities=[PDS.organisation])


def as_of(record: Record, keys: Keys, second: int, about: PersonIdentifier = AMINA) -> PersonRecord:
    """The person's record as of this second."""

    async def run() -> PersonRecord:
        async with create_pool(record.dsn, "record") as pool, Database(pool).snapshot() as queries:
            return await load_person_as_of(queries, keys.person_key(about), at(second))

    return asyncio.run(run())


def texts(found: PersonRecord) -> list[str]:
    """The visible entries, each as its text after `meta`."""
    return [(entry.content or b"").decode().rpartition("},")[2].rstrip("}") for entry in found.entries]


def over_time(record: Record, keys: Keys, seconds: int, about: PersonIdentifier = AMINA) -> list[list[str]]:
    """The visible entries as of each second."""
    return [texts(as_of(record, keys, second, about)) for second in range(seconds)]


def gout(keys: Keys, event_id: int, text: str, when: int, about: PersonIdentifier = AMINA) -> RecordChanged:
    return statement(keys, event_id, about, [Said("Condition", "gout", text, when)], recorded=when, published=when)


def test_corrections_and_retractions_do_not_reach_back(record: Record, keys: Keys) -> None:
    withdrawn = statement(keys, 3, AMINA, [Said("Condition", "gout", None, 3)])

    project(record, keys, gout(keys, 1, '"a":1', 1), gout(keys, 2, '"a":2', 2), withdrawn)

    assert over_time(record, keys, 3) == [['"a":1'], ['"a":2'], []]


def test_before_anything_was_said_there_is_nothing(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"a":1', 1))

    assert (texts(as_of(record, keys, -1)), as_of(record, keys, -1).numbers) == ([], {})
    assert as_of(record, keys, 0).numbers == {keys.person_key(AMINA): AMINA.value}


def test_a_late_older_statement_never_stood(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"new":1', 9), gout(keys, 2, '"old":1', 8))

    assert over_time(record, keys, 2) == [['"new":1'], ['"new":1']]


def test_a_repetition_that_lowers_a_clock_changes_what_stands_from_then_on(record: Record, keys: Keys) -> None:
    by_receipt = gout(keys, 1, '"a":1', 9)

    project(record, keys, by_receipt, gout(keys, 2, '"a":2', 5), later(by_receipt, published=1, recorded=1))

    assert over_time(record, keys, 3) == [['"a":1'], ['"a":1'], ['"a":2']]
    before, after = (as_of(record, keys, second).entries[0] for second in (1, 2))
    assert (before.recorded_at, after.recorded_at) == (at(9), at(5))


def test_of_several_repetitions_each_counts_from_its_own_time(record: Record, keys: Keys) -> None:
    said, others = gout(keys, 1, '"a":1', 9), [gout(keys, 2, '"a":2', 6), gout(keys, 3, '"a":3', 3)]
    again = [later(said, published=when, recorded=when) for when in (7, 4, 8, 1)]

    project(record, keys, *others, said, *again)

    assert over_time(record, keys, 7)[2:] == [['"a":1'], ['"a":1'], ['"a":2'], ['"a":2'], ['"a":2']]


def test_a_whole_list_retires_from_its_time_on(record: Record, keys: Keys) -> None:
    nothing = statement(keys, 2, AMINA, [], recorded=5, published=5, complete_types=["Condition"])

    project(record, keys, gout(keys, 1, '"a":1', 1), nothing)

    assert over_time(record, keys, 2) == [['"a":1'], []]


def test_a_whole_list_whose_clock_is_lowered_retired_until_then(record: Record, keys: Keys) -> None:
    nothing = statement(keys, 2, AMINA, [], recorded=5, published=5, complete_types=["Condition"])

    project(record, keys, gout(keys, 1, '"a":1', 3), nothing, later(nothing, published=1, recorded=1))

    assert over_time(record, keys, 3) == [['"a":1'], [], ['"a":1']]


def test_what_was_of_somebody_else_is_not_shown_of_the_wrong_person_at_any_time(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"a":1', 1), gout(keys, 2, '"a":2', 2, JOE))

    assert over_time(record, keys, 2) == [[], []]
    assert over_time(record, keys, 2, JOE) == [[], ['"a":2']]


def test_what_was_of_somebody_else_stays_away_when_it_was_withdrawn_besides(record: Record, keys: Keys) -> None:
    withdrawn = statement(keys, 3, AMINA, [Said("Condition", "gout", None, 3)])

    project(record, keys, gout(keys, 1, '"a":1', 1), gout(keys, 2, '"a":2', 2, JOE), withdrawn)

    assert over_time(record, keys, 3) == [[], [], []]


def test_what_came_back_to_a_person_was_not_there_meanwhile(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"a":1', 1), gout(keys, 2, '"a":2', 2, JOE), gout(keys, 3, '"a":3', 3))

    assert over_time(record, keys, 3) == [['"a":1'], [], ['"a":3']]
    assert over_time(record, keys, 3, JOE) == [[], [], []]


def patient(keys: Keys, event_id: int, when: int, replaces: PersonIdentifier | None) -> RecordChanged:
    link = (
        f'"link":[{{"type":"replaces","other":{{"reference":"Patient/{replaces.value}"}}}}]'
        if replaces
        else '"active":true'
    )
    return statement(keys, event_id, JOE, [Said("Patient", "p", link, when)], source=PDS)


def test_a_join_counts_from_its_time_on(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"a":1', 1), patient(keys, 2, 2, None), patient(keys, 3, 3, AMINA))

    assert [len(as_of(record, keys, second, JOE).person_keys) for second in range(3)] == [1, 1, 2]
    assert ['"a":1' in shown for shown in over_time(record, keys, 3, JOE)] == [False, False, True]


def test_a_join_that_was_undone_brings_nobody_together_again(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"a":1', 1), patient(keys, 2, 2, AMINA), patient(keys, 3, 3, None))

    for second, about in itertools.product(range(3), (AMINA, JOE)):
        assert as_of(record, keys, second, about).person_keys == {keys.person_key(about)}
    assert all('"a":1' not in shown for shown in over_time(record, keys, 3, JOE))


def test_what_moved_to_a_persons_new_number_was_there_under_the_old_one(record: Record, keys: Keys) -> None:
    project(record, keys, gout(keys, 1, '"a":1', 1), patient(keys, 2, 2, AMINA), gout(keys, 3, '"a":3', 3, JOE))

    assert over_time(record, keys, 2)[0] == ['"a":1']
    assert [shown[:1] for shown in over_time(record, keys, 3, JOE)] == [[], ['"a":1'], ['"a":3']]


@pytest.mark.parametrize("cuts", [(), (1, 3, 5), (2, 4)])
def test_what_is_noted_for_as_of_does_not_depend_on_how_batches_are_cut(
    record: Record, keys: Keys, cuts: Sequence[int]
) -> None:
    whole = statement(keys, 2, AMINA, [], recorded=5, published=5, complete_types=["Condition"])
    said = gout(keys, 1, '"a":1', 9)
    messages = [said, whole, later(said, published=7, recorded=7), later(whole, published=4, recorded=4)]
    messages += [later(said, published=8, recorded=3), later(whole, published=2, recorded=6)]
    noted = "select * from lowering order by 4", "select * from whole_list_lowering order by 6"
    project(record, keys, *messages)
    expected = [record.rows(query) for query in noted]
    assert [len(rows) for rows in expected] == [2, 2]

    record.empty()
    record.project(keys, *[messages[a:b] for a, b in itertools.pairwise([0, *cuts, len(messages)])])

    assert [record.rows(query) for query in noted] == expected
