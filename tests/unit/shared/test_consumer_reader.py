"""The log reader returns every message of a partition once, in order, from the start position of the partition."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.shared.memory_log import BEGAN, MemoryLog, MemoryTopic

from onestory.shared.errors import Misconfigured, Unprocessable
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import Partition
from onestory.shared.kafka.reader import BATCH_BYTES, LogReader, StoredPosition

HERE, THERE = Partition("care.record", 0), Partition("care.record", 1)


@pytest.fixture
def topic() -> MemoryTopic:
    return MemoryTopic()


@pytest.fixture
def log(topic: MemoryTopic) -> MemoryLog:
    return MemoryLog(topic)


@pytest.fixture
def reader(log: MemoryLog) -> LogReader:
    return LogReader(log, create_codec())


def offsets(reader: LogReader) -> list[tuple[int, int]]:
    """(partition, offset) of the next batch."""
    return [(arrival.partition, arrival.offset) for arrival in reader.gather(0).messages]


def test_messages_of_a_partition_that_was_not_started_are_dropped_and_come_after_its_start(
    topic: MemoryTopic, log: MemoryLog, reader: LogReader
) -> None:
    for _ in range(3):
        topic.append(HERE, b"x")
    log.assign(HERE)

    assert offsets(reader) == []
    assert reader.not_started() == {HERE}

    reader.start(HERE, StoredPosition(1, BEGAN))

    assert offsets(reader) == [(0, 1), (0, 2)]
    assert reader.not_started() == set()


def test_a_partition_that_went_and_came_back_between_two_polls_is_started_anew(
    topic: MemoryTopic, log: MemoryLog, reader: LogReader
) -> None:
    for _ in range(3):
        topic.append(HERE, b"x")
    log.assign(HERE)
    reader.start(HERE, StoredPosition(0, BEGAN))
    assert offsets(reader) == [(0, 0), (0, 1), (0, 2)]

    log.assign()
    log.assign(HERE)

    assert offsets(reader) == []
    assert reader.not_started() == {HERE}


def test_what_passes_by_moves_the_position_and_is_not_decoded(topic: MemoryTopic, log: MemoryLog) -> None:
    reader = LogReader(log, create_codec(), lambda name, record: name == "care.record" and record.value == b"not ours")
    for value in (b"not ours", b"x", b"not ours"):
        topic.append(HERE, value)
    log.assign(HERE)
    reader.start(HERE, StoredPosition(0, BEGAN))

    batch = reader.gather(0)

    assert [arrival.offset for arrival in batch.messages] == [1]
    assert (batch.moves[HERE].expected_offset, batch.moves[HERE].new_position.next_offset) == (0, 3)


def test_a_lost_partition_does_not_stop_another(topic: MemoryTopic, log: MemoryLog, reader: LogReader) -> None:
    log.assign(HERE, THERE)
    for place in (HERE, THERE):
        topic.append(place, b"x")
        reader.start(place, StoredPosition(0, BEGAN))

    log.assign(THERE)

    assert offsets(reader) == [(1, 0)]


def test_a_batch_says_what_it_does_to_each_position(topic: MemoryTopic, log: MemoryLog, reader: LogReader) -> None:
    for _ in range(3):
        topic.append(HERE, b"x")
    log.assign(HERE)
    reader.start(HERE, StoredPosition(1, BEGAN))

    (move,) = reader.gather(0).moves.values()

    assert (move.partition, move.expected_offset, move.new_position) == (
        HERE,
        1,
        StoredPosition(3, BEGAN + timedelta(seconds=2)),
    )


def test_broker_time_never_goes_backwards(topic: MemoryTopic, log: MemoryLog, reader: LogReader) -> None:
    for seconds in (5, 3, 8):
        topic.append(HERE, b"x", seconds=seconds)
    log.assign(HERE)
    reader.start(HERE, StoredPosition(0, BEGAN + timedelta(seconds=4)))

    times = [(arrival.broker_time - BEGAN).seconds for arrival in reader.gather(0).messages]

    assert times == [5, 5, 8]


def test_a_batch_is_bounded_by_bytes_but_a_large_message_comes_alone(
    topic: MemoryTopic, log: MemoryLog, reader: LogReader
) -> None:
    for _ in range(6):
        topic.append(HERE, bytes(BATCH_BYTES + 1))
    log.assign(HERE)
    reader.start(HERE, StoredPosition(0, BEGAN))
    assert len(reader.gather(0).messages) < 6

    assert len(reader.gather(0).messages) == 1


def test_bytes_that_cannot_be_read_arrive_with_the_reason(
    topic: MemoryTopic, log: MemoryLog, reader: LogReader
) -> None:
    topic.append(HERE, b"x")
    topic.append(HERE, b"\0\0\0\1\0more")
    log.assign(HERE)
    reader.start(HERE, StoredPosition(0, BEGAN))

    reasons = [
        arrival.event.issues[0].code
        for arrival in reader.gather(0).messages
        if isinstance(arrival.event, Unprocessable)
    ]

    assert reasons == ["not-decodable", "unknown-schema"]


def test_a_position_that_the_log_does_not_have_is_refused(log: MemoryLog, reader: LogReader) -> None:
    log.assign(HERE)

    with pytest.raises(Misconfigured):
        reader.start(HERE, StoredPosition(7, BEGAN))


def test_lag_is_the_end_offset_minus_the_stored_offset_of_assigned_partitions(
    topic: MemoryTopic, log: MemoryLog, reader: LogReader
) -> None:
    other = Partition(HERE.topic, HERE.number + 1)
    for _ in range(3):
        topic.append(HERE, b"x")
    log.assign(HERE)

    assert reader.lag({HERE: 1, other: 0}) == {HERE: 2}
    # An unknown stored offset gives no lag, and a log that does not answer gives none either.
    assert reader.lag({}) == {}
    log.away = True
    assert reader.lag({HERE: 1}) == {}
