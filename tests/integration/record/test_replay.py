"""A parked message can be replayed: harmless if the record has it already, and reported if it still fails."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from tests.integration.record.record import Record
from tests.integration.record.statements import (
    PRACTICE,
    Said,
    arrivals,
    at,
    expected_digest,
    person,
    statement,
)
from tests.integration.record.test_any_order import KEYS, history
from tests.stack import Stack

import onestory.record
from onestory.record.parking import store as parking_store
from onestory.record.parking.park import Parking, replay
from onestory.record.parking.replay import parked_state, replay_headers
from onestory.record.parking.store import ParkedMessage
from onestory.record.projector.handler import RecordProjector
from onestory.record.projector.metrics import ProjectorMetrics
from onestory.shared.errors import Unavailable, Unprocessable
from onestory.shared.events import ConsumedMessage, Parked, RecordChanged, Source
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import MessagePosition, Producer
from onestory.shared.postgres import database

AMINA, JOE = person(1), person(2)
HOSPITAL = Source("RXX01", "pas")
HEADERS = [("ce_id", b"7"), ("naïve \0", b"\0\xff"), ("ce_id", b"")]


@dataclass
class Partition:
    """One partition of care.record, and the record that is projected from it."""

    record: Record
    keys: Keys
    end: int = 0

    def reads(self, events: Sequence[RecordChanged], projector: RecordProjector, *, readable: bool = True) -> None:
        """Project the events, one transaction each. `readable` is False if this release cannot decode them."""
        for arrival in arrivals(self.keys, events, self.end):
            self.end += 1
            self.record.project_arrivals(projector, self.keys, [arrival if readable else unreadable(arrival)])

    def replays(
        self, projector: RecordProjector, chosen: Iterable[ParkedMessage] | None = None, *, readable: bool = True
    ) -> list[ConsumedMessage]:
        """Replay the waiting messages, or the chosen ones, and project them again. Returns the messages."""
        with parking_store.open_connection(self.record.dsn) as connection:
            ids = [each.parked_id for each in (parked(self.record) if chosen is None else chosen)]
            messages = parking_store.messages_to_replay(connection, ids)
            sent = [MessagePosition(messages[each].topic, 0, self.end + place) for place, each in enumerate(ids)]
            parking_store.mark_replayed(connection, ids, sent)
        found = []
        for each, position in zip(ids, sent, strict=True):
            key, value, headers = messages[each].key, messages[each].value or b"", messages[each].headers
            event = create_codec().decode(value)
            found.append(ConsumedMessage(position.topic, 0, position.offset, at(self.end), key, value, event, headers))
            self.end += 1
        self.record.project_arrivals(
            projector, self.keys, [arrival if readable else unreadable(arrival) for arrival in found]
        )
        return found


@pytest.fixture
def partition(record: Record, keys: Keys) -> Partition:
    return Partition(record, keys)


def unreadable(arrival: ConsumedMessage) -> ConsumedMessage:
    """The message as a release sees it that does not know the message's schema."""
    return replace(arrival, event=Unprocessable("Schema id 77 is not known.", code="unknown-schema"))


def parked(record: Record) -> list[ParkedMessage]:
    with parking_store.open_connection(record.dsn) as connection:
        return parking_store.list_parked(connection)


def states(record: Record) -> list[str]:
    return [str(parked_state(each.waiting, each.attempts)) for each in parked(record)]


def some(keys: Keys, ids: Collection[int], source: Source = PRACTICE) -> list[RecordChanged]:
    return [statement(keys, n, AMINA, [Said("Condition", f"c{n}", f'"n":{n}', n)], source=source) for n in ids]


def watched(keys: Keys, limit: int = 1000) -> tuple[RecordProjector, CollectorRegistry]:
    """A projector, and the registry of its metrics."""
    registry = CollectorRegistry()
    gauges = ProjectorMetrics(registry)
    return RecordProjector(keys, [], Parking(create_codec(), gauges, limit), gauges, 20), registry


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=history(), order=st.randoms(use_true_random=False))
def test_a_replay_gives_the_record_that_would_be_there_if_nothing_had_been_parked(
    record: Record, events: list[RecordChanged], order: random.Random
) -> None:
    record.empty()
    partition, projector = Partition(record, KEYS), record.projector(KEYS)
    for event in events:
        partition.reads([event], projector, readable=order.random() < 0.5)
    late = [*parked(record)] * 2

    # Each parked message is replayed twice, in any order. Some events are repeated in between.
    order.shuffle(late)
    for each in late:
        partition.replays(projector, [each])
        partition.reads(order.sample(events, 1), projector)

    assert record.digest() == expected_digest(KEYS, events)
    assert set(states(record)) <= {"replayed"}


def test_a_replay_of_what_is_in_the_record_changes_nothing(partition: Partition, record: Record, keys: Keys) -> None:
    older, newer = (statement(keys, n, AMINA, [Said("Condition", "a", f'"n":{n}', n)]) for n in (1, 2))
    projector = record.projector(keys)
    partition.reads([older], projector, readable=False)
    partition.reads([older, newer], projector)
    before = (record.digest(), record.rows("select * from statement order by event_id"))

    partition.replays(projector)
    partition.replays(projector)

    assert (record.digest(), record.rows("select * from statement order by event_id")) == before
    assert states(record) == ["replayed"]


def test_what_is_still_of_no_use_is_the_same_parked_message_and_says_so(
    partition: Partition, record: Record, keys: Keys
) -> None:
    projector, registry = watched(keys)
    partition.reads(some(keys, [1]), projector, readable=False)

    with capture_logs() as logs:
        partition.replays(projector, readable=False)

    assert states(record) == ["parked again"]
    assert record.rows('select "offset", latest_offset, replayed_offset, attempts from parked') == [(0, 1, 1, 2)]
    notices = [create_codec().decode(value) for (value,) in record.rows("select value from outbox order by id")]
    assert len(notices) == 2
    first, second = (notice for notice in notices if isinstance(notice, Parked))
    assert (second.parked_id, second.offset, second.attempts) == (first.parked_id, 0, 2)
    assert registry.get_sample_value("onestory_parked_total", {"reason": "unknown-schema"}) == 1
    assert registry.get_sample_value("onestory_parked_again_total", {"reason": "unknown-schema"}) == 1
    assert [line.keys() for line in logs] == [{"event", "log_level", "parked_id", "reason", "attempts"}]


def test_another_reason_takes_the_place_of_the_first(partition: Partition, record: Record, keys: Keys) -> None:
    first, other = (statement(keys, 1, AMINA, [Said("Condition", "a", f'"n":{n}', n)]) for n in (1, 2))
    projector = record.projector(keys)
    partition.reads([other], projector, readable=False)
    partition.reads([first], projector)

    partition.replays(projector)

    assert record.rows("select reason from parked") == [("event-id-reused",)]
    assert states(record) == ["parked again"]
    assert record.digest() == expected_digest(keys, [first])


def test_a_replay_that_is_read_twice_is_noted_once(partition: Partition, record: Record, keys: Keys) -> None:
    projector = record.projector(keys)
    partition.reads(some(keys, [1]), projector, readable=False)
    (again,) = partition.replays(projector, readable=False)

    record.project_arrivals(projector, keys, [unreadable(again)])

    assert record.rows("select attempts from parked") == [(2,)]


def test_a_replay_that_is_parked_before_it_is_marked_is_told_as_parked_again(
    partition: Partition, record: Record, keys: Keys
) -> None:
    projector = record.projector(keys)
    partition.reads(some(keys, [1]), projector, readable=False)
    (again,) = partition.replays(projector, readable=False)

    with parking_store.open_connection(record.dsn) as connection:
        (one,) = parking_store.list_parked(connection)
        parking_store.mark_replayed(connection, [one.parked_id], [MessagePosition(again.topic, 0, again.offset)])

    assert states(record) == ["parked again"]


def test_nobodys_word_is_taken_for_what_a_message_replays(partition: Partition, record: Record, keys: Keys) -> None:
    projector = record.projector(keys)
    partition.reads(some(keys, [1]), projector, readable=False)
    (one,) = parked(record)
    (other,) = arrivals(keys, some(keys, [2]), partition.end)

    record.project_arrivals(projector, keys, [replace(unreadable(other), headers=replay_headers(one.parked_id, []))])

    assert states(record) == ["parked", "parked"]


def test_replays_of_several_publishers_do_not_stop_the_process_and_raise_no_alarm(
    partition: Partition, record: Record, keys: Keys
) -> None:
    projector, registry = watched(keys, limit=3)
    for source in (PRACTICE, HOSPITAL):
        misplaced = arrivals(keys, some(keys, range(1, 4), source), partition.end)
        partition.end += len(misplaced)
        wrong = [replace(arrival, key=keys.person_key(JOE).encode()) for arrival in misplaced]
        partition.reads([statement(keys, 90 + partition.end, JOE, [])], projector)
        record.project_arrivals(projector, keys, wrong)
    # A new process starts that has not yet read a usable message.
    projector, registry = watched(keys, limit=3)

    for _ in range(3):
        partition.replays(projector)

    assert states(record) == ["parked again"] * 6
    assert registry.get_sample_value("onestory_parking_limit_passed", {"publisher": "A81001"}) is None
    assert registry.get_sample_value("onestory_parked_total", {"reason": "wrong-key"}) is None


def test_a_replay_has_the_bytes_the_key_and_the_headers_of_the_message(record: Record, keys: Keys) -> None:
    ours = arrivals(keys, some(keys, [1, 2]))
    sent = [replace(ours[0], headers=HEADERS), replace(ours[1], key=None, value=b"\0\xff")]

    record.project_arrivals(record.projector(keys), keys, [unreadable(arrival) for arrival in sent])

    with parking_store.open_connection(record.dsn) as connection:
        ids = [each.parked_id for each in parking_store.list_parked(connection)]
        found = [parking_store.messages_to_replay(connection, ids)[parked_id] for parked_id in ids]
    assert [(m.topic, m.partition, m.key, m.value) for m in found] == [(a.topic, 0, a.key, a.value) for a in sent]
    assert [list(message.headers[:-1]) for message in found] == [HEADERS, []]


def test_without_an_acknowledgement_nothing_is_marked(stack: Stack, record: Record, keys: Keys) -> None:
    # Kafka answers, but it has no such topic.
    lost = [replace(arrival, topic="test.lost") for arrival in arrivals(keys, some(keys, [1, 2]))]
    record.project_arrivals(record.projector(keys), keys, [unreadable(arrival) for arrival in lost])

    with (
        parking_store.open_connection(record.dsn) as connection,
        closing(Producer(stack.kafka, timeout_s=1, client_id="test")) as producer,
        pytest.raises(Unavailable) as caught,
    ):
        replay(connection, producer, parking_store.list_parked(connection))

    assert str(caught.value).startswith("Kafka did not acknowledge: 0 of 2 parked messages were replayed and marked.")
    assert states(record) == ["parked", "parked"]


def test_who_waits_for_a_parked_message_is_told_until_the_record_has_it(
    partition: Partition, record: Record, keys: Keys
) -> None:
    projector = record.projector(keys)
    partition.reads(some(keys, [1]), projector, readable=False)
    told = 'select "offset" from parked_position'
    assert record.rows(told) == [(0,)]

    (again,) = partition.replays(projector)
    assert record.rows(told) == [(0,)]

    with database.connect(record.dsn, "record") as connection:
        connection.execute("insert into position values (%s, 0, %s, now())", [again.topic, again.offset + 1])
    assert record.rows(told) == []


def test_a_publishers_name_that_no_table_holds_stops_nothing(partition: Partition, record: Record, keys: Keys) -> None:
    partition.reads(some(keys, [1], Source("A\0B", "emis")), record.projector(keys))

    assert record.rows("select reason, publisher from parked") == [("source-form", None)]


def test_what_was_parked_before_messages_could_be_replayed_waits(stack: Stack, tmp_path: Path) -> None:
    migrations, dsn = Path(onestory.record.__file__).parent / "migrations", stack.fresh_database()
    (tmp_path / "0001_record.sql").write_text((migrations / "0001_record.sql").read_text())
    database.migrate(dsn, "record", tmp_path)
    with database.connect(dsn, "record") as connection:
        connection.execute(
            """insert into parked
               values (%s, 'encrypted', 'No keys.', 'care.record', 3, 7, 'A81001', null, '', 1, now())""",
            [UUID(int=1)],
        )

    database.migrate(dsn, "record", migrations)

    assert states(Record(dsn)) == ["parked"]
    assert [(each.partition, each.offset) for each in parked(Record(dsn))] == [(3, 7)]
