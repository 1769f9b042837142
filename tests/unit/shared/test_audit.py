"""A read is not answered before Kafka has acknowledged its access event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest

from onestory.shared.audit import AuditTrail
from onestory.shared.errors import Unavailable
from onestory.shared.events import AccessRecorded
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.producer import KafkaMessage, MessagePosition, Producer

ACCESS = AccessRecorded(
    access_id=UUID(int=1),
    person_key="p" * 26,
    occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
    organisation="A81001",
    subject="user-1",
    role="R8000",
    purpose="TREAT",
    interaction="read",
    resource_types=("Condition",),
    visibility="all",
    reason="registered-practice-network",
    correlation_id="c",
)


class Broker(Producer):
    """A fake producer: it holds every group of events until the test acknowledges it."""

    def __init__(self, *, fails: bool = False) -> None:
        self.groups: list[Sequence[KafkaMessage]] = []
        self.sent = asyncio.Event()
        self.acknowledge = asyncio.Event()
        self.fails = fails

    async def partitions(self, topic: str) -> int:
        return 6

    async def send(self, messages: Sequence[KafkaMessage]) -> list[MessagePosition]:
        self.groups.append(messages)
        self.sent.set()
        await self.acknowledge.wait()
        if self.fails:
            raise Unavailable("away")
        return []


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_read_waits_for_the_acknowledgement() -> None:
    async def story() -> None:
        broker = Broker()
        reading = asyncio.create_task(AuditTrail(broker, create_codec()).record(ACCESS))
        await broker.sent.wait()
        assert not reading.done()

        broker.acknowledge.set()

        await asyncio.wait_for(reading, 10)

    asyncio.run(story())


def test_events_that_arrive_while_a_group_is_on_its_way_make_up_the_next() -> None:
    async def story() -> list[int]:
        broker = Broker()
        trail = AuditTrail(broker, create_codec())
        first = asyncio.create_task(trail.record(ACCESS))
        await broker.sent.wait()
        others = [asyncio.create_task(trail.record(ACCESS)) for _ in range(5)]
        await turn()
        broker.acknowledge.set()
        await asyncio.gather(first, *others)
        assert len({message.partition for group in broker.groups for message in group}) == 1
        return [len(group) for group in broker.groups]

    assert asyncio.run(story()) == [1, 5]


def test_the_events_of_one_read_are_one_group_and_fail_together() -> None:
    async def story(broker: Broker) -> list[int]:
        broker.acknowledge.set()
        await asyncio.wait_for(AuditTrail(broker, create_codec()).record(*[ACCESS] * 20), 10)
        return [len(group) for group in broker.groups]

    assert asyncio.run(story(Broker())) == [20]
    with pytest.raises(Unavailable):
        asyncio.run(story(Broker(fails=True)))


def test_a_group_waits_for_a_read_that_has_begun() -> None:
    async def story() -> list[int]:
        broker = Broker()
        broker.acknowledge.set()
        trail = AuditTrail(broker, create_codec())
        with trail.expecting():
            first = asyncio.create_task(trail.record(ACCESS))
            await turn()
        await asyncio.gather(first, trail.record(ACCESS))
        return [len(group) for group in broker.groups]

    assert asyncio.run(story()) == [2]


def test_a_read_that_takes_its_time_holds_up_nobody() -> None:
    async def story() -> list[int]:
        broker = Broker()
        broker.acknowledge.set()
        trail = AuditTrail(broker, create_codec())
        with trail.expecting():
            await asyncio.wait_for(trail.record(ACCESS), 10)
        return [len(group) for group in broker.groups]

    assert asyncio.run(story()) == [1]


def test_without_an_acknowledgement_nothing_may_be_shown_and_the_next_read_tries_again() -> None:
    async def story() -> None:
        broker = Broker(fails=True)
        broker.acknowledge.set()
        trail = AuditTrail(broker, create_codec())
        with pytest.raises(Unavailable, match="nothing is shown"):
            await trail.record(ACCESS)

        broker.fails = False
        await trail.record(ACCESS)

    asyncio.run(story())


def test_a_reader_that_goes_away_does_not_stop_the_others() -> None:
    async def story() -> None:
        broker = Broker()
        trail = AuditTrail(broker, create_codec())
        leaving = asyncio.create_task(trail.record(ACCESS))
        staying = asyncio.create_task(trail.record(ACCESS))
        await turn()
        leaving.cancel()
        await turn()
        broker.acknowledge.set()

        await asyncio.wait_for(staying, 5)

    asyncio.run(story())
