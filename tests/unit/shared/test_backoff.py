"""Pauses between failing attempts double up to the longest one, and begin again after a success."""

from __future__ import annotations

from onestory.shared.backoff import GrowingPause, growing_pause_s


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_the_longest() -> None:
    pause = GrowingPause(first_s=0.5, longest_s=3.0)

    assert [pause.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert pause.failures == 5


def test_after_a_success_the_first_pause_comes_again() -> None:
    pause = GrowingPause(first_s=0.5, longest_s=3.0)
    pause.next_s()
    pause.next_s()

    pause.reset()

    assert pause.failures == 0
    assert pause.next_s() == 0.5


def test_the_pause_depends_only_on_the_number_of_failures() -> None:
    assert [growing_pause_s(failures, 0.25, 15.0) for failures in (0, 1, 5, 6)] == [0.25, 0.5, 8.0, 15.0]


def test_a_server_that_is_away_for_hours_causes_no_overflow() -> None:
    assert growing_pause_s(100_000, 0.1, 2.0) == 2.0
