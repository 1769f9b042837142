"""Positions: how far each partition has been projected, kept with what was projected.

A room that projects has the table `position (topic, partition, next_offset, broker_time)` in its schema.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from onestory.shared.consumer.log import Place
from onestory.shared.errors import Unavailable

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Position(NamedTuple):
    """The offset to read next, and the greatest broker time so far."""

    next_offset: int
    broker_time: datetime


class Move(NamedTuple):
    """What a batch does to a position."""

    place: Place
    expected: int
    to: Position


class PositionMoved(Exception):
    """Another projector has moved a position that this one thought was its own; nothing may be written."""


@contextmanager
def transaction(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """One transaction. Raises `Unavailable` when PostgreSQL goes away, or ends it in favour of another one."""
    try:
        with connection.transaction():
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        # The text of a PostgreSQL error may quote a row, so only its class goes on.
        raise Unavailable(f"PostgreSQL did not take a batch ({type(error).__name__}).") from error


def stored(connection: psycopg.Connection, places: Collection[Place]) -> dict[Place, Position]:
    """Where to read on; at the beginning when nobody has read a partition yet."""
    asked = [[place.topic for place in sorted(places)], [place.partition for place in sorted(places)]]
    connection.execute(
        """insert into position (topic, partition, next_offset, broker_time)
           select topic, partition, 0, %s from unnest(%s::text[], %s::int[]) as asked (topic, partition)
           on conflict do nothing""",
        [_NEVER, *asked],
    )
    rows = connection.execute(
        """select topic, partition, next_offset, broker_time from position
           join unnest(%s::text[], %s::int[]) as asked (topic, partition) using (topic, partition)""",
        asked,
    ).fetchall()
    return {Place(topic, partition): Position(*position) for topic, partition, *position in rows}


def move(connection: psycopg.Connection, moves: Collection[Move]) -> None:
    """Compare-and-set, before anything else of the batch is written. Raises `PositionMoved`.

    Rows are locked in one order, so that two projectors that fight over several partitions do not deadlock. The loser
    waits at the first row that both want, and then sees that it was moved.
    """
    ordered = sorted(moves)
    found = connection.execute(
        """select topic, partition, next_offset from position
           join unnest(%s::text[], %s::int[]) as asked (topic, partition) using (topic, partition)
           order by topic, partition for update of position""",
        [[m.place.topic for m in ordered], [m.place.partition for m in ordered]],
    ).fetchall()
    if [(m.place.topic, m.place.partition, m.expected) for m in ordered] != found:
        raise PositionMoved
    connection.execute(
        """update position set next_offset = asked.next_offset, broker_time = asked.broker_time
           from unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[])
               as asked (topic, partition, next_offset, broker_time)
           where (position.topic, position.partition) = (asked.topic, asked.partition)""",
        [
            [m.place.topic for m in ordered],
            [m.place.partition for m in ordered],
            [m.to.next_offset for m in ordered],
            [m.to.broker_time for m in ordered],
        ],
    )
