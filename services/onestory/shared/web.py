"""The app factory: what every route has around it. Authentication, correlation id, the error table, metrics, health."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import orjson
import structlog
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from onestory.shared import errors
from onestory.shared.caller import Caller, Tokens
from onestory.shared.fhir.outcome import outcome

FHIR_JSON = "application/fhir+json"
HTML = "text/html"
CORRELATION_ID = "X-Correlation-Id"

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
OpenEndpoint = Callable[[Request], Awaitable[Response]]
Check = Callable[[], Awaitable[bool]]

_UUID = re.compile(rb"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")

log = structlog.get_logger()

# The one table from error family to status (FHIR R4 http.html#Status-Codes).
STATUS: dict[type[errors.OneStoryError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.WrongMediaType: 415,
    errors.Unprocessable: 422,
    errors.Unavailable: 503,
}
_FROM_HTTP = {404: errors.NotFound("There is no such address here."), 405: errors.NotAllowed("Not with this method.")}
_EXTRA_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "2"}}

_duration = Histogram(
    "onestory_http_request_seconds",
    "Time from the request's headers to the answer's last byte.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)


@dataclass(frozen=True, slots=True)
class Route:
    """One interaction of a room, for a caller with a token. `interaction` is FHIR's name of it, or the operation's."""

    method: str
    path: str
    endpoint: Endpoint
    interaction: str
    summary: str = ""
    html: bool = False
    """Whether it answers those who prefer HTML with a page."""


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """A route that anybody may call."""

    method: str
    path: str
    endpoint: OpenEndpoint
    summary: str = ""


def create_app(
    routes: Sequence[Route],
    open_routes: Sequence[OpenRoute],
    tokens: Tokens,
    ready: dict[str, Check],
    resources: Callable[[], AbstractAsyncContextManager[None]],
) -> ASGIApp:
    """The application. `ready` names what must answer before traffic comes; `resources` is open while it serves."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with resources():
            yield

    # Open routes first: the pattern of a resource type would take their addresses for its own.
    served = [*open_routes, *_operations(ready)]
    served += [
        OpenRoute(route.method, route.path, _authenticated(tokens, route), route.summary or route.interaction)
        for route in routes
    ]
    app = Starlette(
        routes=[_served(route) for route in [_openapi(served), *served]],
        exception_handlers={errors.OneStoryError: _refuse, HTTPException: _refuse_http, Exception: _unexpected},
        lifespan=lifespan,
    )
    return Frame(app)


def refusal(error: errors.OneStoryError) -> Response:
    """The answer to an error: its status by the table, and an OperationOutcome."""
    status = next(STATUS[family] for family in type(error).__mro__ if family in STATUS)
    headers = {**_EXTRA_HEADERS.get(status, {}), **error.headers}
    return Response(outcome(error.issues), status, headers, FHIR_JSON)


def _served(route: OpenRoute) -> StarletteRoute:
    return StarletteRoute(route.path, route.endpoint, methods=[route.method])


def _openapi(routes: Sequence[OpenRoute]) -> OpenRoute:
    # FastAPI describes the routes and Starlette serves them: bodies are bytes here, and FastAPI's own layers around
    # each request cost as much as the rest of a small read.
    described = [
        APIRoute(route.path, route.endpoint, methods=[route.method], response_model=None, summary=route.summary)
        for route in routes
    ]
    document = orjson.dumps(get_openapi(title="OneStory", version=version("onestory"), routes=described))

    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    return OpenRoute("GET", "/openapi.json", openapi, "this description")


def _authenticated(tokens: Tokens, route: Route) -> OpenEndpoint:
    async def call(request: Request) -> Response:
        caller = await tokens.caller(request.headers.get("Authorization"))
        structlog.contextvars.bind_contextvars(organisation=caller.organisation)
        if not (route.html and wants_html(request)):
            _refuse_other_formats(request)
        return await route.endpoint(request, caller)

    return call


def wants_html(request: Request) -> bool:
    """Whether HTML is what the caller names, and names first."""
    return _wanted_format(request).partition(",")[0].partition(";")[0].strip().lower() in (HTML, "html")


def _wanted_format(request: Request) -> str:
    return request.query_params.get("_format") or request.headers.get("Accept", "*/*")


def _refuse_other_formats(request: Request) -> None:
    wanted = _wanted_format(request)
    if "json" not in wanted and "*/*" not in wanted and "application/*" not in wanted:
        raise errors.NotAcceptable("Only JSON is written here: send Accept: application/fhir+json.")


def _operations(ready: dict[str, Check]) -> list[OpenRoute]:
    async def live(_request: Request) -> Response:
        return Response(b'{"status":"live"}', media_type="application/json")

    async def readiness(_request: Request) -> Response:
        missing = [name for name, check in ready.items() if not await check()]
        if missing:
            raise errors.Unavailable(f"Not ready: {', '.join(missing)} does not answer.")
        return Response(b'{"status":"ready"}', media_type="application/json")

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [
        OpenRoute("GET", "/health/live", live, "the process runs"),
        OpenRoute("GET", "/health/ready", readiness, "everything that requests need answers"),
        OpenRoute("GET", "/metrics", metrics, "Prometheus metrics"),
    ]


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.OneStoryError)
    return refusal(error)


async def _refuse_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(_FROM_HTTP.get(error.status_code) or errors.Malformed("The request cannot be read."))


async def _unexpected(request: Request, _error: Exception) -> Response:
    correlation_id = request.state.correlation_id
    issue = errors.Issue("exception", f"Something went wrong here. Quote {correlation_id} when you report it.")
    return Response(outcome([issue]), 500, media_type=FHIR_JSON)


class Frame:
    """The outermost layer: correlation id in and out, one log line and one metric a request, and no traceback out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = _correlation_id(scope)
        scope.setdefault("state", {})["correlation_id"] = correlation_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        started, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # An answer that a cache gives again has no trace.
                message["headers"].append((b"cache-control", b"private, no-cache"))
                message["headers"].append((CORRELATION_ID.lower().encode(), correlation_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            # The answer has gone out by the handler for Exception; a server that sees the error would print it.
            log.error("request_failed", error=type(error).__name__, at=_frames(error))
        finally:
            _record(scope, status, time.perf_counter() - started)


def _correlation_id(scope: Scope) -> str:
    # Only what cannot hold a name or an NHS number: it goes into logs and events.
    for name, value in scope["headers"]:
        if name == b"x-correlation-id" and _UUID.fullmatch(value):
            return str(value.decode())
    return str(uuid4())


def _frames(error: Exception) -> list[str]:
    # Where, and never what: the message of an unexpected error may quote a record.
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]]


def _record(scope: Scope, status: int, seconds: float) -> None:
    # The route's template, never the path: a path holds ids of people.
    template = getattr(scope.get("route"), "path", "unmatched")
    _duration.labels(scope["method"], template, status).observe(seconds)
    log.info("request", method=scope["method"], route=template, status=status, ms=round(seconds * 1000, 1))
