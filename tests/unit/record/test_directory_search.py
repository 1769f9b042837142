"""Searches of the whole directory: few run at a time, and large work runs outside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read.access import RecordAccess
from onestory.record.read.store import CurrentEntry
from onestory.record.search import directory, execute
from onestory.record.search.directory import DirectorySearchType
from onestory.record.search.execute import entries_referring, is_large_work, targets_of
from onestory.record.search.filters import ReferenceTarget
from onestory.record.search.include import parse_include
from onestory.record.search.parameters import parse_search
from onestory.record.search.searchset import ListRequest, SearchsetWriter
from onestory.shared.errors import Malformed, Unavailable
from onestory.shared.postgres.database import Database

FHIR = "https://care.example.org/fhir"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class SlowDirectory(Database):
    """A directory without resources, whose queries of a whole type wait until `go_on`."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        if arguments[1] is None and len(arguments) == 4:
            await self.go_on.wait()
        return []


class EmptyPages(SearchsetWriter):
    """Writes nothing."""

    def __init__(self) -> None:
        """There is no context."""

    def searchset(self, *_: object) -> Response:
        return Response()


class NoRecords(RecordAccess):
    """Reads nothing: the directory's entries have their contents."""

    def __init__(self) -> None:
        """There is no database."""

    async def with_contents(self, entries: Sequence[CurrentEntry]) -> Sequence[CurrentEntry]:
        return entries


def answer(searches: DirectorySearchType, *parameters: tuple[str, str]) -> Coroutine[Any, Any, Response]:
    search = parse_search(parameters, "Organization", FHIR, lenient=False)
    request = Request({"type": "http", "method": "GET", "headers": [], "path": "/", "query_string": b""})
    return searches.answer(request, "Organization", search, ListRequest(FHIR, search.used, search.query))


def test_a_search_waits_shortly_for_its_turn_and_lookups_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_MAX_WAIT_S", 0.05)

    async def run() -> None:
        database = SlowDirectory()
        searches = DirectorySearchType(database, NoRecords(), EmptyPages(), FHIR)
        running = [asyncio.ensure_future(answer(searches, ("name", "harbour"))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await answer(searches, ("name", "quay"))
        with pytest.raises(Unavailable):
            await answer(searches, ("_id", "a" * 26), ("_revinclude", "PractitionerRole:organization"))
        with pytest.raises(Unavailable):
            await answer(searches, ("identifier", "urn:x|" + "v" * 600))
        assert (await answer(searches, ("_id", "a" * 26))).status_code == 200
        assert (await answer(searches, ("identifier", "urn:x|v"))).status_code == 200
        database.go_on.set()
        assert [(await each).status_code for each in running] == [200, 200]
        assert (await answer(searches, ("name", "quay"))).status_code == 200

    asyncio.run(run())


def test_a_search_names_few_referring_types() -> None:
    searches = DirectorySearchType(SlowDirectory(), NoRecords(), EmptyPages(), FHIR)
    types = ("Location:organization", "PractitionerRole:organization", "HealthcareService:organization")
    names = [("_revinclude", value) for value in (*types, "Organization:partof")]

    with pytest.raises(Malformed, match="_revinclude: it names 4 types"):
        asyncio.run(answer(searches, ("_id", "a" * 26), *names))


def entries(count: int, padding: int = 0) -> list[CurrentEntry]:
    content = b'{"resourceType":"Organization","partOf":{"reference":"Organization/b"},"x":"%b"}' % (b"x" * padding)
    return [
        CurrentEntry("", "Organization", f"a{place}", UUID(int=place), 0, BEGAN, BEGAN, BEGAN, "A", "s", b"", content)
        for place in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "padding", "comparisons", "large"),
    [(10, 0, 1, False), (301, 0, 1, True), (10, 0, 500, True), (1, 500_000, 1, True), (1, 0, 500, False)],
)
def test_work_is_large_by_entries_bytes_or_values(count: int, padding: int, comparisons: int, large: bool) -> None:
    assert is_large_work(entries(count, padding), comparisons) is large


@pytest.mark.parametrize("found", [entries(400), entries(1, 600_000)], ids=["many", "large"])
def test_references_of_large_answers_are_found_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, found: list[CurrentEntry]
) -> None:
    threads, decoded_resource = set(), execute.decoded_resource

    def noted(entry: CurrentEntry) -> Mapping[str, Any]:
        threads.add(threading.current_thread())
        return decoded_resource(entry)

    monkeypatch.setattr(execute, "decoded_resource", noted)
    include, target = parse_include("Organization:partof", "Organization"), ReferenceTarget("Organization", "b")
    assert include is not None

    assert asyncio.run(targets_of(found, [include], FHIR)) == {target}
    assert asyncio.run(entries_referring(found, {target}, [include], FHIR)) == found
    assert asyncio.run(entries_referring(found, set(), [include], FHIR)) == []
    assert threading.main_thread() not in threads
