"""The projector against real Kafka: log, outbox, topics and process."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from prometheus_client import CollectorRegistry
from tests.integration.record.record import Record
from tests.stack import Stack
from tests.unit.shared.memory_log import MemoryLog, MemoryTopic
from tests.waiting import until

from onestory.admin import topics
from onestory.shared.errors import Misconfigured, Unavailable
from onestory.shared.identity import Keys
from onestory.shared.kafka import consumer as kafka_consumer
from onestory.shared.kafka.consumer import KafkaLog, Log, Partition
from onestory.shared.kafka.producer import KafkaMessage, Producer
from onestory.shared.kafka.schemas import Topic
from onestory.shared.postgres import database, outbox

Write = Callable[[int], None]


@pytest.fixture
def topic(stack: Stack) -> str:
    """A topic with one partition."""
    name = f"test.{uuid.uuid4().hex[:8]}"
    with closing(KafkaAdminClient(bootstrap_servers=stack.kafka)) as admin:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)
    return name


@pytest.fixture(params=["memory", "kafka"])
def log(request: pytest.FixtureRequest) -> Iterator[tuple[Log, Partition, Write]]:
    """A log, its one partition, and a function that writes n messages. Once in memory, once on real Kafka."""
    if request.param == "memory":
        memory = MemoryTopic()
        member = MemoryLog(memory)
        member.assign(Partition("test", 0))
        yield member, Partition("test", 0), partial(_append, memory, Partition("test", 0))
        return
    stack, name = request.getfixturevalue("stack"), request.getfixturevalue("topic")
    with closing(KafkaLog(stack.kafka, name, [name])) as real:
        yield real, Partition(name, 0), partial(_write, stack.kafka, name)


def test_a_member_whose_heart_has_stopped_joins_again_and_loses_nothing(
    stack: Stack, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "_MAX_SILENCE_S", 4.0)
    place = Partition(topic, 0)
    with closing(KafkaLog(stack.kafka, topic, [topic])) as log:
        until(lambda: log.poll(100, 1) is not None and log.assigned() == {place})
        first = log._consumer

        def has_joined_again() -> bool:
            # kafka-python has this state when a broker dies at the wrong moment.
            # A join that ends just now starts again.
            first._coordinator._disable_heartbeat()
            log.poll(100, 1)
            return log._consumer is not first and log.assigned() == {place}

        until(has_joined_again)
        log.seek(place, 0)
        _write(stack.kafka, topic, 3)
        read: list[int] = []

        def has_all() -> bool:
            read.extend(each.offset for each in log.poll(100, 5).get(place, ()))
            return read == [0, 1, 2]

        until(has_all)


def test_nobody_joins_a_group_before_its_topics_are_there(stack: Stack) -> None:
    missing = f"test.{uuid.uuid4().hex[:8]}"

    for group in (missing, None):
        with pytest.raises(Unavailable) as caught:
            KafkaLog(stack.kafka, group, [missing])
        assert "onestory topics apply" in caught.value.issues[0].diagnostics


def test_a_log_reads_on_from_where_it_was_told_to(log: tuple[Log, Partition, Write]) -> None:
    reading, place, write = log
    write(5)
    until(lambda: _polled(reading) is not None and place in reading.assigned())

    reading.seek(place, 3)

    assert _all(reading, place, 2) == [3, 4]
    reading.seek(place, 0)
    assert _all(reading, place, 5) == [0, 1, 2, 3, 4]
    assert reading.end_offsets([place]) == {place: 5}


def test_a_log_refuses_an_offset_that_it_does_not_have(log: tuple[Log, Partition, Write]) -> None:
    reading, place, write = log
    write(1)
    until(lambda: _polled(reading) is not None and place in reading.assigned())

    with pytest.raises(Misconfigured):
        reading.seek(place, 9)


def test_what_stands_in_the_outbox_goes_to_kafka_in_order_and_is_deleted_afterwards(
    stack: Stack, record: Record, topic: str, keys: Keys
) -> None:
    with database.connect(record.dsn, "record") as connection:
        for number in range(500):
            headers = [("ce_id", b"%d" % number)]
            outbox.append(connection, KafkaMessage(topic, b"key", b"%d" % number, headers))
        outbox.append(connection, KafkaMessage(topic, b"key", None))
    producer = Producer(stack.kafka, timeout_s=10, client_id="test")
    relay = outbox.Relay(partial(database.connect, record.dsn, "record"), producer, CollectorRegistry())
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=[stop])
    thread.start()

    until(lambda: record.rows("select count(*) from outbox") == [(0,)])
    stop.set()
    thread.join()
    producer.close()

    found = _messages(stack.kafka, topic, 501)
    assert [message.value for message in found] == [*[b"%d" % number for number in range(500)], None]
    assert [message.headers for message in found[:2]] == [[("ce_id", b"0")], [("ce_id", b"1")]]


def test_topics_are_made_once_and_a_changed_setting_is_put_right(stack: Stack) -> None:
    wanted = Topic(f"test.{uuid.uuid4().hex[:8]}", "RecordChanged", 2, -1, "delete", 1_000_000)
    with closing(KafkaAdminClient(bootstrap_servers=stack.kafka)) as admin:
        assert [each.missing for each in _differences(admin, wanted)] == [True]

        topics._create(admin, [wanted], 1)
        assert _differences(admin, wanted) == []

        longer = Topic(wanted.name, "RecordChanged", 2, 86_400_000, "delete", 1_000_000)
        (difference,) = _differences(admin, longer)
        assert list(difference.lines()) == [f"{wanted.name}: retention.ms is -1, will be 86400000"]
        topics._alter(admin, [difference])
        assert _differences(admin, longer) == []


def test_another_partition_count_is_told_and_refused(stack: Stack) -> None:
    name = f"test.{uuid.uuid4().hex[:8]}"
    with closing(KafkaAdminClient(bootstrap_servers=stack.kafka)) as admin:
        topics._create(admin, [Topic(name, "RecordChanged", 2, -1, "delete", 1_000_000)], 1)

        (difference,) = _differences(admin, Topic(name, "RecordChanged", 3, -1, "delete", 1_000_000))

    assert difference.partitions == 2
    assert "A partition count is for the life of a deployment" in " ".join(difference.lines())


def test_kafka_away_is_unavailable() -> None:
    with pytest.raises(Unavailable), topics._admin("127.0.0.1:1"):
        pass


def _differences(admin: KafkaAdminClient, wanted: Topic) -> list[topics.TopicDifference]:
    return topics.differences([wanted], topics._existing(admin, [wanted.name]))


def _append(topic: MemoryTopic, place: Partition, messages: int) -> None:
    for _ in range(messages):
        topic.append(place, b"x")


def _write(kafka: str, topic: str, messages: int) -> None:
    with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
        for _ in range(messages):
            producer.send(topic, b"x")
        producer.flush()


def _polled(log: Log) -> int:
    return sum(len(records) for records in log.poll(100, 100).values())


def _all(log: Log, place: Partition, wanted: int) -> list[int]:
    """The offsets of the next messages, as many as wanted."""
    found: list[int] = []

    def enough() -> bool:
        found.extend(record.offset for record in log.poll(100, 2).get(place, []))
        return len(found) >= wanted

    until(enough)
    return found


def _messages(kafka: str, topic: str, wanted: int) -> list[Any]:
    with closing(KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")) as consumer:
        found: list[Any] = []

        def enough() -> bool:
            for messages in consumer.poll(timeout_ms=500).values():
                found.extend(messages)
            return len(found) >= wanted

        until(enough)
    return found
