"""People who are found by what is said of them: policy decides for each, and everybody who is looked at is audited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from onestory.record.domain.search.people import MOST, People
from onestory.record.domain.search.person import Asked
from onestory.record.reading.opened import opened
from onestory.record.reading.reader import Access, Reader
from onestory.record.reading.view import PATIENT, View
from onestory.record.store import patient_names
from onestory.record.store.entries import CurrentEntry
from onestory.shared.database import Database
from onestory.shared.errors import Malformed
from onestory.shared.identity import Keys, PersonIdentifier
from onestory.shared.policy import Visibility

Answer = TypeVar("Answer")
_MOST_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a caller sees of each person found, and the Patients of all of them, in order.

    `looked_at` are all views that were looked into, also of people whom the caller sees nothing of.
    """

    looked_at: Sequence[View]
    views: Sequence[View]
    patients: Sequence[CurrentEntry]


class Crowds:
    """Finds people. A search that finds nobody leaves a trace too, and takes as long as one for somebody unseen."""

    def __init__(self, reader: Reader, database: Database, keys: Keys) -> None:
        self._reader = reader
        self._database = database
        self._keys = keys

    async def find(self, people: People, access: Access) -> Crowd:
        """Everybody of whom the caller sees a Patient that is as asked. Raises `Malformed` for a name of very many.

        Whom the caller may not see is neither found nor counted.
        """
        keys = await patient_names.persons(self._database, people.birth_dates, people.beginnings, _MOST_LOOKED_AT + 1)
        if len(keys) > _MOST_LOOKED_AT:
            raise _too_many()
        seen = [await self._reader.view(Asked(key), access) for key in keys or [self._nobody(people)]]
        # By an identity that another source gave, the same person may show nothing.
        seen.sort(key=lambda view: view.decision.visibility is not Visibility.NONE)
        looked_at = {frozenset(view.person.person_keys): view for view in seen}
        views = [view for view in looked_at.values() if _is_met(people, view)]
        found = [shown for view in views for shown in shared(view.matching(people.search.question))]
        return Crowd(list(looked_at.values()), views, sorted(found, key=lambda shown: shown.place))

    def _nobody(self, people: People) -> str:
        """A key that is nobody's: another one for each question, so that its answer is not at hand already."""
        return self._keys.person_key(PersonIdentifier("nobody", "|".join([*people.birth_dates, *people.beginnings])))

    async def show(self, crowd: Crowd, access: Access, produce: Callable[[], Answer]) -> Answer:
        """The answer, once Kafka has an access event for everybody who was looked at.

        Raises `Unavailable`; `Malformed` where the answer would show too many people.
        """
        traces = [self._reader.show(view, access, lambda: None, emptiness=True) for view in crowd.looked_at]
        await asyncio.gather(*traces)
        if len(crowd.views) > MOST:
            raise _too_many()
        return produce()


def shared(matching: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
    """The shared Patients; a person without an NHS number has the sources' own Patients alone."""
    return [shown for shown in matching if shown.composed] or matching


def _is_met(people: People, view: View) -> bool:
    """Whether a statement that the caller sees is as asked."""
    stated = [entry for entry in view.entries if entry.resource_type == PATIENT]
    return any(people.is_met(opened(entry)) for entry in stated)


def _too_many() -> Malformed:
    return Malformed(f"More than {MOST} people may be meant: narrow your search.", code="too-costly")
