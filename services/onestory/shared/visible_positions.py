"""Position tokens: the offsets of a publish in Kafka, and the wait until readers see them.

A publish answers with a token. A read with `?after=<token>` waits until the projector has written those offsets. A
change of a referral reaches Kafka through an outbox, so its token names the event instead.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.kafka.producer import MessagePosition
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, REFERRAL_TOPIC, topics
from onestory.shared.postgres.database import Database
from onestory.shared.turns import without_turn

_LETTERS = {RECORD_TOPIC: "r", DIRECTORY_TOPIC: "d", REFERRAL_TOPIC: "f"}
_TOPICS = {letter: topic for topic, letter in _LETTERS.items()}
_POLL_S = 0.005
_EVENT_POLL_S = 0.02


def position_token(positions: Sequence[MessagePosition]) -> str:
    """Return a token such as `r3-1234.d0-17`: the highest offset in each partition of the publish."""
    highest: dict[tuple[str, int], int] = {}
    for position in positions:
        partition = (_LETTERS[position.topic], position.partition)
        highest[partition] = max(position.offset, highest.get(partition, 0))
    return ".".join(f"{letter}{partition}-{offset}" for (letter, partition), offset in sorted(highest.items()))


def parse_position_token(token: str) -> list[MessagePosition]:
    """Return the positions in a token. Raises `Malformed`."""
    # A token of ours has one position for each partition at most.
    most = sum(topics()[topic].partitions for topic in _TOPICS.values())
    try:
        if token.count(".") >= most or not token.isascii():
            raise ValueError
        return [_position(part) for part in token.split(".")]
    except (KeyError, ValueError, IndexError) as error:
        raise Malformed(
            "This is no position token. Send the value of an X-OneStory-Position header.", code="value"
        ) from error


def _position(part: str) -> MessagePosition:
    partition, _, offset = part[1:].partition("-")
    if not (partition.isdecimal() and offset.isdecimal() and len(offset) <= 18 and len(partition) <= 6):
        raise ValueError
    topic = _TOPICS[part[0]]
    if int(partition) >= topics()[topic].partitions:
        raise ValueError
    return MessagePosition(topic, int(partition), int(offset))


class EventPosition(NamedTuple):
    """An event that Kafka has not acknowledged yet, because an outbox sends it: the person, and the id of the event."""

    person_key: str
    event_id: UUID


_EVENT_TOKEN = re.compile(r"e([a-z2-7]{26})-([0-9a-f]{32})")


def event_token(person_key: str, event_id: UUID) -> str:
    """Return the token of an event of a person, such as `e<person key>-<event id>`."""
    return f"e{person_key}-{event_id.hex}"


def parse_event_token(token: str) -> EventPosition | None:
    """Return the event that a token names; None for a token of offsets, or other text."""
    match = _EVENT_TOKEN.fullmatch(token)
    return EventPosition(match[1], UUID(hex=match[2])) if match else None


class VisiblePositions:
    """Waits until the projector of `schema` has written a position. All waits of a process share one poll.

    The schema has the tables `visible_position` and `parked_position`.
    """

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        self._visible = f"select topic, partition, next_offset from {schema}.visible_position"  # noqa: S608
        self._parked = f"""select explanation from {schema}.parked_position
               join unnest($1::text[], $2::int[], $3::bigint[]) as asked (topic, partition, "offset")
               using (topic, partition, "offset")"""  # noqa: S608
        self._event = f"select exists (select from {schema}.event where message_key = $1 and event_id = $2)"  # noqa: S608
        self._next: Mapping[tuple[str, int], int] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, positions: Sequence[MessagePosition], timeout_s: float) -> bool:
        """Return whether all positions became visible in time. Raises `Unprocessable` when one was parked."""
        if not await self.reached(positions, timeout_s):
            return False
        await self._refuse_parked(positions)
        return True

    async def wait_for_event(self, event: EventPosition, timeout_s: float) -> bool:
        """Return whether the projector has written an event in time."""
        deadline = time.monotonic() + timeout_s
        async with without_turn():
            while not await self._database.fetchval(self._event, *event):
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(_EVENT_POLL_S)
        return True

    async def reached(self, positions: Sequence[MessagePosition], timeout_s: float) -> bool:
        """Return whether the projector has written or parked all positions in time."""
        if self._reached(positions):
            return True
        deadline = time.monotonic() + timeout_s
        async with without_turn():
            while not self._reached(positions):
                if time.monotonic() > deadline:
                    return False
                await self._next_poll()
        return True

    def _reached(self, positions: Sequence[MessagePosition]) -> bool:
        return all(self._next.get((at.topic, at.partition), 0) > at.offset for at in positions)

    async def _next_poll(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        # A waiter that gives up must not cancel the poll that others wait for.
        await asyncio.shield(self._polling)

    async def _poll(self) -> None:
        await asyncio.sleep(_POLL_S)
        rows = await self._database.fetch(self._visible)
        self._next = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def _refuse_parked(self, positions: Sequence[MessagePosition]) -> None:
        rows = await self._database.fetch(
            self._parked,
            [at.topic for at in positions],
            [at.partition for at in positions],
            [at.offset for at in positions],
        )
        if rows:
            raise Unprocessable(
                f"Kafka has accepted the message, but it was parked: {rows[0]['explanation']}", code="processing"
            )
