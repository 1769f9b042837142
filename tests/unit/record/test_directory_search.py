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


class LargeDirectory(Database):
    """A directory with one Organization of this many bytes."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self.limits: list[object] = []

    async def fetch(self, query: str, *arguments: object) -> Sequence[Any]:
        (entry,) = entries(1)
        if len(arguments) == 3:
            return [{"shared_id": entry.shared_id, "total_bytes": self._total_bytes, "content": entry.content}]
        self.limits.append(arguments[3])
        return [(self._total_bytes, *entry[1:12])]


@pytest.mark.parametrize(
    ("parameters", "hint"),
    [([("name", "a")], "identifier"), ([("_sort", "name")], "identifier"), ([], "_count"), ([("_id", "a0")], "_count")],
)
def test_contents_of_more_than_50_mb_are_refused(parameters: list[tuple[str, str]], hint: str) -> None:
    large = DirectorySearchType(LargeDirectory(50_000_001), NoRecords(), EmptyPages(), FHIR)
    allowed = DirectorySearchType(LargeDirectory(50_000_000), NoRecords(), EmptyPages(), FHIR)

    with pytest.raises(Malformed, match=hint) as refused:
        asyncio.run(answer(large, *parameters))
    assert refused.value.issues[0].code == "too-costly"
    assert asyncio.run(answer(allowed, *parameters)).status_code == 200


def test_referring_resources_count_together() -> None:
    directory_of_30_mb = LargeDirectory(30_000_000)
    searches = DirectorySearchType(directory_of_30_mb, NoRecords(), EmptyPages(), FHIR)
    one, two = [("_revinclude", f"{name}:organization") for name in ("Location", "PractitionerRole")]

    assert asyncio.run(answer(searches, ("_id", "a0"), one)).status_code == 200
    with pytest.raises(Malformed, match="_revinclude: the resources of PractitionerRole"):
        asyncio.run(answer(searches, ("_id", "a0"), one, two))
    # The list by id reads no content before the page is known.
    assert directory_of_30_mb.limits == [0, 50_000_000, 0, 50_000_000, 20_000_000]


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
