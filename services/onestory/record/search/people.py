"""Search for people: `GET Patient?family=...&birthdate=...`, among all persons.

It needs a name and a day of birth. A name alone would list strangers, and a birth date alone all who share it. If the
request names a person by NHS number, `api.py` searches that record instead.
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
from onestory.record.person.identifiers import PersonRef, birth_date_forms, name_words
from onestory.record.read.access import PATIENT, Access, RecordAccess, RecordView, page_of
from onestory.record.read.request import ReadContext
from onestory.record.read.store import CurrentEntry
from onestory.record.search.execute import IncludeResolver, SearchPage, decoded_resource
from onestory.record.search.filters import split_escaped, unescape
from onestory.record.search.parameters import Search, single_value
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.shared.errors import Malformed
from onestory.shared.fhir.dates import parse_date
from onestory.shared.identity import Keys, PersonIdentifier
from onestory.shared.policy import Visibility
from onestory.shared.postgres.database import Database

MAX_PEOPLE = 20
"""The most persons in an answer. A search that matches more is refused."""
_MAX_CANDIDATES = 200
_MAX_NAMES = 20
_MIN_LETTERS = 2
_NAME_PARAMETERS = ("name", "family", "given", "name:exact", "family:exact", "given:exact")
_BIRTH_DATE = "birthdate"
_DAY = re.compile(r"(eq)?(?P<day>\d{4}-\d\d-\d\d)", re.ASCII)

Answer = TypeVar("Answer")


class PeopleSearchType:
    """The part of search-type that names no person."""

    def __init__(self, context: ReadContext, writer: SearchsetWriter, includes: IncludeResolver) -> None:
        self._writer = writer
        self._includes = includes
        self._people = PeopleSearch(context.record_access, context.database, context.keys)

    async def answer(self, request: Request, search: Search, access: Access, list_request: ListRequest) -> Response:
        """The Patients of all persons found, after each access is audited. Raises `Malformed` for too many."""
        found = await self._people.find(parse_people_query(search), access)
        entries, next_cursor = page_of(found.patients, search.query)
        included = []
        for view in found.views:
            patients = [entry for entry in entries if entry.person_key in view.person.person_keys]
            included += await self._includes.resolve(view, patients, search)
        shown_types = {*access.resource_types, *[each.resource_type for each in included]}
        access = replace(access, resource_types=tuple(sorted(shown_types)))
        page = SearchPage(found.patients, entries, next_cursor)
        visibilities = [view.version for view in found.views]
        return await self._people.answer_audited(
            found, access, lambda: self._writer.searchset(request, page, list_request, included, visibilities, {})
        )


@dataclass(frozen=True, slots=True)
class PeopleQuery:
    """A query for people: every form in which a source may state the birth date, and the first letters of the names.

    `search` has all parameters except the birth date.
    """

    birth_dates: Sequence[str]
    name_prefixes: Sequence[str]
    search: Search

    def matches(self, patient: Mapping[str, Any]) -> bool:
        """Whether a Patient matches."""
        return patient.get("birthDate") in self.birth_dates and self.search.matches(patient)


def parse_people_query(search: Search) -> PeopleQuery:
    """The query by name and birth date. Raises `Malformed` if one is missing, or for `_sort`."""
    names = [value for name, value in search.used if name in _NAME_PARAMETERS]
    day = _DAY.fullmatch(single_value(search.used, _BIRTH_DATE) or "")
    if not names or day is None or parse_date(day["day"]) is None:
        raise Malformed(
            "A search for Patients needs identifier=<NHS number>, or a name (name, family or given) and a full birth "
            "date, such as family=Smith&birthdate=1990-12-31.",
            code="required",
        )
    if search.order is not None:
        raise Malformed("_sort: a search for Patients by name does not support it. Remove it.", code="not-supported")
    other_filters = tuple(each for each in search.filters if each.name != _BIRTH_DATE)
    return PeopleQuery(birth_date_forms(day["day"]), _name_prefixes(names[0]), replace(search, filters=other_filters))


def _name_prefixes(name: str) -> list[str]:
    """Two prefixes for each alternative: its first word, and all its words as one."""
    parts = split_escaped(name, ",")
    if len(parts) > _MAX_NAMES:
        raise Malformed(f"The name has too many alternatives. Send at most {_MAX_NAMES}.", code="too-costly")
    alternatives = [name_words(unescape(part)) for part in parts]
    if not all(sum(map(len, words)) >= _MIN_LETTERS for words in alternatives):
        raise Malformed(f"A name is too short. Send at least {_MIN_LETTERS} letters.", code="value")
    return sorted({form for words in alternatives for form in (words[0], "".join(words))})


@dataclass(frozen=True, slots=True)
class FoundPeople:
    """The persons that match, and their Patients in order of the list.

    `audited_views` are the views of all candidates, also of persons of whom the caller sees nothing.
    """

    audited_views: Sequence[RecordView]
    views: Sequence[RecordView]
    patients: Sequence[CurrentEntry]


class PeopleSearch:
    """Finds people. Policy decides for each person, and each candidate gets an access event.

    A search without candidates has an access event too, and takes as long as one for a hidden person.
    """

    def __init__(self, record_access: RecordAccess, database: Database, keys: Keys) -> None:
        self._record_access = record_access
        self._database = database
        self._keys = keys

    async def find(self, query: PeopleQuery, access: Access) -> FoundPeople:
        """All persons of whom the caller sees a matching Patient.

        Persons whom the caller may not see are neither found nor counted. Raises `Malformed` for over 200 candidates.
        """
        keys = await person_store.find_by_name(
            self._database, query.birth_dates, query.name_prefixes, _MAX_CANDIDATES + 1
        )
        if len(keys) > _MAX_CANDIDATES:
            raise _too_many()
        views = [await self._record_access.view(PersonRef(key), access) for key in keys or [self._unused_key(query)]]
        # Several keys may be one person. A key that another source gave may show nothing: the best view comes last.
        views.sort(key=lambda view: view.decision.visibility is not Visibility.NONE)
        by_person = {frozenset(view.person.person_keys): view for view in views}
        matching = [view for view in by_person.values() if _has_matching_statement(query, view)]
        patients = [entry for view in matching for entry in shared_or_stated(view.matching(query.search.query))]
        return FoundPeople(list(by_person.values()), matching, sorted(patients, key=lambda entry: entry.cursor))

    def _unused_key(self, query: PeopleQuery) -> str:
        """The key of no person. It differs for each query, so that no cache has it."""
        return self._keys.person_key(PersonIdentifier("nobody", "|".join([*query.birth_dates, *query.name_prefixes])))

    async def answer_audited(self, found: FoundPeople, access: Access, produce: Callable[[], Answer]) -> Answer:
        """The answer, after Kafka has an access event for each candidate.

        Raises `Unavailable`, and `Malformed` if the answer would show too many persons.
        """
        audits = [
            self._record_access.answer_audited(view, access, lambda: None, empty_if_hidden=True)
            for view in found.audited_views
        ]
        await asyncio.gather(*audits)
        if len(found.views) > MAX_PEOPLE:
            raise _too_many()
        return produce()


def shared_or_stated(patients: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
    """The shared Patients; for a person without an NHS number, the sources' own Patients."""
    return [patient for patient in patients if patient.composed] or patients


def _has_matching_statement(query: PeopleQuery, view: RecordView) -> bool:
    """Whether a Patient statement that the caller sees matches."""
    stated = [entry for entry in view.entries if entry.resource_type == PATIENT]
    return any(query.matches(decoded_resource(entry)) for entry in stated)


def _too_many() -> Malformed:
    return Malformed(
        f"More than {MAX_PEOPLE} persons may match. Send more parameters, such as given or gender.", code="too-costly"
    )
