"""The app factory: what every route has around it. Authentication, the error table, health, the description."""

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
from onestory.shared.fhir.outcome import outcome
from onestory.shared.http.caller import Caller, Tokens
from onestory.shared.http.middleware import RequestMiddleware
from onestory.shared.http.openapi import (
    EVENTS,
    FHIR_JSON,
    HTML,
    NOTHING,
    Answer,
    RouteDescription,
    RouteOperation,
    document,
)

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
OpenEndpoint = Callable[[Request], Awaitable[Response]]
Check = Callable[[], Awaitable[bool]]
Wording = Callable[[Sequence[errors.Issue], tuple[str, bytes] | None, int], bytes]
"""Writes the OperationOutcome of issues, with what it shows, for a status."""

# The one table from error family to status (FHIR R4 http.html#Status-Codes).
STATUS: dict[type[errors.OneStoryError], int] = {
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
_FROM_HTTP = {404: errors.NotFound("There is no such address here."), 405: errors.NotAllowed("Not with this method.")}
_EXTRA_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "2"}}


class Declined(Exception):
    """This endpoint does not answer the request: the next route that fits is asked. Raised before the body is read."""


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
    events: bool = False
    """Whether it answers with a stream of events."""
    about: RouteDescription = NOTHING
    wording: Wording | None = None
    """How its errors are said, where a standard asks for more than an OperationOutcome has anyway."""

    def described(self) -> RouteOperation:
        """This route as the API's description has it."""
        summary = self.summary or self.interaction
        return RouteOperation(self.method, self.path, self.interaction, summary, self.about, html=self.html)


@dataclass(frozen=True, slots=True)
class OpenRoute:
    """A route that anybody may call."""

    method: str
    path: str
    endpoint: OpenEndpoint
    summary: str = ""
    about: RouteDescription = NOTHING

    def described(self) -> RouteOperation:
        """This route as the API's description has it."""
        return RouteOperation(self.method, self.path, self.path, self.summary, self.about, is_open=True)


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
    opened = [*open_routes, *_operations(ready)]
    opened.append(_openapi([*opened, *routes]))
    app = Starlette(
        routes=[
            *[_served(route, route.endpoint) for route in opened],
            *_InTurn(tokens, routes).served,
        ],
        exception_handlers={errors.OneStoryError: _refuse, HTTPException: _refuse_http, Exception: _unexpected},
        lifespan=lifespan,
    )
    return RequestMiddleware(app)


def refusal(error: errors.OneStoryError, wording: Wording | None = None) -> Response:
    """The answer to an error: its status by the table, and an OperationOutcome."""
    status = next(STATUS[family] for family in type(error).__mro__ if family in STATUS)
    headers = {**_EXTRA_HEADERS.get(status, {}), **error.headers}
    says = wording(error.issues, error.contained, status) if wording else outcome(error.issues, error.contained)
    return Response(says, status, headers, FHIR_JSON)


def _served(route: Route | OpenRoute, endpoint: OpenEndpoint) -> StarletteRoute:
    return StarletteRoute(route.path, endpoint, methods=[route.method])


def _openapi(routes: Sequence[Route | OpenRoute]) -> OpenRoute:
    async def openapi(_request: Request) -> Response:
        return Response(written, media_type="application/json")

    about = RouteDescription("openapi", answers=[Answer(200, "OpenAPI 3.1", "application/json")])
    own = OpenRoute("GET", "/openapi.json", openapi, "this description", about)
    written = orjson.dumps(document("OneStory", version("onestory"), [each.described() for each in [*routes, own]]))
    return own


class _InTurn:
    """Routes for callers with a token: the first that fits is asked, and another only where that one declines."""

    def __init__(self, tokens: Tokens, routes: Sequence[Route]) -> None:
        self._tokens = tokens
        self._routes = routes
        self.served = [_served(route, partial(self._ask, place)) for place, route in enumerate(routes)]

    async def _ask(self, place: int, request: Request) -> Response:
        request.state.wording = self._routes[place].wording
        caller = await self._tokens.caller(request.headers.get("Authorization"))
        structlog.contextvars.bind_contextvars(organisation=caller.organisation)
        _refuse_nul(request)
        asked: int | None = place
        while asked is not None:
            try:
                return await _answer(self._routes[asked], request, caller)
            except Declined:
                asked = self._next_that_fits(asked, request)
                request.state.wording = None if asked is None else self._routes[asked].wording
        raise HTTPException(404)

    def _next_that_fits(self, declined: int, request: Request) -> int | None:
        """Where the next route stands that fits method and path; the request is then that route's."""
        request.scope["path_params"] = {}
        for place in range(declined + 1, len(self.served)):
            match, found = self.served[place].matches(request.scope)
            if match is Match.FULL:
                request.scope.update(found, route=self.served[place])
                return place
        return None


def _refuse_nul(request: Request) -> None:
    """No name has this character, and PostgreSQL does not take it."""
    said = (part for pair in request.query_params.multi_items() for part in pair)
    if "\0" in request.scope["path"] or any("\0" in part for part in said):
        raise errors.Malformed("There is a NUL character (%00) in the address: leave it out.", code="value")


async def _answer(route: Route, request: Request, caller: Caller) -> Response:
    if not (route.html and wants_html(request)) and not (route.events and EVENTS in _wanted_format(request)):
        _refuse_other_formats(request)
    return await route.endpoint(request, caller)


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

    is_so, measured = Answer(200, "It is so.", "application/json"), Answer(200, "Text for Prometheus.", "text/plain")
    return [
        OpenRoute("GET", "/health/live", live, "the process runs", RouteDescription(answers=[is_so])),
        OpenRoute(
            "GET",
            "/health/ready",
            readiness,
            "everything that requests need answers",
            RouteDescription(answers=[is_so]),
        ),
        OpenRoute("GET", "/metrics", metrics, "Prometheus metrics", RouteDescription(answers=[measured])),
    ]


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.OneStoryError)
    return refusal(error, getattr(request.state, "wording", None))


async def _refuse_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(_FROM_HTTP.get(error.status_code) or errors.Malformed("The request cannot be read."))


async def _unexpected(request: Request, _error: Exception) -> Response:
    correlation_id = request.state.correlation_id
    issue = errors.Issue("exception", f"Something went wrong here. Quote {correlation_id} when you report it.")
    wording: Wording | None = getattr(request.state, "wording", None)
    return Response(wording([issue], None, 500) if wording else outcome([issue]), 500, media_type=FHIR_JSON)
