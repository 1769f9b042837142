"""The behaviour that all routes share: tokens, correlation ids, readiness, route selection and error answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute

from onestory.shared import errors
from onestory.shared.http.app import STATUS_BY_ERROR, OpenRoute, Route, TryNextRoute, create_app, error_response
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.policy import Caller

CALLER = Caller("A81001", "emis-web", "user-1", "R8000", "north", "TREAT")


class KnowsOneToken(TokenVerifier):
    """A fake token verifier that accepts one token."""

    def __init__(self) -> None:
        pass

    async def caller(self, authorization: str | None) -> Caller:
        if authorization != "Bearer good":
            raise errors.Unauthenticated("No.")
        return CALLER


@contextlib.asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


async def hello(_request: Request, caller: Caller) -> Response:
    return Response(caller.organisation)


async def explode(_request: Request, _caller: Caller) -> Response:
    raise RuntimeError("Jane Smith 9990000018")


async def decline(_request: Request, _caller: Caller) -> Response:
    raise TryNextRoute


async def parameters(request: Request, _caller: Caller) -> Response:
    return JSONResponse([request.path_params, request.scope["route"].path])


async def kafka_is_away() -> bool:
    return False


async def anybody(_request: Request) -> Response:
    return Response("open")


async def served(request: Request) -> Response:
    return JSONResponse([route.path for route in request.app.routes if isinstance(route, StarletteRoute)])


ROUTES = [
    Route("GET", "/fhir/{type}/{id}", hello, "read"),
    Route("GET", "/explode", explode, "read"),
    Route("GET", "/shared/{task}", decline, "read"),
    Route("POST", "/shared/{task}", hello, "update"),
    Route("GET", "/shared/other", hello, "read"),
    Route("GET", "/shared/{id}", parameters, "read"),
    Route("GET", "/alone/{id}", decline, "read"),
]

OPEN = [OpenRoute("GET", "/open", anybody), OpenRoute("GET", "/served", served)]


def get(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    app = create_app(ROUTES, OPEN, KnowsOneToken(), {"Kafka": kafka_is_away}, nothing)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as http:
            return await http.request(method, path, headers=headers)

    return asyncio.run(call())


def test_a_route_knows_its_caller() -> None:
    assert get("/fhir/Condition/c1", Authorization="Bearer good").text == "A81001"


def test_no_route_works_without_a_token() -> None:
    answer = get("/fhir/Condition/c1")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_health_and_open_routes_need_none() -> None:
    assert get("/open").status_code == 200
    assert get("/health/live").status_code == 200
    assert get("/metrics").status_code == 200


def test_the_description_has_every_route_that_is_served() -> None:
    described = get("/openapi.json").json()["paths"]

    assert {*described} == {*get("/served").json()} > {"/fhir/{type}/{id}", "/open", "/metrics", "/openapi.json"}


def test_readiness_names_what_does_not_answer() -> None:
    answer = get("/health/ready")

    assert answer.status_code == 503
    assert "Kafka" in answer.json()["issue"][0]["diagnostics"]


def test_a_correlation_id_is_kept_and_a_missing_one_is_made() -> None:
    name = "0193a8c2-7d6b-7c11-8f3e-5a2b9c0d1e2f"
    kept = get("/open", **{"X-Correlation-Id": name})
    made = get("/open")

    assert kept.headers["X-Correlation-Id"] == name
    assert len(made.headers["X-Correlation-Id"]) == 36


@pytest.mark.parametrize("sent", ["smith-jane-9990000018", "req_9990000018", "9990000018", "x" * 36])
def test_a_correlation_id_that_could_name_somebody_is_replaced(sent: str) -> None:
    assert get("/open", **{"X-Correlation-Id": sent}).headers["X-Correlation-Id"] != sent


def test_an_unexpected_error_answers_a_correlation_id_and_nothing_of_itself() -> None:
    answer = get("/explode", Authorization="Bearer good")

    assert answer.status_code == 500
    assert answer.headers["X-Correlation-Id"] in answer.json()["issue"][0]["diagnostics"]
    assert "Smith" not in answer.text
    assert "Traceback" not in answer.text


def test_an_unexpected_error_is_logged_without_its_message(capfd: pytest.CaptureFixture[str]) -> None:
    get("/explode", Authorization="Bearer good")

    logged = "".join(capfd.readouterr())
    assert "RuntimeError" in logged
    assert "Smith" not in logged
    assert "000018" not in logged


def test_unknown_addresses_and_methods_are_operation_outcomes_too() -> None:
    assert get("/nowhere").json()["issue"][0]["code"] == "not-found"
    assert get("/open", method="POST").json()["issue"][0]["code"] == "not-supported"


def test_where_an_endpoint_declines_the_next_route_that_fits_is_asked() -> None:
    answer = get("/shared/t1", Authorization="Bearer good")

    assert answer.json() == [{"id": "t1"}, "/shared/{id}"]


def test_the_first_that_fits_after_one_that_declines_answers() -> None:
    assert get("/shared/other", Authorization="Bearer good").text == "A81001"


def test_where_every_endpoint_declines_there_is_no_such_address() -> None:
    answer = get("/alone/t1", Authorization="Bearer good")

    assert answer.status_code == 404
    assert answer.content == get("/nowhere").content


def test_a_route_that_would_decline_needs_a_token_and_a_format_too() -> None:
    assert get("/shared/t1").status_code == 401
    assert get("/shared/t1", Authorization="Bearer good", Accept="text/csv").status_code == 406


def test_another_format_than_json_is_not_acceptable() -> None:
    answer = get("/fhir/Condition/c1", Authorization="Bearer good", Accept="application/fhir+xml")

    assert answer.status_code == 406


def test_every_error_family_has_its_status() -> None:
    families = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.OneStoryError)
    }

    assert families - set(STATUS_BY_ERROR) == {errors.OneStoryError, errors.Misconfigured}
    assert error_response(errors.Unavailable("later")).headers["Retry-After"]
