"""What a batch tells of the sources themselves: that they were heard of, and which numbers their statements have."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from onestory.record.domain.prepare import Prepared
from onestory.record.domain.replay import replay_of
from onestory.shared.events import RecordChanged


class Place(NamedTuple):
    """A row of `source_heard`: a source in one partition."""

    organisation: str
    system: str
    topic: str
    partition: int


class Numbered(NamedTuple):
    """A row of `sequence_seen`: a number that a source gave to a statement of a person."""

    person_key: str
    organisation: str
    system: str
    sequence: int


def heard(events: Iterable[Prepared]) -> dict[Place, datetime]:
    """The greatest broker time at which each source was heard of.

    A statement that is repeated counts, and so does one about the directory. Not so a replay, which an operator sends,
    and what is parked: a source of which nothing can be used is as good as silent.
    """
    found: dict[Place, datetime] = {}
    for event in events:
        arrival, source = event.arrival, event.event.source
        if replay_of(arrival.headers) is None:
            place = Place(source.organisation, source.system, arrival.topic, arrival.partition)
            found[place] = max(found.get(place, arrival.broker_time), arrival.broker_time)
    return found


def numbered(events: Iterable[Prepared]) -> set[Numbered]:
    """The numbers of statements about persons, where their sources give any."""
    return {
        Numbered(each.name.message_key, each.event.source.organisation, each.event.source.system, each.event.sequence)
        for each in events
        if isinstance(each.event, RecordChanged) and each.event.sequence is not None
    }
