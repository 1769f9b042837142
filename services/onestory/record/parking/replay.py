"""Replay: a parked message is sent again as it was, with one header more, by which it is known when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from uuid import UUID

REPLAY_OF = "onestory-replay-of"
_MOST_MESSAGES = 200
_MOST_BYTES = 4_000_000

Headers = Sequence[tuple[str, bytes]]


class State(StrEnum):
    """What became of a parked message, in the words that operators read."""

    PARKED = "parked"
    REPLAYED = "replayed"
    AGAIN = "parked again"


def state(waiting: bool, attempts: int) -> State:
    """`waiting`: it was not sent again, or to no avail. `attempts`: how often it was parked."""
    if not waiting:
        return State.REPLAYED
    return State.AGAIN if attempts > 1 else State.PARKED


def headers_of(parked_id: UUID, headers: Headers) -> list[tuple[str, bytes]]:
    """The headers of a replay: the message's own, and which parked message it is."""
    own = [(name, value) for name, value in headers if name != REPLAY_OF]
    return [*own, (REPLAY_OF, str(parked_id).encode())]


def replay_of(headers: Headers) -> UUID | None:
    """The parked message that a message with these headers claims to be."""
    for name, value in headers:
        if name == REPLAY_OF:
            try:
                return UUID(value.decode("ascii"))
            except ValueError:
                return None
    return None


def portions(sizes: Iterable[tuple[UUID, int]]) -> Iterator[list[UUID]]:
    """What is sent and marked together, in the given order: a few megabytes, and at least one message."""
    portion: list[UUID] = []
    total = 0
    for parked_id, size in sizes:
        if portion and (total + size > _MOST_BYTES or len(portion) == _MOST_MESSAGES):
            yield portion
            portion, total = [], 0
        portion.append(parked_id)
        total += size
    if portion:
        yield portion
