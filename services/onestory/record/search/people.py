"""A search for people by name and birth date, across everybody.

A name alone would list strangers, and a birth date alone all who share it: both are needed, the date as a day. Where a
person is named by an NHS number the rest only narrows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from onestory.record.person import store as person_store
from onestory.record.person.identifiers import PersonRef, dates_of, words
from onestory.record.read.access import PATIENT, Access, RecordAccess, View, page
from onestory.record.read.request import Context
from onestory.record.read.store import CurrentEntry
from onestory.record.search.dates import span
from onestory.record.search.execute import Companions, Listing, Lists, SearchPage, opened
from onestory.record.search.filters import plain, split
from onestory.record.search.parameters import Search, one
from onestory.shared.errors import Malformed
from onestory.shared.identity import Keys, PersonIdentifier
from onestory.shared.policy import Visibility
from onestory.shared.postgres.database import Database

MOST = 20
"""People in an answer. Whoever would see more must ask more narrowly."""
_NAMES = ("name", "family", "given", "name:exact", "family:exact", "given:exact")
_BIRTH_DATE = "birthdate"
_LEAST_LETTERS = 2
_MOST_NAMES = 20
_DAY = re.compile(r"(eq)?(?P<day>\d{4}-\d\d-\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """Who is asked for: what a source may have stated as birth date, and how one of the names begins.

    `search` has everything but the birth date.
    """

    birth_dates: Sequence[str]
    beginnings: Sequence[str]
    search: Search

    def is_met(self, patient: Mapping[str, Any]) -> bool:
        """Whether a Patient is as asked."""
        return patient.get("birthDate") in self.birth_dates and self.search.is_met(patient)


def people(search: Search) -> PeopleQuery:
    """Who is asked for by name and birth date. Raises `Malformed`."""
    asked = [value for name, value in search.used if name in _NAMES]
    day = _DAY.fullmatch(one(search.used, _BIRTH_DATE) or "")
    if not asked or day is None or span(day["day"]) is None:
        raise Malformed(
            "Patients are found by identifier=<NHS number>, or by name, family or given together with the day of "
            "birth, as in family=Smith&birthdate=1990-12-31.",
            code="required",
        )
    if search.order is not None:
        raise Malformed("Patients who are found by name are not sorted.", code="not-supported")
    rest = tuple(each for each in search.filters if each.name != _BIRTH_DATE)
    return PeopleQuery(dates_of(day["day"]), _beginnings(asked[0]), replace(search, filters=rest))


def _beginnings(name: str) -> list[str]:
    """Each alternative by its first word, and by all of its words as one."""
    alternatives = [words(plain(each)) for each in split(name, ",")]
    if len(alternatives) > _MOST_NAMES:
        raise Malformed(f"At most {_MOST_NAMES} names may be alternatives.", code="too-costly")
    if not all(sum(map(len, each)) >= _LEAST_LETTERS for each in alternatives):
        raise Malformed(f"A name is given with at least {_LEAST_LETTERS} letters.", code="value")
    return sorted({form for each in alternatives for form in (each[0], "".join(each))})


# People who are found by what is said of them: policy decides for each, and everybody who is looked at is audited.

Answer = TypeVar("Answer")
_MOST_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class FoundPeople:
    """What a caller sees of each person found, and the Patients of all of them, in order.

    `looked_at` are all views that were looked into, also of people whom the caller sees nothing of.
    """

    looked_at: Sequence[View]
    views: Sequence[View]
    patients: Sequence[CurrentEntry]


class PeopleSearch:
    """Finds people. A search that finds nobody leaves a trace too, and takes as long as one for somebody unseen."""

    def __init__(self, reader: RecordAccess, database: Database, keys: Keys) -> None:
        self._reader = reader
        self._database = database
        self._keys = keys

    async def find(self, people: PeopleQuery, access: Access) -> FoundPeople:
        """Everybody of whom the caller sees a Patient that is as asked. Raises `Malformed` for a name of very many.

        Whom the caller may not see is neither found nor counted.
        """
        keys = await person_store.find_by_name(
            self._database, people.birth_dates, people.beginnings, _MOST_LOOKED_AT + 1
        )
        if len(keys) > _MOST_LOOKED_AT:
            raise _too_many()
        seen = [await self._reader.view(PersonRef(key), access) for key in keys or [self._nobody(people)]]
        # By an identity that another source gave, the same person may show nothing.
        seen.sort(key=lambda view: view.decision.visibility is not Visibility.NONE)
        looked_at = {frozenset(view.person.person_keys): view for view in seen}
        views = [view for view in looked_at.values() if _is_met(people, view)]
        found = [shown for view in views for shown in shared(view.matching(people.search.question))]
        return FoundPeople(list(looked_at.values()), views, sorted(found, key=lambda shown: shown.place))

    def _nobody(self, people: PeopleQuery) -> str:
        """A key that is nobody's: another one for each question, so that its answer is not at hand already."""
        return self._keys.person_key(PersonIdentifier("nobody", "|".join([*people.birth_dates, *people.beginnings])))

    async def show(self, crowd: FoundPeople, access: Access, produce: Callable[[], Answer]) -> Answer:
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


def _is_met(people: PeopleQuery, view: View) -> bool:
    """Whether a statement that the caller sees is as asked."""
    stated = [entry for entry in view.entries if entry.resource_type == PATIENT]
    return any(people.is_met(opened(entry)) for entry in stated)


def _too_many() -> Malformed:
    return Malformed(f"More than {MOST} people may be meant: narrow your search.", code="too-costly")


# `GET Patient?family=...&birthdate=...`: people by name and birth date, across everybody whom the caller may see.


class SearchPeople:
    """The part of search-type that names nobody."""

    def __init__(self, context: Context, lists: Lists, companions: Companions) -> None:
        self._context = context
        self._lists = lists
        self._companions = companions
        self._crowds = PeopleSearch(context.reader, context.database, context.keys)

    async def answer(self, request: Request, search: Search, access: Access, listing: Listing) -> Response:
        """Everybody who is meant, once each is audited. Raises `Malformed` where the question names too many."""
        crowd = await self._crowds.find(people(search), access)
        held, ahead = page(crowd.patients, search.question)
        beside = []
        for view in crowd.views:
            own = [shown for shown in held if shown.person_key in view.person.person_keys]
            beside += await self._companions.of(view, own, search)
        shown = {*access.resource_types, *[each.resource_type for each in beside]}
        access = replace(access, resource_types=tuple(sorted(shown)))
        found = SearchPage(crowd.patients, held, ahead)
        visibilities = [view.decision.visibility for view in crowd.views]
        return await self._crowds.show(
            crowd, access, lambda: self._lists.answer(request, found, listing, beside, visibilities, {})
        )
