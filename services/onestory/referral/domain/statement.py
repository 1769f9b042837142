"""A statement about a resource of the directory that this room uses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.referral.domain.listing import LISTED, listed
from onestory.referral.domain.said import Said
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.errors import Unprocessable
from onestory.shared.events import DirectoryChanged, Operation
from onestory.shared.identity import is_directory_id, is_keepable
from onestory.shared.order import rank_of


class DirectoryStatement(NamedTuple):
    """A row of `directory_statement`. The greatest (rank, published_at, event_id) stands, as in the record."""

    shared_id: str
    event_id: UUID
    rank: int
    published_at: datetime
    resource_type: str
    said_by: str
    operation: str
    content: bytes | None
    digest: bytes


def statement(arrival: Arrival) -> DirectoryStatement | None:
    """What a message says; None for what this room does not use.

    Raises `Unprocessable` for what it would use and cannot: its issue's code is the reason. Such a statement does not
    count at all, so that what was said before it still stands.
    """
    event = arrival.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, DirectoryChanged):
        raise Unprocessable(f"{type(event).__name__} does not belong on {arrival.topic}.", code="wrong-topic")
    entry = event.entry
    if entry.resource_type not in LISTED:
        return None
    if (arrival.key or b"") != entry.shared_id.encode() or not is_directory_id(entry.shared_id):
        raise Unprocessable("The message key is not the id of the directory resource.", code="wrong-key")
    _check(event)
    return DirectoryStatement(
        entry.shared_id,
        event.event_id,
        rank_of(event.sequence, entry.recorded_at),
        event.published_at,
        entry.resource_type,
        event.source.organisation,
        entry.operation.value,
        entry.content,
        hashlib.sha256(entry.content or b"").digest(),
    )


def _check(event: DirectoryChanged) -> None:
    entry = event.entry
    if not is_keepable(event.source.organisation):
        raise Unprocessable("The source's name cannot be kept.", code="source-form")
    if entry.key_id is not None or (entry.content is None) is (entry.operation is Operation.ASSERT):
        raise Unprocessable("An assertion has readable content, and a retraction has none.", code="content-form")
    if entry.content is not None:
        listed(Said(entry.shared_id, entry.resource_type, event.source.organisation, entry.content, True))


def each_once(
    statements: Iterable[DirectoryStatement],
) -> tuple[list[DirectoryStatement], list[DirectoryStatement]]:
    """Each event once with the earliest of its clocks; and those that reuse an event id for other content."""
    once: dict[tuple[str, UUID], DirectoryStatement] = {}
    reused = []
    for said in statements:
        first = once.setdefault((said.shared_id, said.event_id), said)
        if first.digest != said.digest or first.operation != said.operation:
            reused.append(said)
            continue
        earliest = first._replace(
            rank=min(first.rank, said.rank), published_at=min(first.published_at, said.published_at)
        )
        once[said.shared_id, said.event_id] = earliest
    return list(once.values()), reused
