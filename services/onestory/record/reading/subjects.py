"""Whom a reading is about: the person, the practice where they are registered, and their shared Patients."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from onestory.record.domain.search.person import Asked
from onestory.record.reading import organisations
from onestory.record.reading.demographics import Demographics
from onestory.record.reading.person import Person, Persons
from onestory.record.reading.view import PATIENT, View
from onestory.record.store.entries import CurrentEntry
from onestory.shared.database import Database
from onestory.shared.policy import Decision, Visibility


class Subjects:
    """Finds them, by what their sources say."""

    def __init__(self, database: Database, demographics: Demographics) -> None:
        self._database = database
        self._demographics = demographics
        self._persons = Persons(database)

    async def load(self, asked: Asked, at: datetime | None = None) -> Person:
        """The person asked for, as the record is now or was at a time. Raises `Unavailable`."""
        return await self._persons.load(asked, at)

    async def practice(self, found: Person) -> str | None:
        """The ODS code of the practice where the person is registered. Raises `Unavailable`."""
        statements = _patient_statements(found.entries)
        practice, named = self._demographics.practice(statements)
        if not named:
            return practice
        codes = await organisations.codes(self._database, found.entries, named)
        return self._demographics.practice_knowing(statements, codes)

    async def unfiltered(self, asked: Asked) -> View:
        """All of a person's record, for the deployment's own use: nobody reads it. Raises `Unavailable`."""
        found = await self.load(asked)
        decision = Decision(Visibility.ALL, "deployment")
        return View(found, decision, found.entries, self.patients(found, found.entries, await self.practice(found)))

    def patients(self, found: Person, seen: Sequence[CurrentEntry], practice: str | None) -> list[CurrentEntry]:
        """The shared Patients as these entries tell them; a reader who sees nothing of the person has none."""
        if not seen:
            return []
        statements = _patient_statements(seen)
        return [
            self._demographics.patient(key, found.numbers_of(key), statements, practice)
            for key in sorted(found.numbers)
        ]


def _patient_statements(entries: Sequence[CurrentEntry]) -> list[CurrentEntry]:
    return [entry for entry in entries if entry.resource_type == PATIENT]
