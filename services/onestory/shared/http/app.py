"""The application factory: routes, errors, health, metrics and OpenAPI.

A service gives its routes as `Route` and `OpenRoute`. Every error becomes an OperationOutcome here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from onestory.shared import errors
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.cors import with_cors
from onestory.shared.http.error_response import OutcomeWriter, error_response
from onestory.shared.http.media_types import FHIR_JSON, JSON, Format
from onestory.shared.http.methods import NO_ADDRESS, AllowedMethods, complete_allow, described_operations
from onestory.shared.http.middleware import RequestMiddleware
from onestory.shared.http.openapi import (
    NO_DESCRIPTION,
    ResponseDescription,
    RouteDescription,
    RouteOperation,
    openapi_document,
)
from onestory.shared.http.route_chain import RouteChain, TryNextRoute, answer_format, prefers_html, starlette_route
from onestory.shared.http.settings import HttpSettings
from onestory.shared.http.static_document import StaticDocument
from onestory.shared.policy import Caller

__all__ = ["OpenRoute", "OutcomeWriter", "Route", "TryNextRoute", "create_app", "prefers_html"]

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
OpenEndpoint = Callable[[Request], Awaitable[Response]]
ReadinessCheck = Callable[[], Awaitable[bool]]


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
    publish_headers: bool = False
    """Whether it carries out `X-Dry-Run` and `X-Replaces-System`, or changes nothing. Other routes refuse them."""
    description: RouteDescription = NO_DESCRIPTION
    outcome_writer: OutcomeWriter | None = None
    """Writes its errors, where a standard requires more than the usual OperationOutcome."""

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats of its answers, the usual one first."""
        if self.event_stream:
            return (Format.EVENT_STREAM,)
        return (Format.JSON, Format.HTML) if self.html else (Format.JSON,)

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
    formats: tuple[Format, ...] = ()
    """The formats of its answers; empty: it does not read Accept."""
    outcome_writer: OutcomeWriter | None = None
    """Writes its errors, where a standard requires more than the usual OperationOutcome."""

    def operation(self) -> RouteOperation:
        """Return this route for the OpenAPI document."""
        return RouteOperation(self.method, self.path, self.path, self.summary, self.description, is_open=True)


def create_app(
    routes: Sequence[Route],
    open_routes: Sequence[OpenRoute],
    tokens: TokenVerifier,
    ready: dict[str, ReadinessCheck],
    running: Callable[[], AbstractAsyncContextManager[None]],
    settings: HttpSettings | None = None,
) -> ASGIApp:
    """Return the application.

    `ready` maps the name of each dependency to the check that it answers. The context `running` stays open while the
    application serves.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with running():
            yield

    settings = settings or HttpSettings()
    # Open routes come first, because the pattern of a resource type would match their addresses.
    all_open = [*open_routes, *_health_routes(ready)]
    all_open.append(_openapi_route([*all_open, *routes]))
    starlette_routes = [_starlette_route(route) for route in all_open]
    starlette_routes += RouteChain(tokens, routes, settings.max_requests_per_caller).starlette_routes
    methods = AllowedMethods(list(zip(starlette_routes, [*all_open, *routes], strict=True)))
    app = Starlette(
        routes=starlette_routes,
        exception_handlers={
            errors.OneStoryError: _on_error,
            HTTPException: partial(_on_http_error, methods),
            Exception: _on_unexpected,
        },
        lifespan=lifespan,
    )
    # A redirect would name the host and the scheme that the request names. The middleware ignores a slash instead.
    app.router.redirect_slashes = False
    return RequestMiddleware(with_cors(app, settings.cors_origins), settings)


def _starlette_route(route: OpenRoute) -> StarletteRoute:
    async def endpoint(request: Request) -> Response:
        request.scope["state"]["outcome_writer"] = route.outcome_writer
        if route.formats:
            answer_format(request, route.formats)
        return await route.endpoint(request)

    return starlette_route(route.path, endpoint, route.method)


def _openapi_route(routes: Sequence[Route | OpenRoute]) -> OpenRoute:
    async def openapi(request: Request) -> Response:
        return document.answer(request)

    description = RouteDescription("openapi", responses=[ResponseDescription(200, "OpenAPI 3.1", "application/json")])
    own = OpenRoute("GET", "/openapi.json", openapi, "this OpenAPI document", description)
    content = openapi_document("OneStory", version("onestory"), described_operations([*routes, own]))
    document = StaticDocument(orjson.dumps(content), JSON)
    return own


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
    if isinstance(error, errors.NotAllowed):
        complete_allow(error)
    return error_response(error, getattr(request.state, "outcome_writer", None))


async def _on_http_error(methods: AllowedMethods, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return methods.answer(request)
    if error.status_code == 404:
        return error_response(errors.NotFound(NO_ADDRESS))
    return error_response(errors.Malformed("The request cannot be read."))


async def _on_unexpected(request: Request, _error: Exception) -> Response:
    correlation_id = request.state.correlation_id
    issue = errors.Issue("exception", f"An internal error occurred. Give the id {correlation_id} when you report it.")
    outcome_writer: OutcomeWriter | None = getattr(request.state, "outcome_writer", None)
    return Response(
        outcome_writer([issue], None, 500) if outcome_writer else operation_outcome([issue]), 500, media_type=FHIR_JSON
    )
