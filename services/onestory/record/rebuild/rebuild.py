"""Rebuilding: a second generation beside the live record, compared with it, and then in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import psycopg

from onestory.record.domain.difference import Difference
from onestory.record.rebuild.following import Following
from onestory.record.store import carrying, comparison, generations
from onestory.record.store.generations import FORMER, LIVE, NEXT
from onestory.shared.consumer.log import Place
from onestory.shared.consumer.positions import Position
from onestory.shared.errors import Misconfigured

MOST_SHOWN = 1_000
_GIVE_UP_AFTER_S = 30.0

Stage = Callable[[str, int], None]
"""Told what begins, and how many messages it has to read."""


class Compared(NamedTuple):
    """The first differences, and how many there are."""

    shown: Sequence[Difference]
    in_all: int


class Rebuild:
    """One rebuild. The connection is that of `generations.alone`."""

    def __init__(self, connection: psycopg.Connection, following: Following, stage: Stage) -> None:
        self._connection = connection
        self._following = following
        self._stage = stage
        self._alike = False

    def check(self, first: Mapping[Place, int]) -> None:
        """Whether Kafka still has everything, and the next generation is not ahead. Raises `Misconfigured`."""
        live, rebuilt = (generations.positions(self._connection, each) for each in (LIVE, NEXT))
        for place in sorted(live):
            if first.get(place, 0) > 0:
                raise Misconfigured(
                    f"Kafka has {place.topic}/{place.partition} from {first[place]} on only: a rebuild would lose what "
                    "came before. Nothing was changed."
                )
        if any(position.next_offset > _next(live, place) for place, position in rebuilt.items()):
            raise Misconfigured(
                "The half-built generation is ahead of the record, which was put back to an earlier state: "
                "`onestory rebuild record --drop` first."
            )

    def build(self) -> None:
        """Bring the next generation to where the record stands as this begins."""
        self._follow("reading Kafka", generations.positions(self._connection, LIVE))

    def compare(self) -> Compared:
        """Compare both at one position, while the record goes on."""
        self._stage("looking at the record", 0)
        at = comparison.photograph(self._connection)
        self._follow("reading what has come since", at)
        self._following.touched.clear()
        self._stage("comparing", 0)
        found = Compared(*comparison.differences(self._connection, MOST_SHOWN))
        self._alike = not found.in_all
        return found

    def take_over(self, *, accept_differences: bool) -> Compared:
        """Put the next generation into the record's place, unless what came in since it was compared differs.

        Raises `Unavailable` when somebody keeps the tables busy; nothing has changed then.
        """
        generations.drop(self._connection, FORMER)
        self._follow("reading what has come since", generations.positions(self._connection, LIVE))
        self._stage("preparing", 0)
        carrying.carry_summaries(self._connection, alike=self._alike)
        generations.let_planner_know(self._connection)
        self._follow("reading what has come since", generations.positions(self._connection, LIVE))
        self._stage("taking over", 0)
        with self._connection.transaction():
            generations.hold_writers(self._connection, _GIVE_UP_AFTER_S)
            generations.check_alike(self._connection)
            self._following.to(generations.positions(self._connection, LIVE))
            found = Compared(*comparison.differences_of(self._connection, self._following.touched, MOST_SHOWN))
            if found.in_all and not accept_differences:
                raise psycopg.Rollback
            carrying.carry(self._connection, alike=self._alike and not found.in_all)
            generations.take_over(self._connection, _GIVE_UP_AFTER_S)
        return found

    def _follow(self, what: str, to: Mapping[Place, Position]) -> None:
        done = generations.positions(self._connection, NEXT)
        self._stage(what, sum(position.next_offset - _next(done, place) for place, position in to.items()))
        self._following.to(to)


def _next(positions: Mapping[Place, Position], place: Place) -> int:
    return positions[place].next_offset if place in positions else 0
