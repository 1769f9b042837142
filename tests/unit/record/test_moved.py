"""The readers who may have seen a resource before it moved to another person. In doubt, a reader is listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from onestory.record.person.moved import (
    ASSERTED_FOR_ANOTHER,
    READ_GRACE,
    MovedResource,
    ReaderTally,
    first_since,
    may_have_shown,
)
from onestory.shared.events import AccessRecorded

CAME = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
LEFT_AT = CAME + timedelta(hours=3)
MEANWHILE = CAME + timedelta(hours=1)
WRONG, RIGHT = "a" * 26, "b" * 26
EPILEPSY = MovedResource(WRONG, RIGHT, "Condition", f"{WRONG}-{'c' * 26}", "RX001", ASSERTED_FOR_ANOTHER, CAME, LEFT_AT)


def access(**changed: Any) -> AccessRecorded:
    read = AccessRecorded(
        access_id=UUID(int=1),
        person_key=WRONG,
        occurred_at=MEANWHILE,
        organisation="A81001",
        subject="nurse-7",
        role="R8001",
        purpose="TREAT",
        interaction="$everything",
        resource_types=(),
        visibility="all",
        reason="registered-practice-network",
        correlation_id="c",
    )
    return replace(read, **changed)


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (CAME - timedelta(seconds=1), False),
        (CAME, True),
        (MEANWHILE, True),
        (LEFT_AT, True),
        (LEFT_AT + READ_GRACE, True),
        (LEFT_AT + READ_GRACE + timedelta(seconds=1), False),
    ],
)
def test_a_read_counts_from_when_it_came_until_the_record_has_surely_followed(at: datetime, shown: bool) -> None:
    assert may_have_shown(EPILEPSY, access(), at) is shown


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"visibility": "none"}, False),
        ({"visibility": "own"}, False),
        ({"visibility": "own", "organisation": "RX001"}, True),
        ({"resource_types": ("Condition", "Observation")}, True),
        ({"resource_types": ("Observation",)}, False),
    ],
)
def test_only_an_answer_that_may_have_held_it_counts(changed: dict[str, Any], shown: bool) -> None:
    assert may_have_shown(EPILEPSY, access(**changed), MEANWHILE) is shown


def test_each_reader_is_one_line_with_the_first_and_the_last_time() -> None:
    tally = ReaderTally([EPILEPSY])
    later = MEANWHILE + timedelta(minutes=5)

    for at in (later, MEANWHILE, later):
        tally.add(access(occurred_at=at), at)
    tally.add(access(organisation="RY001", occurred_at=later), later)
    tally.add(access(person_key=RIGHT), MEANWHILE)

    (practice, often), (community, once) = tally.readers(EPILEPSY)
    assert (practice.organisation, often.times, often.first, often.last) == ("A81001", 3, MEANWHILE, later)
    assert (community.organisation, once.times) == ("RY001", 1)


def test_who_read_just_after_it_left_is_told_apart() -> None:
    tally = ReaderTally([EPILEPSY])

    tally.add(access(), MEANWHILE)
    tally.add(access(), LEFT_AT + timedelta(seconds=1))

    assert [reader.late for reader, _ in tally.readers(EPILEPSY)] == [False, True]


def test_the_access_events_are_read_from_when_the_first_of_them_came() -> None:
    assert first_since([EPILEPSY, EPILEPSY._replace(since=MEANWHILE)]) == CAME
    assert first_since([]) is None
