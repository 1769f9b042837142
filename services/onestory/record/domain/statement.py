"""A statement about one resource, as it is kept: the rows that an event becomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from onestory.record.domain.content import served, version_meta
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.events import DirectoryChanged, Entry, Operation, RecordChanged
from onestory.shared.order import OrderKey, rank_of

_KEY_LENGTH = 26


class Statement(NamedTuple):
    """A row of `statement`; one of `directory_statement` has no person, and an empty `person_key`."""

    person_key: str
    shared_id: str
    event_id: UUID
    rank: int
    published_at: datetime
    resource_type: str
    organisation: str
    system: str
    local_id: str
    operation: Operation
    content: bytes | None
    content_digest: bytes
    broker_time: datetime
    partition: int
    offset: int
    recorded_at: datetime

    @property
    def key(self) -> OrderKey:
        return OrderKey(self.rank, self.published_at, self.event_id)

    @property
    def asserts(self) -> bool:
        return self.operation is Operation.ASSERT

    @property
    def resource_hash(self) -> str:
        """What is left of a shared id when the person is taken off: the same for every person."""
        return self.shared_id[_KEY_LENGTH + 1 :]


class WholeList(NamedTuple):
    """A row of `whole_list`, and the offset of its message: this event has all that the source says of a type."""

    person_key: str
    organisation: str
    system: str
    resource_type: str
    event_id: UUID
    rank: int
    published_at: datetime
    broker_time: datetime
    offset: int


def statements(
    arrival: Arrival, event: RecordChanged | DirectoryChanged, digests: Sequence[bytes]
) -> Iterator[Statement]:
    """The rows of an event, in the order of its entries; `digests` are their content digests.

    Raises `Unprocessable` for content that cannot be served.
    """
    entries: Sequence[Entry] = event.entries if isinstance(event, RecordChanged) else (event.entry,)
    person_key = entries[0].shared_id[:_KEY_LENGTH] if isinstance(event, RecordChanged) and entries else ""
    meta = version_meta(event.event_id, arrival.broker_time)
    for entry, digest in zip(entries, digests, strict=True):
        yield Statement(
            person_key,
            entry.shared_id,
            event.event_id,
            rank_of(event.sequence, entry.recorded_at),
            event.published_at,
            entry.resource_type,
            event.source.organisation,
            event.source.system,
            entry.local_id,
            entry.operation,
            served(entry, meta),
            digest,
            arrival.broker_time,
            arrival.partition,
            arrival.offset,
            entry.recorded_at,
        )


def whole_lists(arrival: Arrival, event: RecordChanged, person_key: str) -> Iterator[WholeList]:
    """The types of which the event is the source's whole list."""
    rank = rank_of(event.sequence, event.recorded_at)
    source = event.source
    for resource_type in sorted(set(event.complete_types)):
        yield WholeList(
            person_key,
            source.organisation,
            source.system,
            resource_type,
            event.event_id,
            rank,
            event.published_at,
            arrival.broker_time,
            arrival.offset,
        )
