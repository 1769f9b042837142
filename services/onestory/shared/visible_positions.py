"""Position tokens: where Kafka put a publish, and whether readers see it yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.kafka.producer import MessagePosition
from onestory.shared.kafka.schemas import DIRECTORY, RECORD, REFERRAL, topics
from onestory.shared.postgres.database import Database

_LETTERS = {RECORD: "r", DIRECTORY: "d", REFERRAL: "f"}
_TOPICS = {letter: topic for topic, letter in _LETTERS.items()}
_POLL_S = 0.005
_MOST_POSITIONS = 5_000


def to_token(positions: Sequence[MessagePosition]) -> str:
    """A position token such as `r3-1234.d0-17`: the highest offset of each partition that a publish went to."""
    highest: dict[tuple[str, int], int] = {}
    for position in positions:
        place = (_LETTERS[position.topic], position.partition)
        highest[place] = max(position.offset, highest.get(place, 0))
    return ".".join(f"{letter}{partition}-{offset}" for (letter, partition), offset in sorted(highest.items()))


def from_token(token: str) -> list[MessagePosition]:
    """The positions in a token. Raises `Malformed`."""
    parts = token.split(".")
    try:
        if len(parts) > _MOST_POSITIONS or not token.isascii():
            raise ValueError
        return [_position(part) for part in parts]
    except (KeyError, ValueError, IndexError) as error:
        raise Malformed("Not a position token: send what X-OneStory-Position held.", code="value") from error


def _position(part: str) -> MessagePosition:
    partition, _, offset = part[1:].partition("-")
    if not (partition.isdecimal() and offset.isdecimal() and len(offset) <= 18 and len(partition) <= 6):
        raise ValueError
    topic = _TOPICS[part[0]]
    if int(partition) >= topics()[topic].partitions:
        raise ValueError
    return MessagePosition(topic, int(partition), int(offset))


class VisiblePositions:
    """Waits until the record shows what stands at a position. One poll serves all who wait in a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: Mapping[tuple[str, int], int] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, positions: Sequence[MessagePosition], timeout_s: float) -> bool:
        """Whether all of them became visible in time. Raises `Unprocessable` when one of them was parked."""
        deadline = time.monotonic() + timeout_s
        while not self._reached(positions):
            if time.monotonic() > deadline:
                return False
            await self._next_poll()
        await self._refuse_parked(positions)
        return True

    def _reached(self, positions: Sequence[MessagePosition]) -> bool:
        return all(self._next.get((at.topic, at.partition), 0) > at.offset for at in positions)

    async def _next_poll(self) -> None:
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        # One waiter that gives up may not end the poll of the others.
        await asyncio.shield(self._polling)

    async def _poll(self) -> None:
        await asyncio.sleep(_POLL_S)
        rows = await self._database.fetch("select topic, partition, next_offset from record.visible_position")
        self._next = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def _refuse_parked(self, positions: Sequence[MessagePosition]) -> None:
        rows = await self._database.fetch(
            """select explanation from record.parked_position
               join unnest($1::text[], $2::int[], $3::bigint[]) as asked (topic, partition, "offset")
               using (topic, partition, "offset")""",
            [at.topic for at in positions],
            [at.partition for at in positions],
            [at.offset for at in positions],
        )
        if rows:
            raise Unprocessable(f"Kafka has it, but it was parked: {rows[0]['explanation']}", code="processing")
