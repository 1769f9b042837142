"""The feed of one process to the listeners of its worklists. It is bounded, and its messages have no gap."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

import pytest

from onestory.referral.worklist.domain import WorklistScope
from onestory.referral.worklist.feed import (
    _MAX_BUFFERED,
    _MAX_PENDING,
    WorklistFeed,
    offsets_from_token,
    offsets_to_token,
    to_list_change,
)
from onestory.shared.errors import Unavailable
from onestory.shared.events import Actor, Notice, Party, ReferralChanged
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.follower import FollowedMessage
from onestory.shared.policy import Caller

PRACTICE, NURSES, PHYSIOS = Party("A81001"), Party("RZ1", "nurses"), Party("RY2", "physios")
AT = datetime(2026, 5, 1, tzinfo=UTC)
LIST = WorklistScope(teams=("nurses",))
NURSE = Caller("RZ1", "rio", "555", "R8001", "", "TREAT")
SECRETARY = Caller("A81001", "emis", "556", "R8008", "", "TREAT")


def change(
    number: int, recipient: Party = NURSES, status: str = "requested", notices: tuple[Notice, ...] = ()
) -> ReferralChanged:
    return ReferralChanged(
        event_id=UUID(int=number),
        person=PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018"),
        referral_id=f"referral-{number}",
        task_id=f"task-{number}",
        version=1,
        kind="referral",
        priority="urgent",
        action="request",
        reason="",
        actor=Actor(PRACTICE, "555", ""),
        status=status,
        business_status="",
        is_open=True,
        requester=PRACTICE,
        recipient=recipient,
        holder=PRACTICE,
        next_actor=recipient if status != "draft" else PRACTICE,
        due_at=AT,
        occurred_at=AT,
        correlation_id="c-1",
        notices=notices,
        entries=(),
    )


def run(told: Callable[[WorklistFeed], None], most: int = 10) -> None:
    async def within() -> None:
        feed = WorklistFeed("nowhere:1", create_codec(), most, asyncio.Event())
        feed._start({0: 100, 1: 200})
        told(feed)

    asyncio.run(within())


def hear(feed: WorklistFeed, partition: int, offset: int, event: ReferralChanged | None) -> None:
    changes = [to_list_change(partition, offset, event)] if event else []
    feed._add({partition: offset + 1}, changes)


def test_each_hears_what_concerns_its_list() -> None:
    def told(feed: WorklistFeed) -> None:
        nurses, practice = (
            feed.add_listener(LIST, NURSE, ""),
            feed.add_listener(WorklistScope(requester="A81001"), SECRETARY, ""),
        )
        hear(feed, 0, 100, change(1))
        hear(feed, 0, 101, change(2, PHYSIOS))

        assert [each.referral_id for each in nurses.take()[0]] == ["referral-1"]
        assert [each.referral_id for each in practice.take()[0]] == ["referral-1", "referral-2"]

    run(told)


def test_a_team_from_which_it_was_taken_hears_of_it() -> None:
    def told(feed: WorklistFeed) -> None:
        nurses = feed.add_listener(LIST, NURSE, "")
        withdrawn = Notice("recipient", NURSES, "referral-withdrawn")
        hear(feed, 0, 100, change(1, PHYSIOS, notices=(withdrawn,)))

        assert [each.referral_id for each in nurses.take()[0]] == ["referral-1"]

    run(told)


def test_a_team_does_not_hear_of_a_draft() -> None:
    def told(feed: WorklistFeed) -> None:
        nurses = feed.add_listener(LIST, NURSE, "")
        hear(feed, 0, 100, change(1, status="draft"))

        assert nurses.take() == ([], False)

    run(told)


def test_who_does_not_listen_in_time_reads_the_list_anew_and_is_told_on() -> None:
    def told(feed: WorklistFeed) -> None:
        slow = feed.add_listener(LIST, NURSE, "")
        for number in range(_MAX_PENDING + 1):
            hear(feed, 0, 100 + number, change(number))

        assert slow.take() == ([], True)
        hear(feed, 0, 9_000, change(9_000))
        assert [each.referral_id for each in slow.take()[0]] == ["referral-9000"]

    run(told)


def test_several_changes_of_one_referral_wait_as_one() -> None:
    def told(feed: WorklistFeed) -> None:
        nurses = feed.add_listener(LIST, NURSE, "")
        for offset in range(100, 100 + 3 * _MAX_PENDING):
            hear(feed, 0, offset, change(1))

        assert [each.offset for each in nurses.take()[0]] == [100 + 3 * _MAX_PENDING - 1]

    run(told)


def test_who_comes_back_is_told_what_came_meanwhile() -> None:
    def told(feed: WorklistFeed) -> None:
        hear(feed, 0, 100, change(1))
        left = feed.position
        hear(feed, 1, 200, change(2))
        hear(feed, 0, 101, change(3))

        changes, lost = feed.add_listener(LIST, NURSE, left).take()

        assert ([each.referral_id for each in changes], lost) == (["referral-2", "referral-3"], False)

    run(told)


def test_who_comes_from_a_process_that_has_heard_more_goes_on() -> None:
    def told(feed: WorklistFeed) -> None:
        assert feed.add_listener(LIST, NURSE, offsets_to_token({0: 120, 1: 200})).take() == ([], False)

    run(told)


@pytest.mark.parametrize(
    "last_id",
    ["no token", offsets_to_token({0: 99, 1: 200}), offsets_to_token({0: 100}), offsets_to_token({0: 10**6, 1: 200})],
)
def test_who_comes_from_where_nothing_is_known_reads_the_list_anew(last_id: str) -> None:
    def told(feed: WorklistFeed) -> None:
        listener = feed.add_listener(LIST, NURSE, last_id)

        assert listener.position == feed.position
        assert listener.take() == ([], True)

    run(told)


def test_what_is_kept_for_those_who_come_back_is_bounded() -> None:
    def told(feed: WorklistFeed) -> None:
        left = feed.position
        for number in range(_MAX_BUFFERED + 1):
            hear(feed, 0, 100 + number, change(number))

        assert len(feed._buffer) == _MAX_BUFFERED
        assert feed.add_listener(LIST, NURSE, left).take() == ([], True)
        assert feed.add_listener(LIST, NURSE, offsets_to_token({0: 101, 1: 200})).missed is True

    run(told)


def test_there_are_so_many_listeners_and_no_more() -> None:
    def told(feed: WorklistFeed) -> None:
        first, _ = feed.add_listener(LIST, NURSE, ""), feed.add_listener(LIST, NURSE, "")
        with pytest.raises(Unavailable):
            feed.add_listener(LIST, NURSE, "")

        feed.remove_listener(first)
        feed.add_listener(LIST, NURSE, "")

    run(told, most=2)


def test_nobody_takes_the_places_of_all_others() -> None:
    def told(feed: WorklistFeed) -> None:
        for _ in range(20):
            feed.add_listener(LIST, NURSE, "")
        with pytest.raises(Unavailable):
            feed.add_listener(LIST, NURSE, "")

        feed.add_listener(LIST, SECRETARY, "")

    run(told, most=100)


def test_nobody_listens_before_it_is_known_where_changes_are() -> None:
    async def within() -> None:
        with pytest.raises(Unavailable):
            WorklistFeed("nowhere:1", create_codec(), 10, asyncio.Event()).add_listener(LIST, NURSE, "")

    asyncio.run(within())


def test_messages_come_from_the_thread_that_follows() -> None:
    async def within() -> None:
        feed = WorklistFeed("nowhere:1", create_codec(), 10, asyncio.Event())
        feed._loop = asyncio.get_running_loop()
        await asyncio.to_thread(feed.on_start, {0: 0})
        await asyncio.sleep(0)
        listener = feed.add_listener(LIST, NURSE, "")
        await asyncio.to_thread(feed.on_messages, [FollowedMessage(0, 0, change(1)), FollowedMessage(0, 1, None)])

        await listener.wait(5)

        assert [each.referral_id for each in listener.take()[0]] == ["referral-1"]
        assert feed.position == offsets_to_token({0: 2})

    asyncio.run(within())


@pytest.mark.parametrize("offsets", [{0: 0}, {0: 35, 1: 36, 2: 2**40}])
def test_a_token_is_read_as_it_was_written(offsets: dict[int, int]) -> None:
    assert offsets_from_token(offsets_to_token(offsets)) == offsets
