"""The methods of an address: `Allow`, the answer to OPTIONS, and the text of 405 (RFC 9110, 9.3.7 and 15.5.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route as StarletteRoute

from onestory.shared.errors import NotAllowed, NotFound
from onestory.shared.fhir.definitions import operation_only_types, resource_types
from onestory.shared.http.error_response import error_response
from onestory.shared.http.media_types import header_items

if TYPE_CHECKING:
    from onestory.shared.http.app import OpenRoute, Route
    from onestory.shared.http.openapi import RouteOperation

NO_ADDRESS = "There is no resource or operation at this address."
_TYPE = "{resource_type}"
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class AllowedMethods:
    """Answers requests whose method has no route at their address."""

    def __init__(self, routes: Sequence[tuple[StarletteRoute, Route | OpenRoute]]) -> None:
        self._routes = routes

    def answer(self, request: Request) -> Response:
        """Return 204 with `Allow` for OPTIONS, 405 with `Allow` for another method, or 404 for no address."""
        routes = self._routes_of(request)
        outcome_writer = next((writer for each in routes if (writer := getattr(each, "outcome_writer", None))), None)
        if not routes:
            return error_response(NotFound(NO_ADDRESS))
        methods = _with_implied({route.method for route in routes})
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(methods)})
        return error_response(not_allowed(request.method, methods), outcome_writer)

    def _routes_of(self, request: Request) -> list[Route | OpenRoute]:
        found = []
        request_scope = {**request.scope, "path_params": {}}  # it has the parameters of another route
        for starlette_route, route in self._routes:
            match, scope = starlette_route.matches(request_scope)
            if match is not Match.NONE and _is_served(scope["path_params"], getattr(route, "interaction", "")):
                found.append(route)
        return found


def not_allowed(method: str, allowed: Sequence[str]) -> NotAllowed:
    """Return the error for a method that the address does not support."""
    error = NotAllowed(f"{method} is not supported at this address. Send one of: {', '.join(allowed)}.")
    error.headers["Allow"] = ", ".join(allowed)
    return error


def described_operations(routes: Sequence[Route | OpenRoute]) -> list[RouteOperation]:
    """Return the operations of the routes for the OpenAPI document, each address with all its methods.

    An address of one type, such as `/fhir/Binary/{id}`, is also served by the routes for any type. A reader of the
    document looks at the path without a template only (OpenAPI 3.1, Paths Object).
    """
    found = {(route.method, route.path): route.operation() for route in routes}
    by_path = {route.path.replace(_TYPE, "{}"): route.path for route in routes if _TYPE in route.path}
    for path in {route.path: None for route in routes if _TYPE not in route.path}:
        parts = path.split("/")
        for place, resource_type in enumerate(parts):
            any_type = by_path.get("/".join([*parts[:place], "{}", *parts[place + 1 :]]))
            values = {"resource_type": resource_type}
            if any_type is None or resource_type not in resource_types():
                continue
            for route in routes:
                is_new = route.path == any_type and (route.method, path) not in found
                if is_new and _is_served(values, getattr(route, "interaction", "")):
                    found[route.method, path] = route.operation().at(path, resource_type)
    return [*found.values()]


def complete_allow(error: NotAllowed) -> None:
    """Add to the `Allow` of an endpoint the methods that every address has."""
    stated = header_items([error.headers.get("Allow", "")])
    error.headers["Allow"] = ", ".join(_with_implied(set(stated)))


def _with_implied(methods: set[str]) -> list[str]:
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()) | {"OPTIONS"})


def _is_served(path_parameters: Mapping[str, Any], interaction: str) -> bool:
    """Whether a route with these values in its path has an answer other than 404 or 405."""
    resource_type, resource_id = path_parameters.get("resource_type"), path_parameters.get("id")
    if resource_id is not None and not _ID.fullmatch(resource_id):
        return False
    if resource_type is None:
        return True
    operation_only = operation_only_types().get(resource_type)
    return resource_type in resource_types() and not (operation_only and interaction in operation_only.refused)
