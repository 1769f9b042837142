"""Authentication of a request, the format of its answer, and the choice among routes that match it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from onestory.shared import errors
from onestory.shared.http.caller import TokenVerifier
from onestory.shared.http.limits import count_limited
from onestory.shared.http.media_types import EVENT_STREAM, FHIR_JSON, HTML, Format, choose_format
from onestory.shared.http.request_limits import refuse_large_request
from onestory.shared.policy import Caller
from onestory.shared.turns import Turns, current_turn

if TYPE_CHECKING:
    from onestory.shared.http.app import Route
    from onestory.shared.http.connection import HttpConnection

_RESERVED = {"resource_type": "(?![_$]|metadata$)", "id": "(?![_$])"}
_MEDIA_TYPES = {Format.JSON: FHIR_JSON, Format.HTML: HTML, Format.EVENT_STREAM: EVENT_STREAM}


class TryNextRoute(Exception):
    """The endpoint does not handle the request; the next matching route gets it. Raise it before reading the body."""


def starlette_route(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> StarletteRoute:
    """Return a route of Starlette in which a type or an id is never a name that FHIR reserves.

    FHIR R4 reserves `metadata`, and names that begin with `_` or `$` (http://hl7.org/fhir/R4/http.html).
    """
    route = StarletteRoute(path, endpoint, methods=[method])
    pattern = route.path_regex.pattern
    for name, reserved in _RESERVED.items():
        pattern = pattern.replace(f"(?P<{name}>[^/]+)", f"(?P<{name}>{reserved}[^/]+)")
    route.path_regex = re.compile(pattern)
    return route


class RouteChain:
    """The routes for callers with a token. The first match handles the request, unless it raises `TryNextRoute`."""

    def __init__(self, tokens: TokenVerifier, routes: Sequence[Route], max_requests_per_caller: int) -> None:
        self._tokens = tokens
        self._turns = Turns(max_requests_per_caller)
        self._routes = routes
        self.starlette_routes = [
            starlette_route(route.path, partial(self._handle, index), route.method)
            for index, route in enumerate(routes)
        ]

    async def _handle(self, index: int, request: Request) -> Response:
        state = request.scope["state"]
        state["outcome_writer"] = self._routes[index].outcome_writer
        refuse_large_request(request.scope["query_string"], request.scope["headers"])
        caller = await self._tokens.caller(request.headers.get("Authorization"))
        state["owner"] = (caller.organisation, caller.system, caller.subject)
        if connection := state.get("connection"):
            connection.identify(state["owner"])
        structlog.contextvars.bind_contextvars(organisation=caller.organisation)
        _refuse_nul(request)
        if state.get("is_internal"):
            # The request that sends it has a turn, and waits for it. It would wait for ever if this one took a turn.
            current_turn.set(None)
            return await self._answer(index, request, caller)
        turn = await self._turns.take(state["owner"])
        try:
            if turn.has_waited:
                _check_still_connected(state.get("connection"))
            current_turn.set(turn)
            return await self._answer(index, request, caller)
        finally:
            # The client may read slowly, and an event stream is long. Neither is work, so sending needs no turn.
            turn.end()

    async def _answer(self, index: int, request: Request, caller: Caller) -> Response:
        state = request.scope["state"]
        current: int | None = index
        while current is not None:
            try:
                route = self._routes[current]
                if not route.publish_headers:
                    _refuse_publish_headers(request)
                state["format"] = None if route.own_format else answer_format(request, route.formats)
                return await route.endpoint(request, caller)
            except TryNextRoute:
                current = self._next_match(current, request)
                state["outcome_writer"] = None if current is None else self._routes[current].outcome_writer
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


def _refuse_publish_headers(request: Request) -> None:
    """Refuse headers that a publish carries out and this write would not: a trial run must change nothing."""
    if request.method in ("GET", "HEAD"):
        return
    headers = request.headers
    if any(value.strip().lower() != "false" for value in headers.getlist("X-Dry-Run")):
        raise errors.Malformed(
            "X-Dry-Run is not supported here, and this request would change data. Nothing was done. Send the request "
            "without it, or use $validate.",
            code="not-supported",
            expression="http.X-Dry-Run",
        )
    if "X-Replaces-System" in headers:
        raise errors.Malformed(
            "X-Replaces-System is not supported here. Nothing was done. Send it with a Bundle to [base]/fhir.",
            code="not-supported",
            expression="http.X-Replaces-System",
        )


def _check_still_connected(connection: HttpConnection | None) -> None:
    """Count a request that had to wait. Raises `TimedOut` if its client has gone, because its work is not needed."""
    count_limited("requests")
    if connection is not None and connection.is_disconnected:
        raise errors.TimedOut("The connection ended before the request had its turn. Nothing was done. Send it again.")


def _refuse_nul(request: Request) -> None:
    """Refuse NUL in the address: no identifier has it, and PostgreSQL cannot store it."""
    parts = (part for pair in request.query_params.multi_items() for part in pair)
    if "\0" in request.scope["path"] or any("\0" in part for part in parts):
        raise errors.Malformed("The address has a NUL character (%00). Remove it.", code="value")


def answer_format(request: Request, offered: tuple[Format, ...]) -> Format:
    """Return the format that the caller wants most of those that are offered. Raises `NotAcceptable`."""
    accept = request.headers.getlist("Accept")
    chosen = choose_format(offered, accept, request.query_params.get("_format", ""))
    if chosen is None:
        served = " or ".join(_MEDIA_TYPES[each] for each in offered)
        raise errors.NotAcceptable(
            f"The answer has the format {served}, with fhirVersion 4.0. Send Accept: {_MEDIA_TYPES[offered[0]]}."
        )
    return chosen


def prefers_html(request: Request) -> bool:
    """Return whether the answer of this request is an HTML page."""
    return request.scope["state"].get("format") is Format.HTML
