"""The record holds a referral as a statement of its requester, with its status and the time when it was sent."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.record.record import Record
from tests.integration.record.statements import Said, arrivals, at, person, statement
from tests.referral_events import Made

from onestory.shared.errors import Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM, Party, RecordChanged, ReferralChanged, Source
from onestory.shared.identity import Keys

KEYS = Keys(b"a secret for tests, long enough!")
AMINA, JOE = person(1), person(2)
LIFE = ("draft", "requested", "accepted", "in-progress", "completed")


def life(made: Made, *statuses: str, first: int = 1) -> list[ReferralChanged]:
    """The changes of a referral that goes through these statuses, one minute apart."""
    return [
        made.change(UUID(int=first * 100 + version), version, status, at(60 * version))
        for version, status in enumerate(statuses, 1)
    ]


def stands(record: Record) -> list[tuple[object, ...]]:
    """The current row of each referral."""
    return record.rows(
        "select referral_id, version, requester, recipient, holder, status, is_open from referral order by 1"
    )


def test_a_referral_is_a_statement_of_who_made_it(record: Record, keys: Keys) -> None:
    made = Made(keys, AMINA)

    record.project(keys, life(made, "requested", "accepted"))

    said = record.rows("select shared_id, organisation, system, rank, event_id from current where visible order by 1")
    assert said == sorted(
        (shared_id, "A81001", REFERRAL_SYSTEM, 2, UUID(int=102)) for shared_id in (made.referral_id, made.task_id)
    )
    assert record.rows("select count(*) from statement") == [(4,)]
    assert stands(record) == [(made.referral_id, 2, "A81001", "RZ1", "RZ1", "accepted", True)]


def test_a_draft_is_not_sent_and_a_referral_is_sent_once(record: Record, keys: Keys) -> None:
    made = Made(keys, AMINA)
    told = life(made, *LIFE)

    record.project(keys, told[:1])
    assert record.rows("select * from referral_sent") == []
    record.project(keys, told)

    assert record.rows("select referral_id, version, sent_at, broker_time from referral_sent") == [
        (made.referral_id, 2, told[1].occurred_at, at(1))
    ]


def test_a_draft_that_was_called_off_was_never_sent(record: Record, keys: Keys) -> None:
    record.project(keys, life(Made(keys, AMINA), "draft", "cancelled"))

    assert record.rows("select * from referral_sent") == []
    assert [row[5:] for row in stands(record)] == [("cancelled", False)]


def test_a_task_leads_to_its_referral_also_when_another_one_is_in_force(record: Record, keys: Keys) -> None:
    first = Made(keys, AMINA)
    second = replace(first, task="t2", recipient="RZ2")

    record.project(keys, [*life(first, "requested", "rejected"), second.change(UUID(int=3), 3, "requested", at(9))])

    assert record.rows("select task_id, referral_id from referral_task order by 1") == sorted(
        (each.task_id, first.referral_id) for each in (first, second)
    )
    assert stands(record) == [(first.referral_id, 3, "A81001", "RZ2", "A81001", "requested", True)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_gives_the_same_record(record: Record, order: random.Random) -> None:
    told = [*life(Made(KEYS, AMINA), *LIFE), *life(Made(KEYS, JOE, name="r2"), "requested", "rejected", first=2)]
    problem = statement(KEYS, 9, AMINA, [Said("Condition", "c", '"a":1', 1)])
    record.empty()
    record.project(KEYS, [problem, *told])
    expected = _all_of(record)

    again: list[RecordChanged | ReferralChanged] = [problem, *told, *told]
    shuffled = order.sample(again, 2 * len(told) + 1)
    cuts = sorted(order.sample(range(1, len(shuffled)), 3))
    record.empty()
    record.project(KEYS, *[shuffled[a:b] for a, b in itertools.pairwise([0, *cuts, len(shuffled)])])

    assert _all_of(record) == expected


def _all_of(record: Record) -> list[object]:
    """Everything that must not depend on the order. Only the times at which Kafka had a message depend on it."""
    return [
        record.digest(),
        stands(record),
        record.rows("select referral_id, version, event_id, sent_at from referral_sent order by 1"),
        record.rows("select * from referral_task order by 1, 2"),
        record.rows("select count(*) from statement"),
        record.rows("select * from parked"),
    ]


def test_the_moment_of_sending_is_that_of_the_copy_that_kafka_had_first(record: Record, keys: Keys) -> None:
    (told,) = life(Made(keys, AMINA), "requested")
    first, copy = arrivals(keys, [told, told])

    for batch in ([copy], [first]):
        record.project_arrivals(record.projector(keys), keys, batch)

    assert record.rows("select broker_time from referral_sent") == [(first.broker_time,)]


def test_a_referral_changes_what_is_read_of_the_person(record: Record, keys: Keys) -> None:
    made = Made(keys, AMINA)
    versions = []

    for told in life(made, "requested", "accepted"):
        record.project(keys, [told])
        versions += record.rows("select person_key, version from person_state")

    assert {key for key, _ in versions} == {keys.person_key(AMINA)}
    assert len(set(versions)) == 2


def test_who_makes_referrals_or_makes_none_is_no_source_that_falls_silent(record: Record, keys: Keys) -> None:
    record.project(keys, life(Made(keys, AMINA), "requested", "accepted"))

    assert record.rows("select * from source_heard") == []
    assert record.rows("select * from sequence_seen") == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"person": JOE}, "wrong-key"),
        ({"referral_id": "elsewhere"}, "wrong-key"),
        ({"task_id": "elsewhere"}, "wrong-key"),
        ({"version": 0}, "entry-form"),
        ({"status": "a\0b"}, "entry-form"),
        ({"recipient": Party("a" * 600)}, "entry-form"),
        ({"requester": Party("a\0b")}, "source-form"),
    ],
)
def test_a_change_that_cannot_be_used_is_parked(
    record: Record, keys: Keys, wrong: dict[str, object], reason: str
) -> None:
    (told,) = life(Made(keys, AMINA), "requested")
    (arrival,) = arrivals(keys, [told])

    # This call does not use `arrivals`, which would take the key of the message from the event.
    record.project_arrivals(record.projector(keys), keys, [replace(arrival, event=replace(told, **wrong))])  # type: ignore[arg-type]

    assert record.rows("select reason, topic, system from parked") == [(reason, "care.referral", REFERRAL_SYSTEM)]
    assert stands(record) == []


def test_what_is_no_change_of_a_referral_is_parked_with_its_reason(record: Record, keys: Keys) -> None:
    (told,) = life(Made(keys, AMINA), "requested")
    (good,) = arrivals(keys, [told])
    broken = replace(good, offset=1, event=Unprocessable("Not readable.", code="not-decodable"))
    misplaced = replace(good, offset=2, event=statement(keys, 1, AMINA, []))

    record.project_arrivals(record.projector(keys), keys, [broken, misplaced, good])

    assert record.rows("select reason from parked order by 1") == [("not-decodable",), ("wrong-topic",)]
    assert len(stands(record)) == 1
    assert record.rows("select count(*) from person_state") == [(1,)]


def test_nobody_publishes_a_referral_as_a_statement(record: Record, keys: Keys) -> None:
    forged = [Said("ServiceRequest", "r1", '"status":"active"', 1)]

    record.project(keys, [statement(keys, 1, AMINA, forged, source=Source("A81001", REFERRAL_SYSTEM))])

    assert record.rows("select reason from parked") == [("wrong-topic",)]
    assert record.rows("select * from current") == []


def test_the_same_event_with_another_holder_is_another_event(record: Record, keys: Keys) -> None:
    (told,) = life(Made(keys, AMINA), "requested")

    record.project(keys, [told], [replace(told, holder=Party("RZ9"))])

    assert record.rows("select reason from parked") == [("event-id-reused",)]
    assert stands(record)[0][4] == "A81001"
