"""Turns of callers: their order, and requests that give their turn away or take none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read.store import CurrentEntry, with_contents
from onestory.shared.errors import Malformed
from onestory.shared.http.app import Route, create_app
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.internal import InternalRead, InternalRequests
from onestory.shared.http.request import read_body
from onestory.shared.http.settings import HttpSettings
from onestory.shared.http.sse import EventStreamResponse, encode_heartbeat
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Queries
from onestory.shared.turns import Turns, current_turn, without_turn
from onestory.shared.worker_processes import WorkerLimits, WorkerProcesses


class NamedCallers(TokenVerifier):
    """A fake token verifier: the token is the name of the caller."""

    def __init__(self) -> None:
        pass

    async def caller(self, authorization: str | None) -> Caller:
        return Caller("A81001", "emis-web", authorization or "", "R8000", "north", "TREAT")


@contextlib.asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


class Service:
    """A service whose requests stay in progress until the test lets them end. It takes two of a caller at a time."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}
        self.internal = InternalRequests()
        self.stream_ends = asyncio.Event()
        self.readers_see = asyncio.Event()
        routes = [
            Route("GET", "/work/{id}", self.work, "read"),
            Route("GET", "/fault", self.fault, "read"),
            Route("GET", "/waits/{id}", self.waits, "read"),
            Route("POST", "/body", self.body, "create"),
            Route("POST", "/batch", self.batch, "batch"),
            Route("GET", "/events", self.events, "events", event_stream=True),
        ]
        settings = HttpSettings(max_requests_per_caller=2)
        app = self.app = self.internal.app = create_app(routes, [], NamedCallers(), {}, nothing, settings)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://door")

    def send(self, path: str, user: str = "gp", method: str = "GET", **named: Any) -> asyncio.Task[httpx.Response]:
        headers = {"Authorization": user, "Content-Type": "application/fhir+json"}
        return asyncio.create_task(self._client.request(method, path, headers=headers, **named))

    def let_end(self, *names: str) -> None:
        for name in names:
            self.doors.setdefault(name, asyncio.Event()).set()

    async def work(self, request: Request, _caller: Caller) -> Response:
        name = request.path_params["id"]
        self.began.append(name)
        await self.doors.setdefault(name, asyncio.Event()).wait()
        return Response(name)

    async def fault(self, _request: Request, _caller: Caller) -> Response:
        raise Malformed("No.")

    async def waits(self, request: Request, caller: Caller) -> Response:
        async with without_turn():
            await self.readers_see.wait()
        return await self.work(request, caller)

    async def body(self, request: Request, _caller: Caller) -> Response:
        return Response(str(len(await read_body(request, 10_000_000))))

    async def batch(self, request: Request, _caller: Caller) -> Response:
        reads = [InternalRead(f"/work/{name}", "") for name in request.query_params["ids"].split(",")]
        answers = await self.internal.answers(reads, request, 1_000)
        return Response(b",".join(answer.body for answer in answers))

    async def events(self, _request: Request, _caller: Caller) -> Response:
        async def stream() -> AsyncGenerator[bytes]:
            self.began.append("stream")
            yield encode_heartbeat("1")
            await self.stream_ends.wait()

        return EventStreamResponse(stream(), lambda: None)


async def settle() -> None:
    """Let all tasks go on as far as they can."""
    for _ in range(50):
        await asyncio.sleep(0)


def serve(scenario: Callable[[Service], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(5.0):
            await scenario(Service())

    asyncio.run(run())


def test_a_caller_has_a_few_requests_in_progress_and_the_oldest_that_waits_is_next() -> None:
    async def scenario(service: Service) -> None:
        requests = [service.send(f"/work/{name}") for name in "abcde"]
        await settle()
        assert service.began == ["a", "b"]

        service.let_end("b")
        await settle()
        assert service.began == ["a", "b", "c"]

        service.let_end(*"acde")
        assert [(await each).text for each in requests] == list("abcde")
        assert service.began == list("abcde")

    serve(scenario)


def test_another_caller_does_not_wait() -> None:
    async def scenario(service: Service) -> None:
        requests = [service.send(f"/work/{name}") for name in "abc"]
        await settle()

        service.let_end("z")
        assert (await service.send("/work/z", user="nurse")).text == "z"
        assert service.began == ["a", "b", "z"]

        service.let_end(*"abc")
        await asyncio.gather(*requests)

    serve(scenario)


def test_an_error_gives_the_turn_back() -> None:
    async def scenario(service: Service) -> None:
        assert [(await service.send("/fault")).status_code for _ in range(3)] == [400] * 3

        service.let_end("a")
        assert (await service.send("/work/a")).text == "a"

    serve(scenario)


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_cancelled_request_gives_its_turn_back(has_begun: bool) -> None:
    async def scenario(service: Service) -> None:
        first, second, cancelled, last = (service.send(f"/work/{name}") for name in "abcd")
        await settle()
        if has_begun:
            service.let_end("a")
            await first
        assert ("c" in service.began) is has_begun

        cancelled.cancel()
        await settle()
        service.let_end(*"abd")
        assert (await last).text == "d"
        assert [(await each).text for each in (first, second)] == ["a", "b"]
        service.let_end("e", "f")
        await asyncio.gather(service.send("/work/e"), service.send("/work/f"))

    serve(scenario)


def test_a_turn_that_comes_with_the_cancellation_is_passed_on() -> None:
    async def run() -> None:
        turns = Turns(1)
        held = await turns.take("gp")
        cancelled, last = asyncio.create_task(turns.take("gp")), asyncio.create_task(turns.take("gp"))
        await settle()

        held.end()
        cancelled.cancel()
        async with asyncio.timeout(5.0):
            turn = await last
        assert cancelled.cancelled()
        turn.end()
        assert not (await turns.take("gp")).has_waited

    asyncio.run(run())


def test_reads_of_a_batch_need_no_turn_of_their_own() -> None:
    async def scenario(service: Service) -> None:
        service.let_end(*"abcdef")
        batches = [service.send("/batch", method="POST", params={"ids": "a,b,c,d,e,f"}) for _ in range(3)]

        assert [(await each).text for each in batches] == ["a,b,c,d,e,f"] * 3

    serve(scenario)


def test_the_batches_of_one_caller_read_a_few_at_a_time_together() -> None:
    async def scenario(service: Service) -> None:
        batches = [service.send("/batch", method="POST", params={"ids": ids}) for ids in ("a,b,c", "d,e,f")]
        await settle()
        assert service.began == list("abcd")

        service.let_end(*"abcdef")
        assert [(await each).text for each in batches] == ["a,b,c", "d,e,f"]

    serve(scenario)


def test_an_event_stream_holds_no_turn() -> None:
    async def scenario(service: Service) -> None:
        streams = [service.send("/events") for _ in range(4)]
        await settle()
        assert service.began == ["stream"] * 4

        service.let_end("a")
        assert (await service.send("/work/a")).text == "a"
        service.stream_ends.set()
        await asyncio.gather(*streams)

    serve(scenario)


def test_a_request_that_waits_for_readers_lets_others_go_on_and_continues_before_new_ones() -> None:
    async def scenario(service: Service) -> None:
        waiting = [service.send(f"/waits/{name}") for name in ("x", "y", "z")]
        await settle()
        requests = [service.send(f"/work/{name}") for name in "abc"]
        await settle()
        assert service.began == ["a", "b"]

        service.readers_see.set()
        await settle()
        assert service.began == ["a", "b"]
        service.let_end(*"abcxyz")
        await asyncio.gather(*waiting, *requests)
        assert service.began == ["a", "b", "x", "y", "z", "c"]

    serve(scenario)


def test_a_large_body_that_arrives_slowly_holds_no_turn() -> None:
    async def scenario(service: Service) -> None:
        arrives = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await arrives.wait()
            yield b"}"

        bodies = [service.send("/body", method="POST", content=slow()) for _ in range(3)]
        await settle()

        service.let_end("a")
        assert (await service.send("/work/a")).text == "a"
        arrives.set()
        assert [(await each).text for each in bodies] == ["2"] * 3

    serve(scenario)


def test_large_records_have_a_smaller_limit() -> None:
    async def run() -> None:
        turns = Turns(4, most_large=1)
        first, second = [await turns.take("gp") for _ in range(2)]
        await first.take_large()
        waiting = asyncio.create_task(second.take_large())
        await settle()
        assert not waiting.done()

        first.end()
        async with asyncio.timeout(5.0):
            await waiting

    asyncio.run(run())


class NoRows:
    """A fake of queries that knows the content of each entry."""

    async def fetch(self, _query: str, _keys: list[str], ids: list[str], _events: object) -> list[dict[str, Any]]:
        return [{"shared_id": shared_id, "content": b"{}"} for shared_id in ids]


def test_a_record_whose_contents_are_fetched_counts_as_large() -> None:
    entry = CurrentEntry("key", "Flag", "f1", UUID(int=1), 0, None, None, None, "A81001", "emis-web", b"", None)

    async def run() -> None:
        turns = Turns(4, most_large=1)
        turn, other = [await turns.take("gp") for _ in range(2)]
        current_turn.set(turn)
        await with_contents(cast(Queries, NoRows()), [entry._replace(content=b"{}")])
        await other.take_large()
        waiting = asyncio.create_task(with_contents(cast(Queries, NoRows()), [entry]))
        await settle()
        assert not waiting.done()

        other.end()
        async with asyncio.timeout(5.0):
            assert (await waiting)[0].content == b"{}"

    asyncio.run(run())


def test_a_body_that_waits_for_a_worker_process_holds_no_turn() -> None:
    async def run() -> None:
        turns, workers = Turns(1), WorkerProcesses(WorkerLimits())

        async def prepare() -> None:
            current_turn.set(await turns.take("gp"))
            async with workers.task("gp"):
                pass

        async with workers.task("gp"):
            waiting = asyncio.create_task(prepare())
            await settle()
            assert not waiting.done()
            async with asyncio.timeout(5.0):
                (await turns.take("gp")).end()
        await waiting

    asyncio.run(run())
