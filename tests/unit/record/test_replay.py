"""Replays of parked messages: the headers of a replay, its outcome, and how many bytes are sent at once."""

from __future__ import annotations

from uuid import UUID

import pytest

from onestory.record.parking.replay import (
    REPLAY_HEADER,
    ParkedState,
    parked_state,
    replay_batches,
    replay_headers,
    replayed_id,
)

FIRST, SECOND = UUID(int=1), UUID(int=2)


def test_a_replay_has_the_headers_of_the_message_and_says_which_one_it_is() -> None:
    headers = [("ce_id", b"7"), ("ce_id", b""), ("traceparent", b"00")]

    replayed = replay_headers(FIRST, headers)

    assert replayed[:3] == headers
    assert replayed_id(replayed) == FIRST


def test_the_replay_of_a_replay_says_it_once() -> None:
    replayed = replay_headers(SECOND, replay_headers(FIRST, [("ce_id", b"7")]))

    assert [name for name, _ in replayed] == ["ce_id", REPLAY_HEADER]
    assert replayed_id(replayed) == SECOND


@pytest.mark.parametrize("headers", [[], [("ce_id", b"7")], [(REPLAY_HEADER, b"me")], [(REPLAY_HEADER, b"\xff")]])
def test_what_does_not_say_which_message_it_is_is_no_replay(headers: list[tuple[str, bytes]]) -> None:
    assert replayed_id(headers) is None


def test_a_message_is_parked_then_replayed_and_perhaps_parked_again() -> None:
    assert parked_state(waiting=True, attempts=1) is ParkedState.PARKED
    assert parked_state(waiting=False, attempts=1) is ParkedState.REPLAYED
    assert parked_state(waiting=True, attempts=2) is ParkedState.AGAIN
    assert parked_state(waiting=False, attempts=2) is ParkedState.REPLAYED


def test_messages_are_sent_a_few_megabytes_at_a_time_in_their_order() -> None:
    sizes = [(UUID(int=number), 1_500_000) for number in range(5)]

    found = list(replay_batches(sizes))

    assert [len(portion) for portion in found] == [2, 2, 1]
    assert [parked_id for portion in found for parked_id in portion] == [parked_id for parked_id, _ in sizes]


def test_a_message_larger_than_a_portion_goes_alone_and_many_small_ones_do_not_go_at_once() -> None:
    assert list(replay_batches([(FIRST, 16_000_000), (SECOND, 1)])) == [[FIRST], [SECOND]]
    assert max(map(len, replay_batches((UUID(int=number), 1) for number in range(1000)))) < 1000
    assert list(replay_batches([])) == []
