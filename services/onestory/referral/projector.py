"""What one transaction of `onestory project referral` does with a batch: each topic has its own part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg

from onestory.referral import directory, persons
from onestory.referral.directory import Directory
from onestory.referral.persons import Persons
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.topics import DIRECTORY, RECORD

TOPICS = [DIRECTORY, RECORD]


class Batch(NamedTuple):
    """A batch by topic."""

    directory: directory.Batch
    persons: persons.Batch


class Projector:
    """The directory first: who speaks of people may name a practice that came with the same batch."""

    def __init__(self, of_directory: Directory, of_persons: Persons) -> None:
        self._directory = of_directory
        self._persons = of_persons

    def prepare(self, arrivals: Sequence[Arrival]) -> Batch:
        """Everything that needs no database."""
        return Batch(
            self._directory.prepare([each for each in arrivals if each.topic == DIRECTORY]),
            self._persons.prepare([each for each in arrivals if each.topic == RECORD]),
        )

    def write(self, transaction: psycopg.Connection, batch: Batch) -> Callable[[], None]:
        """Write both."""
        done = [
            self._directory.write(transaction, batch.directory),
            self._persons.write(transaction, batch.persons),
        ]

        def observe() -> None:
            for each in done:
                each()

        return observe
