"""The record knows when it last heard each source and which of its sequence numbers are missing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, arrivals, at, person, statement

from onestory.record.parking.replay import replay_headers
from onestory.shared.events import ConsumedMessage, DirectoryChanged, Entry, Operation, RecordChanged, Source
from onestory.shared.identity import Keys
from onestory.shared.kafka import reader

KEYS = Keys(b"a secret for tests, long enough!")
AMINA, JOE = person(1), person(2)
NEMS = Source("X26", "nems")
KNOWN = (
    "select * from source_heard order by 1, 2, 3, 4",
    "select * from sequence_seen order by 1, 2, 3, 4",
    "select * from sequence_span order by 1, 2, 3",
)


def said(number: int, *, sequence: int | None = None, source: Source = NEMS) -> RecordChanged:
    """A statement about Amina."""
    entry = Said("Condition", f"c{number}", f'"a":{number}', number)
    return statement(KEYS, number, AMINA, [entry], source=source, sequence=sequence)


def heard(record: Record) -> dict[str, datetime]:
    """The time at which the record last heard each organisation."""
    return dict(record.rows("select organisation, max(broker_time) from source_heard group by 1"))


def missing(record: Record) -> list[int]:
    """The count of missing sequence numbers for each person and source."""
    return [int(row[0]) for row in record.rows("select missing from sequence_span order by person_key")]


def project(record: Record, *batches: Sequence[ConsumedMessage]) -> None:
    """Project batches, each in its own transaction."""
    for batch in batches:
        record.project_arrivals(record.projector(KEYS), KEYS, batch)


def test_a_source_is_heard_of_whoever_it_speaks_of_and_by_the_directory_as_well(record: Record) -> None:
    shared_id = KEYS.resource_hash(PRACTICE.organisation, PRACTICE.system, "Organization", "here")
    content = f'{{"resourceType":"Organization","id":"{shared_id}","meta":{{}},"name":"Here"}}'.encode()
    entry = Entry("Organization", "here", shared_id, at(0), Operation.ASSERT, content)
    of_itself = DirectoryChanged(said(1).event_id, PRACTICE, None, at(0), at(0), "test", entry)
    of_joe = statement(KEYS, 2, JOE, [Said("Condition", "a", '"a":1', 1)], source=NEMS)

    record.project(KEYS, [of_itself, of_joe])

    assert heard(record) == {"A81001": at(0), "X26": at(1)}


def test_a_repetition_is_heard_and_an_earlier_time_never_takes_the_place_of_a_later_one(record: Record) -> None:
    first, again, late = (replace(arrivals(KEYS, [said(1)], offset)[0], partition=0) for offset in (5, 9, 3))

    project(record, [first], [again], [late])

    assert heard(record) == {"X26": at(9)}


def test_each_partition_has_a_row_of_its_own_and_the_latest_counts(record: Record) -> None:
    first, second = arrivals(KEYS, [said(1), said(2)])

    project(record, [first, replace(second, partition=7)])

    assert record.rows("select partition, broker_time from source_heard order by 1") == [(0, at(0)), (7, at(1))]
    assert heard(record) == {"X26": at(1)}


def test_projectors_of_other_partitions_do_not_wait_for_each_other_to_note_the_same_source(record: Record) -> None:
    first, second = arrivals(
        KEYS, [said(1), statement(KEYS, 2, JOE, [Said("Condition", "j", '"a":1', 1)], source=NEMS)]
    )
    projector = record.projector(KEYS)

    with record.connect(KEYS) as one, record.connect(KEYS) as other, reader.transaction(one) as unfinished:
        projector.write(unfinished, projector.prepare([first]))
        with reader.transaction(other) as transaction:
            transaction.execute("set local lock_timeout = '5s'")
            projector.write(transaction, projector.prepare([replace(second, partition=1)]))

    assert record.rows("select partition from source_heard order by 1") == [(0,), (1,)]


def test_what_is_parked_and_what_an_operator_sends_again_is_no_sign_of_life(record: Record) -> None:
    usable, parked, replayed = arrivals(KEYS, [said(1), said(2), said(3)])
    wrong_key = replace(parked, key=KEYS.person_key(JOE).encode())
    by_hand = replace(replayed, headers=replay_headers(said(9).event_id, []))

    project(record, [usable], [wrong_key, by_hand])

    assert heard(record) == {"X26": at(0)}
    assert record.rows("select publisher, system from parked") == [("X26", "nems")]


def test_a_number_that_is_left_out_is_missing_until_its_statement_arrives(record: Record) -> None:
    record.project(KEYS, [said(1, sequence=1), said(2, sequence=2), said(5, sequence=5)])
    assert missing(record) == [2]

    record.project(KEYS, [said(4, sequence=4)])
    assert missing(record) == [1]

    record.project(KEYS, [said(3, sequence=3), said(4, sequence=4)])
    assert missing(record) == [0]


def test_a_source_that_gives_no_numbers_misses_none(record: Record) -> None:
    record.project(KEYS, [said(1), said(9)])

    assert missing(record) == []


def test_the_least_and_the_greatest_number_there_can_be_stop_nothing(record: Record) -> None:
    record.project(KEYS, [said(1, sequence=-(2**63)), said(2, sequence=2**63 - 1)])

    assert missing(record) == [2**64 - 2]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(0, 12), min_size=1, max_size=12), order=st.randoms(use_true_random=False))
def test_whatever_the_order_and_the_batches_what_is_missing_is_what_nobody_has_seen(
    record: Record, numbers: list[int], order: random.Random
) -> None:
    record.empty()
    cut = order.randint(0, len(numbers))
    events = [said(number + 1, sequence=number) for number in numbers]

    record.project(KEYS, *[batch for batch in (events[:cut], events[cut:], events[:1]) if batch])

    assert missing(record) == [len(set(range(min(numbers), max(numbers) + 1)) - set(numbers))]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.randoms(use_true_random=False))
def test_a_record_that_is_built_anew_knows_the_same_of_its_sources(record: Record, order: random.Random) -> None:
    events = [
        said(number, sequence=order.randrange(9), source=order.choice([NEMS, PRACTICE])) for number in range(1, 9)
    ]
    messages = [replace(each, partition=each.offset % 3) for each in arrivals(KEYS, events + order.sample(events, 3))]
    found = []

    for _ in range(2):
        record.empty()
        cuts = sorted(order.sample(range(1, len(messages)), 3))
        batches = [messages[a:b] for a, b in itertools.pairwise([0, *cuts, len(messages)])]
        project(record, *batches)
        found.append([record.rows(query) for query in KNOWN])

    assert found[0] == found[1]
