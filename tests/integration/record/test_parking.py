"""A message that cannot be used is parked with its reason and stops no other message."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.integration.record.record import Record
from tests.integration.record.statements import PRACTICE, Said, arrivals, person, statement

from onestory.record.parking.park import EverythingParked
from onestory.shared.errors import Misconfigured, Unprocessable
from onestory.shared.events import ConsumedMessage, Parked, Source
from onestory.shared.identity import Keys
from onestory.shared.kafka.codec import create_codec

AMINA, JOE = person(1), person(2)
HOSPITAL = Source("RXX01", "pas")


def good(keys: Keys, number: int) -> ConsumedMessage:
    """A message that the projector can use."""
    return arrivals(keys, [statement(keys, number, AMINA, [Said("Condition", "a", '"a":1', number)])], number)[0]


def bad(keys: Keys, number: int, source: Source = PRACTICE) -> ConsumedMessage:
    """A message under the wrong key."""
    event = statement(keys, number, AMINA, [Said("Condition", "a", '"a":1', number)], source=source)
    return replace(arrivals(keys, [event], number)[0], key=keys.person_key(JOE).encode())


def test_a_parked_message_keeps_its_bytes_and_goes_to_the_outbox_in_the_same_transaction(
    record: Record, keys: Keys
) -> None:
    unreadable = replace(bad(keys, 1), event=Unprocessable("Not readable.", code="not-decodable"), value=b"\xff")

    record.project_arrivals(record.projector(keys), keys, [unreadable, good(keys, 2)])

    assert record.rows("select reason, publisher, value from parked") == [("not-decodable", None, b"\xff")]
    ((topic, value, headers),) = record.rows("select topic, value, headers from outbox")
    sent = create_codec().decode(value)
    assert isinstance(sent, Parked)
    assert (topic, sent.reason, sent.value, sent.offset) == ("care.parked", "not-decodable", b"\xff", 1)
    assert headers["ce_type"] == "uk.nhs.onestory.parked.v1"
    assert record.rows("select count(*) from current") == [(1,)]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([Said("Condition", "a", '"a":1', 1), Said("Condition", "a", '"a":2', 1)], "same-resource-twice"),
        ([Said("Condition", "a\0b", '"a":1', 1)], "entry-form"),
        ([Said("Condition", "a" * 3000, '"a":1', 1)], "entry-form"),
    ],
)
def test_what_the_tables_could_not_hold_is_parked(record: Record, keys: Keys, said: list[Said], reason: str) -> None:
    record.project(keys, [statement(keys, 1, AMINA, said)])

    assert record.rows("select reason from parked") == [(reason,)]


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("Condition", '"a":'),
        ("Condition", '"a":1}, {"b":1'),
        ("Patient", '"generalPractitioner":"x"'),
        ("Patient", '"name":['),
    ],
)
def test_content_that_no_reader_could_read_is_parked_and_hides_nothing_else(
    record: Record, keys: Keys, kind: str, members: str
) -> None:
    past_the_door = statement(keys, 1, AMINA, [Said(kind, "a", members, 1)])

    record.project(keys, [past_the_door, statement(keys, 2, AMINA, [Said("Condition", "b", '"b":1', 2)])])

    assert record.rows("select reason from parked") == [("content-form",)]
    assert record.rows("select count(*) from current") == [(1,)]


def test_past_its_limit_a_publisher_is_still_parked_and_an_alarm_goes_off_once(record: Record, keys: Keys) -> None:
    projector = record.projector(keys, limit=2)

    with capture_logs() as logs:
        for number in range(1, 9, 2):
            record.project_arrivals(projector, keys, [bad(keys, number), good(keys, number + 1)])

    assert record.rows("select count(*) from parked") == [(4,)]
    alarms = [line for line in logs if line["event"] == "parking_limit_passed"]
    assert [(line["publisher"], line["log_level"]) for line in alarms] == [("A81001", "error")]


def test_one_bad_publisher_alone_stops_nobody(record: Record, keys: Keys) -> None:
    record.project_arrivals(record.projector(keys, limit=2), keys, [bad(keys, number) for number in range(9)])

    assert record.rows("select count(*) from parked") == [(9,)]


def test_the_process_stops_when_all_that_several_publishers_say_would_be_parked(record: Record, keys: Keys) -> None:
    batch = [bad(keys, number, (PRACTICE, HOSPITAL)[number % 2]) for number in range(9)]

    with pytest.raises(EverythingParked):
        record.project_arrivals(record.projector(keys, limit=2), keys, batch)

    assert record.rows("select count(*) from parked") == [(0,)]


def test_another_key_secret_is_refused_before_anything_is_parked(record: Record, keys: Keys) -> None:
    record.project_arrivals(record.projector(keys), keys, [good(keys, 1)])

    with pytest.raises(Misconfigured, match="ONESTORY_KEY_SECRET"):
        record.connect(Keys(b"another secret, which is as long."))


def test_a_log_line_of_parking_has_ids_only(record: Record, keys: Keys) -> None:
    with capture_logs() as logs:
        record.project_arrivals(record.projector(keys), keys, [bad(keys, 1)])

    (line,) = [line for line in logs if line["event"] == "parked"]
    assert AMINA.value not in str(line)
    assert line.keys() == {"event", "log_level", "parked_id", "reason", "topic", "partition", "offset", "publisher"}
