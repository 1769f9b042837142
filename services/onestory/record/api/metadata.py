"""`GET metadata`: what this server does (FHIR R4, http://hl7.org/fhir/R4/http.html#capabilities)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onestory.record.api.capability import Address, capability_statement
from onestory.shared.openapi import FHIR_JSON

_PARAMETER = re.compile(r"\{[^}]*\}")


class Metadata:
    """The interaction capabilities. It reads the routes of the application that serves it, so it cannot lie."""

    def __init__(self, fhir: str) -> None:
        self._fhir = fhir
        self._started = datetime.now(UTC)

    async def __call__(self, request: Request) -> Response:
        addresses = _addresses(request.app.routes)
        statement = capability_statement(addresses, self._fhir, version("onestory"), self._started)
        return Response(orjson.dumps(statement), media_type=FHIR_JSON)


def _addresses(routes: list[BaseRoute]) -> Iterator[Address]:
    for route in routes:
        if isinstance(route, Route):
            for method in route.methods or ():
                yield Address(method, _PARAMETER.sub("{}", route.path))
