"""Reads that one request sends to the routes of its own process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response

from onestory.intake.batch_answers import batch_read_entry
from onestory.shared import errors
from onestory.shared.http.app import Route, create_app
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.internal import InternalRead, InternalRequests
from onestory.shared.policy import Caller

FHIR_JSON = "application/fhir+json"


class OrganisationInToken(TokenVerifier):
    """A fake token verifier: the token is the ODS code."""

    def __init__(self) -> None:
        pass

    async def caller(self, authorization: str | None) -> Caller:
        organisation = (authorization or "").removeprefix("Bearer ")
        if not organisation:
            raise errors.Unauthenticated("No.")
        return Caller(organisation, "emis-web", "user-1", "R8000", "north", "TREAT")


@contextlib.asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def echo(request: Request, caller: Caller) -> Response:
    seen = {
        "resourceType": "Basic",
        "id": request.path_params["id"],
        "text": [caller.organisation, request.url.query, request.state.correlation_id],
    }
    structlog.contextvars.bind_contextvars(changed="by the read")
    return Response(orjson.dumps(seen), headers={"ETag": 'W/"1"'}, media_type=FHIR_JSON)


async def explode(_request: Request, _caller: Caller) -> Response:
    raise RuntimeError("Jane Smith 9990000018")


def send(*targets: str, max_bytes: int = 100_000) -> list[dict[str, object]]:
    """The entries of a batch that the read answers give, for reads with these targets."""
    internal = InternalRequests()

    async def batch(request: Request, _caller: Caller) -> Response:
        structlog.contextvars.bind_contextvars(mine="kept")
        reads = [InternalRead(target, "") for target in targets]
        answers = await internal.answers(reads, request, max_bytes)
        assert structlog.contextvars.get_contextvars().keys() >= {"mine", "correlation_id"}
        assert "changed" not in structlog.contextvars.get_contextvars()
        return Response(b"[%b]" % b",".join(map(batch_read_entry, answers)))

    routes = [
        Route("POST", "/fhir", batch, "batch"),
        Route("GET", "/fhir/Basic/{id}", echo, "read"),
        Route("GET", "/fhir/fault", explode, "fault"),
    ]
    app = internal.app = create_app(routes, [], OrganisationInToken(), {}, nothing)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as http:
            headers = {"Authorization": "Bearer A81001", "X-Correlation-Id": "0b4a4f5c-7f0f-4a41-8f8c-000000000001"}
            return await http.post("/fhir", headers=headers)

    entries: list[dict[str, object]] = orjson.loads(asyncio.run(call()).content)
    return entries


def test_a_read_has_the_caller_and_the_correlation_id_of_its_batch() -> None:
    (entry,) = send("/fhir/Basic/7?code=a%7Cb")

    assert entry == {
        "resource": {
            "resourceType": "Basic",
            "id": "7",
            "text": ["A81001", "code=a%7Cb", "0b4a4f5c-7f0f-4a41-8f8c-000000000001"],
        },
        "response": {"status": "200 OK", "etag": 'W/"1"'},
    }


def test_answers_keep_the_order_of_the_reads() -> None:
    entries = send(*[f"/fhir/Basic/{place}" for place in range(11)])

    assert [entry["resource"]["id"] for entry in entries] == [str(place) for place in range(11)]  # type: ignore[index]


def test_a_fault_in_one_read_leaves_the_others() -> None:
    fault, missing, read = send("/fhir/fault", "/fhir/Nothing/1", "/fhir/Basic/1")

    assert str(fault["response"]).startswith("{'status': '500 Internal Server Error'")
    assert "Jane" not in str(fault)
    assert str(missing["response"]).startswith("{'status': '404 Not Found'")
    assert "resource" in read


def test_answers_that_are_too_large_together_are_refused() -> None:
    entries = send(*[f"/fhir/Basic/{place}" for place in range(9)], max_bytes=100)

    statuses = [str(entry["response"]["status"])[:3] for entry in entries]  # type: ignore[index]
    assert statuses == ["200"] * 4 + ["413"] * 5
    assert "too-long" in str(entries[8])
