"""`GET metadata`, and the OpenAPI descriptions of the read API.

The CapabilityStatement follows from the routes of the server. The names of parameters come from the code that reads
them; only their descriptions are here. FHIR R4, http://hl7.org/fhir/R4/capabilitystatement.html.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from onestory.record.read.request import FORM_MEDIA_TYPE, RECORD_DIGEST
from onestory.record.search import include
from onestory.record.search.parameters import (
    EVERYTHING_PARAMETERS,
    HISTORY_PARAMETERS,
    MAX_COUNT,
    MERGED_PARAMETERS,
    PERSON_HISTORY_PARAMETERS,
    PERSON_PARAMETERS,
    READ_PARAMETERS,
    RESULT_PARAMETER_HINTS,
    RESULT_PARAMETERS,
    SEARCH_PARAMETERS,
    SUMMARY_PARAMETERS,
    SUMMARY_VALUES,
)
from onestory.shared.fhir.definitions import operation_only_types, refused_types, resource_types, search_parameters
from onestory.shared.http.app import Route
from onestory.shared.http.openapi import FHIR_JSON, BodyDescription, Parameter, ResponseDescription, RouteDescription

_FHIR_OPERATION = "http://hl7.org/fhir/OperationDefinition/"
_OWN_OPERATION = "https://onestory.nhs.uk/OperationDefinition/"
# FHIR's interactions by method and path.
_RESOURCE_INTERACTIONS = {
    ("GET", "/fhir/{}/{}"): "read",
    ("GET", "/fhir/{}/{}/_history/{}"): "vread",
    ("GET", "/fhir/{}/{}/_history"): "history-instance",
    ("GET", "/fhir/{}/_history"): "history-type",
    ("GET", "/fhir/{}"): "search-type",
    ("POST", "/fhir/{}"): "create",
    ("PUT", "/fhir/{}/{}"): "update",
    ("DELETE", "/fhir/{}/{}"): "delete",
}
_SYSTEM_INTERACTIONS = {("POST", "/fhir"): ("transaction", "batch"), ("GET", "/fhir/_history"): ("history-system",)}
_CONDITIONAL_UPDATE = ("PUT", "/fhir/{}")
_PATH_PARAMETER = re.compile(r"\{[^}]*\}")
_OPERATION = re.compile(r"/fhir/(?P<resource_type>[A-Z][A-Za-z]+)/\{\}/\$(?P<name>[a-z-]+)")
_FHIR_DEFINITIONS = {("Patient", "everything"): f"{_FHIR_OPERATION}Patient-everything"}
# Operations that another type defines.
_SHARED_DEFINITIONS = {("Task", "story"): "servicerequest-story"}
_COMMON_PARAMETERS = {"_id": "token", "_lastUpdated": "date"}
_RECORD_PARAMETERS = {"patient": "reference", "subject": "reference", **_COMMON_PARAMETERS}


class RouteAddress(NamedTuple):
    """The method and path of a route, with `{}` for each parameter of the path."""

    method: str
    path: str


class Capabilities:
    """The interaction capabilities. It reads the routes of the running application, so it is never out of date."""

    def __init__(self, fhir: str) -> None:
        self._fhir = fhir
        self._started = datetime.now(UTC)

    async def __call__(self, request: Request) -> Response:
        addresses = _addresses(request.app.routes)
        statement = capability_statement(addresses, self._fhir, version("onestory"), self._started)
        return Response(orjson.dumps(statement), media_type=FHIR_JSON)


def _addresses(routes: list[BaseRoute]) -> Iterator[RouteAddress]:
    for route in routes:
        if isinstance(route, StarletteRoute):
            for method in route.methods or ():
                yield RouteAddress(method, _PATH_PARAMETER.sub("{}", route.path))


def capability_statement(addresses: Iterable[RouteAddress], base: str, version: str, at: datetime) -> dict[str, Any]:
    """The CapabilityStatement of a server with these routes. `base` is the FHIR base URL."""
    served = set(addresses)
    interactions = [code for address, code in _RESOURCE_INTERACTIONS.items() if address in served]
    system = [code for address, codes in _SYSTEM_INTERACTIONS.items() if address in served for code in codes]
    operations = [match for _, path in sorted(served) if (match := _OPERATION.fullmatch(path))]
    conditional = _CONDITIONAL_UPDATE in served
    # A type that cannot be published is not in the record either.
    types = sorted(resource_types() - refused_types().keys())
    resources = [_resource(name, interactions, operations, conditional) for name in types]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": at.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "OneStory", "version": version},
        "implementation": {"description": "A shared care record", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json", "application/fhir+json"],
        "rest": [_rest(resources, system)],
    }


def _rest(resources: Sequence[dict[str, Any]], system: Sequence[str]) -> dict[str, Any]:
    rest = {
        "mode": "server",
        "security": {"description": "Every route except this one needs a bearer token of the deployment's issuer."},
        "resource": resources,
        "interaction": _codes(system),
    }
    return {name: part for name, part in rest.items() if part}


def _resource(
    resource_type: str, interactions: Sequence[str], operations: Sequence[re.Match[str]], conditional: bool
) -> dict[str, Any]:
    operation_only = operation_only_types().get(resource_type)
    interactions = [code for code in interactions if not operation_only or code not in operation_only.refused]
    own = [match["name"] for match in operations if match["resource_type"] == resource_type]
    searches = "search-type" in interactions
    resource = {
        "type": resource_type,
        "interaction": _codes(interactions),
        # If-Match is optional. When it is sent, it must name the current version.
        "versioning": "versioned-update" if "update" in interactions else "versioned",
        "readHistory": "vread" in interactions,
        "updateCreate": "update" in interactions,
        # By identifier only, among the caller's own resources.
        "conditionalCreate": "create" in interactions and not operation_only,
        "conditionalRead": "not-match" if "read" in interactions else "not-supported",
        "conditionalUpdate": conditional and not operation_only,
        "conditionalDelete": "not-supported",
        "searchInclude": include.include_values(resource_type) if searches else [],
        "searchRevInclude": include.revinclude_values(resource_type) if searches else [],
        "searchParam": _search_parameters(resource_type) if searches else [],
        "operation": [{"name": name, "definition": _definition(resource_type, name)} for name in own],
    }
    return {name: part for name, part in resource.items() if part != []}


def _definition(resource_type: str, name: str) -> str:
    """The canonical URL of the operation's definition: one of FHIR, or one of our own (in `schemas/fhir`)."""
    own_name = name if resource_type == "Patient" else f"{resource_type.lower()}-{name}"
    operation = (resource_type, name)
    return _FHIR_DEFINITIONS.get(operation, f"{_OWN_OPERATION}{_SHARED_DEFINITIONS.get(operation, own_name)}")


def _search_parameters(resource_type: str) -> list[dict[str, str]]:
    known = {name: definition.kind for name, definition in search_parameters(resource_type).items()}
    kinds = {**(_COMMON_PARAMETERS if resource_type == "Patient" else _RECORD_PARAMETERS), **known}
    return [{"name": name, "type": kind} for name, kind in kinds.items()]


def _codes(codes: Sequence[str]) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]


# OpenAPI descriptions: the parameters and responses of each route.

_PERSON_TEXT = "The person: an NHS number, Patient/<NHS number>, or the id of a source's Patient."
_PARAMETER_TEXTS = {
    "after": "The X-OneStory-Position of a publish. The answer waits until readers see that publish.",
    "asOf": "An instant. The answer is about the record as it was then.",
    "patient": _PERSON_TEXT,
    "subject": _PERSON_TEXT,
    "patient:Patient": _PERSON_TEXT,
    "subject:Patient": _PERSON_TEXT,
    "_count": f"Entries on a page: a whole number from 0. The maximum and default is {MAX_COUNT}.",
    "_cursor": "The cursor of a page. Copy it from a next link.",
    "_format": "The format: json, or html for an operation that has a page. It takes precedence over Accept.",
    "_id": "Ids, separated by commas.",
    "_lastUpdated": "When Kafka received the version: a date or instant, such as ge2026-01-31. Repeatable.",
    "_pretty": "Ignored.",
    "_since": "An instant. Only changes since then are returned.",
    "_total": "Ignored. A total is always exact.",
    "_totalMethod": "Ignored. A total is always exact.",
    "_type": "Resource types, separated by commas.",
    **RESULT_PARAMETER_HINTS,
}
_PARAMETER_VALUES = {"_summary": SUMMARY_VALUES}
_PREFER = Parameter(
    "Prefer", "header", "With handling=lenient unsupported parameters are ignored, and the answer has a warning."
)
_IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "The ETag of the version that the caller has. The answer is 304 if it has not changed."
)
_ETAG_HEADER = {"ETag": "The version of the answer."}
_DIGEST_HEADER = {RECORD_DIGEST: "A hash of the record as the caller sees it. Equal digests mean equal records."}
_LAST_MODIFIED_HEADER = {"Last-Modified": "The time at which Kafka received the version."}

_RESOURCE = ResponseDescription(200, "The resource.", FHIR_JSON, "Resource", {**_ETAG_HEADER, **_LAST_MODIFIED_HEADER})
_SEARCHSET = ResponseDescription(
    200, "A searchset with one page of matches.", FHIR_JSON, "Bundle", {**_ETAG_HEADER, **_DIGEST_HEADER}
)
_VERSIONS = ResponseDescription(200, "A history with one page of versions.", FHIR_JSON, "Bundle")
_HTML_HEADERS = {
    "Content-Security-Policy": "For an HTML page: the browser loads, runs and sends nothing.",
    "X-Content-Type-Options": "For an HTML page: nosniff.",
}
_DOCUMENT = ResponseDescription(
    200, "An IPS document.", FHIR_JSON, "Bundle", {**_ETAG_HEADER, **_DIGEST_HEADER, **_HTML_HEADERS, "Vary": "Accept"}
)
_FACTS = ResponseDescription(200, "The facts, or with _since their changes.", FHIR_JSON, "Parameters")
_STORY = ResponseDescription(200, "Two IPS documents, and the changes between them.", FHIR_JSON, "Parameters")
_SOURCES = ResponseDescription(200, "One part for each source.", FHIR_JSON, "Parameters")
_NOT_MODIFIED = ResponseDescription(304, "The caller already has this version.", headers=_ETAG_HEADER)


def with_descriptions(routes: Sequence[Route]) -> list[Route]:
    """The routes, each with its OpenAPI description."""
    descriptions = _descriptions()
    return [replace(route, description=descriptions[route.method, route.interaction]) for route in routes]


def metadata_description() -> RouteDescription:
    """The OpenAPI description of `GET metadata`."""
    return RouteDescription(
        "capabilities",
        responses=[ResponseDescription(200, "The CapabilityStatement.", FHIR_JSON, "CapabilityStatement")],
    )


def _descriptions() -> dict[tuple[str, str], RouteDescription]:
    search = _search_route_parameters()
    return {
        ("GET", "read"): _description(_parameters(READ_PARAMETERS), _RESOURCE, _NOT_MODIFIED),
        ("GET", "vread"): _description(_parameters(READ_PARAMETERS), _RESOURCE, _NOT_MODIFIED),
        ("GET", "history-instance"): _description(_parameters(HISTORY_PARAMETERS), _VERSIONS),
        ("GET", "history-type"): _description(_parameters(PERSON_HISTORY_PARAMETERS), _VERSIONS),
        ("GET", "history-system"): _description(_parameters(PERSON_HISTORY_PARAMETERS), _VERSIONS),
        ("GET", "search-type"): _description(search, _SEARCHSET, _NOT_MODIFIED),
        ("POST", "search-type"): replace(
            _description([], _SEARCHSET, _NOT_MODIFIED), operation_id="searchTypeByForm", body=_form_body(search)
        ),
        ("GET", "$everything"): _description(_parameters(EVERYTHING_PARAMETERS), _SEARCHSET, _NOT_MODIFIED),
        ("GET", "$summary"): _description(_parameters(SUMMARY_PARAMETERS), _DOCUMENT, _NOT_MODIFIED),
        ("GET", "$merged"): _description(_parameters(MERGED_PARAMETERS), _FACTS),
        ("GET", "$story"): _description(_parameters(READ_PARAMETERS), _STORY),
        ("GET", "$story of a Task"): replace(
            _description(_parameters(READ_PARAMETERS), _STORY), operation_id="storyOfTask"
        ),
        ("GET", "$freshness"): _description(_parameters(READ_PARAMETERS), _SOURCES),
    }


def _description(parameters: Sequence[Parameter], *responses: ResponseDescription) -> RouteDescription:
    known = [_IF_NONE_MATCH] if _NOT_MODIFIED in responses else []
    return RouteDescription(parameters=[*parameters, _PREFER, *known], responses=responses)


def _parameters(known: Iterable[str]) -> list[Parameter]:
    return [
        Parameter(name, "query", _PARAMETER_TEXTS[name], values=_PARAMETER_VALUES.get(name, ()))
        for name in sorted(known)
    ]


def _search_route_parameters() -> list[Parameter]:
    """The search parameters of all types: a route has one list for every type in its path."""
    common, types = SEARCH_PARAMETERS.union(PERSON_PARAMETERS, RESULT_PARAMETERS), sorted(resource_types())
    types_by_kind: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for resource_type in types:
        for name, definition in search_parameters(resource_type).items():
            types_by_kind[name][definition.kind].append(resource_type)
    others = [(name, kinds) for name, kinds in sorted(types_by_kind.items()) if name not in common]
    return [
        *_parameters(common),
        *[Parameter(name, "query", _kinds_text(kinds, len(types))) for name, kinds in others],
    ]


def _kinds_text(kinds: Mapping[str, Sequence[str]], all_types: int) -> str:
    """A text such as `A date, of Condition, Procedure.`"""
    return " ".join(
        f"A {kind}, of {', '.join(types) if len(types) < all_types else 'any type'}." for kind, types in kinds.items()
    )


def _form_body(parameters: Sequence[Parameter]) -> BodyDescription:
    fields = {each.name: {**each.schema, "description": each.description} for each in parameters}
    return BodyDescription(
        [FORM_MEDIA_TYPE],
        {"type": "object", "properties": fields},
        "The search parameters. In a form they are not in the logs of proxies.",
    )
