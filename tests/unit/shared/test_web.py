"""The behaviour that all routes share: tokens, correlation ids, readiness, route selection and error answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as StarletteRoute

from onestory.shared import errors
from onestory.shared.http.app import OpenRoute, Route, TryNextRoute, create_app
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.error_response import STATUS_BY_ERROR, error_response
from onestory.shared.http.media_types import Format
from onestory.shared.http.settings import HttpSettings
from onestory.shared.http.static_document import StaticDocument
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


async def resource(_request: Request, _caller: Caller) -> Response:
    return Response(b"{}", media_type="application/fhir+json", headers={"ETag": 'W/"1"'})


async def stated(_request: Request, _caller: Caller) -> Response:
    refused = errors.NotAllowed("Send it in a Bundle.")
    refused.headers["Allow"] = "GET"
    raise refused


async def metadata(request: Request) -> Response:
    return StaticDocument(b"{}", "application/fhir+json").answer(request)


ROUTES = [
    Route("GET", "/fhir/{resource_type}/{id}", resource, "read"),
    Route("PUT", "/fhir/{resource_type}/{id}", resource, "update"),
    Route("POST", "/fhir/{resource_type}", resource, "create"),
    Route("POST", "/fhir/Task/{id}/$accept", resource, "$accept"),
    Route("POST", "/bars", resource, "$process-message", outcome_writer=lambda *_: b'{"bars":true}'),
    Route("POST", "/published", resource, "create", publish_headers=True),
    Route("PUT", "/stated", stated, "update"),
    Route("GET", "/fhir/_history", resource, "history-system"),
    Route("GET", "/page", resource, "page", html=True),
    Route("GET", "/care/{type}/{id}", hello, "read"),
    Route("GET", "/explode", explode, "read"),
    Route("GET", "/shared/{task}", decline, "read"),
    Route("POST", "/shared/{task}", hello, "update"),
    Route("GET", "/shared/other", hello, "read"),
    Route("GET", "/shared/{id}", parameters, "read"),
    Route("GET", "/alone/{id}", decline, "read"),
]

OPEN = [
    OpenRoute("GET", "/open", anybody),
    OpenRoute("GET", "/served", served),
    OpenRoute("GET", "/fhir/metadata", metadata, formats=(Format.JSON,)),
]
GOOD = {"Authorization": "Bearer good"}


def send(
    path: str, method: str, headers: Sequence[tuple[str, str]], settings: HttpSettings | None = None
) -> httpx.Response:
    app = create_app(ROUTES, OPEN, KnowsOneToken(), {"Kafka": kafka_is_away}, nothing, settings)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://door") as http:
            return await http.request(method, path, headers=[*headers])

    return asyncio.run(call())


def get(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return send(path, method, [*headers.items()])


@pytest.mark.parametrize("path", ["/fhir/ServiceRequest", "/fhir/Task/1/$accept", "/bars"])
@pytest.mark.parametrize("header", [{"X-Dry-Run": "true"}, {"X-Dry-Run": ""}, {"X-Replaces-System": "old"}])
def test_a_write_refuses_the_headers_that_it_does_not_carry_out(path: str, header: dict[str, str]) -> None:
    answer = get(path, "POST", **GOOD, **header)

    assert answer.status_code == 400
    if path != "/bars":
        (issue,) = answer.json()["issue"]
        assert (issue["code"], issue["expression"]) == ("not-supported", [f"http.{next(iter(header))}"])
    assert get("/published", "POST", **GOOD, **header).status_code == 200
    assert get("/fhir/Patient/1", **GOOD, **header).status_code == 200
    assert get(path, "POST", **GOOD, **{"X-Dry-Run": "false"}).status_code == 200


def test_a_route_knows_its_caller() -> None:
    assert get("/care/Condition/c1", Authorization="Bearer good").text == "A81001"


def test_no_route_works_without_a_token() -> None:
    answer = get("/care/Condition/c1")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_health_and_open_routes_need_none() -> None:
    assert get("/open").status_code == 200
    assert get("/health/live").status_code == 200
    assert get("/metrics").status_code == 200


def test_the_description_has_every_route_that_is_served() -> None:
    described = get("/openapi.json").json()["paths"]

    assert {*described} == {*get("/served").json()} > {"/care/{type}/{id}", "/open", "/metrics", "/openapi.json"}


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
    answer = get("/care/Condition/c1", Authorization="Bearer good", Accept="application/fhir+xml")

    assert answer.status_code == 406


def test_every_error_family_has_its_status() -> None:
    families = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.OneStoryError)
    }

    assert families - set(STATUS_BY_ERROR) == {errors.OneStoryError, errors.Misconfigured}
    assert error_response(errors.Unavailable("later")).headers["Retry-After"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/fhir/Condition/c1", "GET, HEAD, OPTIONS, PUT"),
        ("DELETE", "/fhir/Condition", "OPTIONS, POST"),
        ("PUT", "/fhir/Task/t1/$accept", "OPTIONS, POST"),
        ("PATCH", "/fhir/Task/t1", "GET, HEAD, OPTIONS"),
        ("POST", "/fhir/metadata", "GET, HEAD, OPTIONS"),
        ("PUT", "/fhir/metadata", "GET, HEAD, OPTIONS"),
        ("TRACE", "/fhir/_history", "GET, HEAD, OPTIONS"),
        ("POST", "/fhir/_history", "GET, HEAD, OPTIONS"),
        ("POST", "/open", "GET, HEAD, OPTIONS"),
        ("PUT", "/stated", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_is_not_supported_is_answered_with_the_methods_that_are(
    method: str, path: str, allowed: str
) -> None:
    answer = get(path, method, **GOOD)

    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    text = answer.json()["issue"][0]["diagnostics"]
    assert path == "/stated" or (f"{method} is not supported" in text and f"Send one of: {allowed}." in text)


def test_options_names_the_methods_without_a_token() -> None:
    answer = get("/fhir/Condition/c1", "OPTIONS")

    assert (answer.status_code, answer.headers["Allow"], answer.content) == (204, "GET, HEAD, OPTIONS, PUT", b"")


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/fhir/Nonsense/c1", "/fhir/Condition/$nonsense", "/nowhere", "/fhir//c1"])
def test_an_address_without_any_method_is_not_found(method: str, path: str) -> None:
    assert get(path, method, **GOOD).status_code == 404


def test_a_method_that_is_not_supported_is_refused_in_the_form_of_the_address() -> None:
    assert get("/bars", "PUT").json() == {"bars": True}


def test_head_is_answered_as_get() -> None:
    answer = get("/fhir/Condition/c1", "HEAD", **GOOD)

    assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')


@pytest.mark.parametrize("path", ["/fhir/Condition/c1/", "/care/Condition/c1/", "/open/", "/fhir/metadata/"])
def test_one_slash_at_the_end_is_ignored(path: str) -> None:
    assert get(path, **GOOD).status_code == 200


@pytest.mark.parametrize("path", ["/open//", "/fhir/Condition/c1//", "/", "/nowhere/"])
def test_another_address_is_never_redirected(path: str) -> None:
    answer = get(path, Host="evil.example", **GOOD)

    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert "Location" not in answer.headers


def test_a_slash_needs_a_token_too() -> None:
    assert get("/fhir/Condition/c1/").status_code == 401


@pytest.mark.parametrize("path", ["/fhir/Condition/c1", "/nowhere", "/explode"])
def test_json_has_its_charset_and_is_not_stored(path: str) -> None:
    answer = get(path, **GOOD)

    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/fhir/metadata", "/openapi.json"])
def test_a_document_without_personal_data_has_an_etag(path: str) -> None:
    answer = get(path)
    known = get(path, **{"If-None-Match": answer.headers["ETag"]})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("path", ["/fhir/Condition/c1", "/fhir/metadata"])
def test_a_format_that_is_not_served_is_refused(path: str) -> None:
    for each in ({"Accept": "application/fhir+xml"}, {"Accept": "application/fhir+json;fhirVersion=3.0"}):
        answer = get(path, **GOOD, **each)
        assert answer.status_code == 406
        assert "application/fhir+json" in answer.json()["issue"][0]["diagnostics"]
    assert get(f"{path}?_format=xml", Accept="*/*", **GOOD).status_code == 406
    assert get(f"{path}?_format=JSON", Accept="application/fhir+xml", **GOOD).status_code == 200
    both = [("Accept", "application/fhir+xml"), ("Accept", "application/fhir+json")]
    assert send(path, "GET", [*GOOD.items(), *both]).status_code == 200


def test_if_none_match_may_stand_in_several_lines() -> None:
    etag = get("/openapi.json").headers["ETag"]

    assert send("/openapi.json", "GET", [("If-None-Match", '"a"'), ("If-None-Match", etag)]).status_code == 304


APP = "https://app.example"
CORS = HttpSettings(cors_origins=(APP,))


def preflight(origin: str, path: str = "/fhir/Condition/c1") -> httpx.Response:
    wanted = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization, prefer"}
    return send(path, "OPTIONS", [("Origin", origin), *wanted.items()], CORS)


def test_a_page_of_an_origin_of_the_setting_may_call_the_api() -> None:
    asked = preflight(APP)
    answered = send("/fhir/Condition/c1", "GET", [("Origin", APP), *GOOD.items()], CORS)
    refused = send("/fhir/Condition/c1", "GET", [("Origin", APP)], CORS)

    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Headers"] == "authorization, prefer"
    assert "PUT" in asked.headers["Access-Control-Allow-Methods"]
    for each in (asked, answered, refused):
        assert each.headers["Access-Control-Allow-Origin"] == APP
        assert "Access-Control-Allow-Credentials" not in each.headers
        assert "Origin" in each.headers["Vary"]
    exposed = answered.headers["Access-Control-Expose-Headers"]
    assert {"ETag", "Location", "X-OneStory-Position"} <= {*exposed.split(", ")}


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "null", "*"])
def test_a_page_of_another_origin_may_not(origin: str) -> None:
    for answer in (preflight(origin), send("/fhir/Condition/c1", "GET", [("Origin", origin), *GOOD.items()], CORS)):
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert preflight(origin).headers["Allow"] == "GET, HEAD, OPTIONS, PUT"


def test_without_the_setting_there_is_no_cors() -> None:
    answer = get("/fhir/Condition/c1", Origin=APP, **GOOD)

    assert not [name for name in answer.headers if name.startswith("access-control")]
