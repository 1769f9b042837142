"""The application factory: authentication, choice of the route, the error table, health, metrics and OpenAPI.

A service gives its routes as `Route` and `OpenRoute`. Every error becomes an OperationOutcome here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import orjson
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from onestory.shared import errors
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.middleware import RequestMiddleware
from onestory.shared.http.openapi import (
    EVENT_STREAM,
    FHIR_JSON,
    HTML,
    NO_DESCRIPTION,
    ResponseDescription,
    RouteDescription,
    RouteOperation,
    openapi_document,
)
from onestory.shared.http.request_limits import refuse_large_request
from onestory.shared.policy import Caller

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
OpenEndpoint = Callable[[Request], Awaitable[Response]]
ReadinessCheck = Callable[[], Awaitable[bool]]
OutcomeWriter = Callable[[Sequence[errors.Issue], tuple[str, bytes] | None, int], bytes]
"""Writes an OperationOutcome: issues, contained resource (extension URL and JSON), HTTP status -> JSON."""

# The only table from error family to status (FHIR R4 http.html#Status-Codes).
STATUS_BY_ERROR: dict[type[errors.OneStoryError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.TimedOut: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.WrongMediaType: 415,
    errors.Unprocessable: 422,
    errors.TooEarly: 425,
    errors.PreconditionRequired: 428,
    errors.Unavailable: 503,
}
_FROM_HTTP = {
    404: errors.NotFound("There is no resource or operation at this address."),
    405: errors.NotAllowed("This address does not support this HTTP method."),
}
_EXTRA_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "2"}}


class TryNextRoute(Exception):
    """The endpoint does not handle the request; the next matching route gets it. Raise it before reading the body."""


@dataclass(frozen=True, slots=True)
class Route:
    """One interaction of a service, for callers with a token.

    `interaction` is the FHIR name of the interaction, or the name of the operation.
    """

    method: str
    path: str
    endpoint: Endpoint
    interaction: str
    summary: str = ""
    html: bool = False
    """Whether it can answer with an HTML page."""
    event_stream: bool = False
    """Whether it can answer with Server-Sent Events."""
    own_format: bool = False
    """Whether it chooses the format of its answer itself, because stored content has its own media type."""
    description: RouteDescription = NO_DESCRIPTION
    outcome_writer: OutcomeWriter | None = None
    """Writes its errors, where a standard requires more than the usual OperationOutcome."""

    def operation(self) -> RouteOperation:
        """Return this route for the OpenAPI document."""
        summary = self.summary or self.interaction
        return RouteOperation(self.method, self.path, self.interaction, summary, self.description, html=self.html)


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """A route that needs no token."""

    method: str
    path: str
    endpoint: OpenEndpoint
    summary: str = ""
    description: RouteDescription = NO_DESCRIPTION

    def operation(self) -> RouteOperation:
        """Return this route for the OpenAPI document."""
        return RouteOperation(self.method, self.path, self.path, self.summary, self.description, is_open=True)


def create_app(
    routes: Sequence[Route],
    open_routes: Sequence[OpenRoute],
    tokens: TokenVerifier,
    ready: dict[str, ReadinessCheck],
    running: Callable[[], AbstractAsyncContextManager[None]],
) -> ASGIApp:
    """Return the application.

    `ready` maps the name of each dependency to the check that it answers. The context `running` stays open while the
    application serves.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with running():
            yield

    # Open routes come first, because the pattern of a resource type would match their addresses.
    all_open = [*open_routes, *_health_routes(ready)]
    all_open.append(_openapi_route([*all_open, *routes]))
    app = Starlette(
        routes=[
            *[_starlette_route(route, route.endpoint) for route in all_open],
            *_RouteChain(tokens, routes).starlette_routes,
        ],
        exception_handlers={errors.OneStoryError: _on_error, HTTPException: _on_http_error, Exception: _on_unexpected},
        lifespan=lifespan,
    )
    return RequestMiddleware(app)


def error_response(error: errors.OneStoryError, outcome_writer: OutcomeWriter | None = None) -> Response:
    """Return the response to an error: the status from the table, and an OperationOutcome."""
    status = next(STATUS_BY_ERROR[family] for family in type(error).__mro__ if family in STATUS_BY_ERROR)
    headers = {**_EXTRA_HEADERS.get(status, {}), **error.headers}
    if outcome_writer:
        body = outcome_writer(error.issues, error.contained, status)
    else:
        body = operation_outcome(error.issues, error.contained)
    return Response(body, status, headers, FHIR_JSON)


def _starlette_route(route: Route | OpenRoute, endpoint: OpenEndpoint) -> StarletteRoute:
    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _openapi_route(routes: Sequence[Route | OpenRoute]) -> OpenRoute:
    async def openapi(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    description = RouteDescription("openapi", responses=[ResponseDescription(200, "OpenAPI 3.1", "application/json")])
    own = OpenRoute("GET", "/openapi.json", openapi, "this OpenAPI document", description)
    document = orjson.dumps(
        openapi_document("OneStory", version("onestory"), [route.operation() for route in [*routes, own]])
    )
    return own


class _RouteChain:
    """The routes for callers with a token. The first match handles the request, unless it raises `TryNextRoute`."""

    def __init__(self, tokens: TokenVerifier, routes: Sequence[Route]) -> None:
        self._tokens = tokens
        self._routes = routes
        self.starlette_routes = [
            _starlette_route(route, partial(self._handle, index)) for index, route in enumerate(routes)
        ]

    async def _handle(self, index: int, request: Request) -> Response:
        request.state.outcome_writer = self._routes[index].outcome_writer
        refuse_large_request(request.scope["query_string"], request.scope["headers"])
        caller = await self._tokens.caller(request.headers.get("Authorization"))
        structlog.contextvars.bind_contextvars(organisation=caller.organisation)
        _refuse_nul(request)
        current: int | None = index
        while current is not None:
            try:
                return await _answer(self._routes[current], request, caller)
            except TryNextRoute:
                current = self._next_match(current, request)
                request.state.outcome_writer = None if current is None else self._routes[current].outcome_writer
        raise HTTPException(404)

    def _next_match(self, after: int, request: Request) -> int | None:
        """Return the index of the next route that matches method and path, and set the request's scope for it."""
        request.scope["path_params"] = {}
        for index in range(after + 1, len(self.starlette_routes)):
            match, scope = self.starlette_routes[index].matches(request.scope)
            if match is Match.FULL:
                request.scope.update(scope, route=self.starlette_routes[index])
                return index
        return None


def _refuse_nul(request: Request) -> None:
    """Refuse NUL in the address: no identifier has it, and PostgreSQL cannot store it."""
    parts = (part for pair in request.query_params.multi_items() for part in pair)
    if "\0" in request.scope["path"] or any("\0" in part for part in parts):
        raise errors.Malformed("The address has a NUL character (%00). Remove it.", code="value")


async def _answer(route: Route, request: Request, caller: Caller) -> Response:
    is_page = route.html and prefers_html(request)
    is_stream = route.event_stream and EVENT_STREAM in _wanted_format(request)
    if not is_page and not is_stream and not route.own_format:
        _refuse_other_formats(request)
    return await route.endpoint(request, caller)


def prefers_html(request: Request) -> bool:
    """Return whether HTML is the first format that the caller accepts."""
    return _wanted_format(request).partition(",")[0].partition(";")[0].strip().lower() in (HTML, "html")


def _wanted_format(request: Request) -> str:
    return request.query_params.get("_format") or request.headers.get("Accept", "*/*")


def _refuse_other_formats(request: Request) -> None:
    wanted = _wanted_format(request)
    if "json" not in wanted and "*/*" not in wanted and "application/*" not in wanted:
        raise errors.NotAcceptable("Only JSON is supported. Send Accept: application/fhir+json.")


def _health_routes(ready: dict[str, ReadinessCheck]) -> list[OpenRoute]:
    async def live(_request: Request) -> Response:
        return Response(b'{"status":"live"}', media_type="application/json")

    async def readiness(_request: Request) -> Response:
        missing = [name for name, check in ready.items() if not await check()]
        if missing:
            raise errors.Unavailable(f"Not ready: {', '.join(missing)} does not answer.")
        return Response(b'{"status":"ready"}', media_type="application/json")

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    status = RouteDescription(responses=[ResponseDescription(200, "The check succeeded.", "application/json")])
    text = RouteDescription(
        responses=[ResponseDescription(200, "Metrics in the Prometheus text format.", "text/plain")]
    )
    return [
        OpenRoute("GET", "/health/live", live, "whether the process runs", status),
        OpenRoute("GET", "/health/ready", readiness, "whether Kafka and PostgreSQL answer", status),
        OpenRoute("GET", "/metrics", metrics, "Prometheus metrics", text),
    ]


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.OneStoryError)
    return error_response(error, getattr(request.state, "outcome_writer", None))


async def _on_http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(_FROM_HTTP.get(error.status_code) or errors.Malformed("The request cannot be read."))


async def _on_unexpected(request: Request, _error: Exception) -> Response:
    correlation_id = request.state.correlation_id
    issue = errors.Issue("exception", f"An internal error occurred. Give the id {correlation_id} when you report it.")
    outcome_writer: OutcomeWriter | None = getattr(request.state, "outcome_writer", None)
    return Response(
        outcome_writer([issue], None, 500) if outcome_writer else operation_outcome([issue]), 500, media_type=FHIR_JSON
    )
