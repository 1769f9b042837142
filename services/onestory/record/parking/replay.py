"""Replays of parked messages: how a replay is recognised, and the state of a parked message. Pure.

A replay is the message as it was, with one more header that has the id of the parked message.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from uuid import UUID

REPLAY_HEADER = "onestory-replay-of"
_MAX_MESSAGES = 200
_MAX_BYTES = 4_000_000

Headers = Sequence[tuple[str, bytes]]


class ParkedState(StrEnum):
    """The state of a parked message, in the words that operators read."""

    PARKED = "parked"
    REPLAYED = "replayed"
    AGAIN = "parked again"


def parked_state(waiting: bool, attempts: int) -> ParkedState:
    """The state of a parked message.

    `waiting`: it was not replayed, or its last replay was parked again. `attempts`: how often it was parked.
    """
    if not waiting:
        return ParkedState.REPLAYED
    return ParkedState.AGAIN if attempts > 1 else ParkedState.PARKED


def replay_headers(parked_id: UUID, headers: Headers) -> list[tuple[str, bytes]]:
    """The headers of a replay: those of the message, and the id of the parked message."""
    original = [(name, value) for name, value in headers if name != REPLAY_HEADER]
    return [*original, (REPLAY_HEADER, str(parked_id).encode())]


def replayed_id(headers: Headers) -> UUID | None:
    """The id of the parked message that a message with these headers claims to replay; None for any other message."""
    for name, value in headers:
        if name == REPLAY_HEADER:
            try:
                return UUID(value.decode("ascii"))
            except ValueError:
                return None
    return None


def replay_batches(sizes: Iterable[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    """The ids in the given order, in batches that are sent and marked together.

    `sizes` are pairs of id and bytes. A batch has at most 200 messages and 4 MB, and at least one message.
    """
    batch: list[UUID] = []
    size_bytes = 0
    for parked_id, size in sizes:
        if batch and (size_bytes + size > _MAX_BYTES or len(batch) == _MAX_MESSAGES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(parked_id)
        size_bytes += size
    if batch:
        yield batch
