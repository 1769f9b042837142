"""Which of two statements is newer (design section 6): sequence or recorded_at, then published_at, then event id."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OrderKey(NamedTuple):
    """Compares as a tuple; no two events have the same. PostgreSQL compares (rank, published_at, event_id) alike."""

    rank: int
    published_at: datetime
    event_id: UUID


def rank_of(sequence: int | None, recorded_at: datetime) -> int:
    """The sequence, where the source declares one, else `recorded_at` in microseconds since 1970."""
    if sequence is not None:
        return sequence
    since = recorded_at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
