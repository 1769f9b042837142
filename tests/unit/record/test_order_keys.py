"""Order keys: the rank decides first, then `published_at`, then the event id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from onestory.shared.events import OrderKey, rank_of

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
times = st.integers(-(10**15), 10**15).map(lambda micros: MOMENT + timedelta(microseconds=micros))


@given(times, times)
def test_without_a_sequence_the_later_time_has_the_greater_rank(one: datetime, other: datetime) -> None:
    assert (rank_of(None, one) < rank_of(None, other)) is (one < other)


@given(times)
def test_rank_counts_microseconds(time: datetime) -> None:
    assert rank_of(None, time + timedelta(microseconds=1)) == rank_of(None, time) + 1


def test_a_sequence_is_the_rank_and_the_time_is_not() -> None:
    assert rank_of(7, MOMENT) == 7


def test_published_at_decides_between_equal_ranks_and_the_event_id_between_equal_times() -> None:
    keys = [
        OrderKey(1, MOMENT, UUID(int=2)),
        OrderKey(1, MOMENT, UUID(int=1)),
        OrderKey(1, MOMENT - timedelta(seconds=1), UUID(int=3)),
        OrderKey(0, MOMENT + timedelta(seconds=1), UUID(int=4)),
    ]

    assert max(keys) is keys[0]
    assert sorted(keys) == keys[::-1]
