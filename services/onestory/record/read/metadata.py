"""`GET metadata`: what this server does (FHIR R4, http://hl7.org/fhir/R4/http.html#capabilities)."""

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

from onestory.record.read.request import FORM, RECORD_DIGEST
from onestory.record.search import include
from onestory.record.search.parameters import (
    IN_EVERYTHING,
    IN_HISTORY,
    IN_MERGED,
    IN_PERSONS_HISTORY,
    IN_READ,
    IN_SEARCH,
    IN_SUMMARY,
    MOST,
    NAMING,
    SHAPING,
    SUMMARIES,
    WHAT_IS,
)
from onestory.shared.fhir.definitions import operated_types, refused_types, resource_types, search_parameters
from onestory.shared.http.app import Route
from onestory.shared.http.openapi import FHIR_JSON, Answer, Body, Parameter, RouteDescription

# The CapabilityStatement: what this server does, told from the routes that it has.
#
# FHIR R4, http://hl7.org/fhir/R4/capabilitystatement.html.

_TYPE = "http://hl7.org/fhir/OperationDefinition/"
_OURS = "https://onestory.nhs.uk/OperationDefinition/"
# FHIR's interactions by the shape of their address.
_OF_RESOURCE = {
    ("GET", "/fhir/{}/{}"): "read",
    ("GET", "/fhir/{}/{}/_history/{}"): "vread",
    ("GET", "/fhir/{}/{}/_history"): "history-instance",
    ("GET", "/fhir/{}/_history"): "history-type",
    ("GET", "/fhir/{}"): "search-type",
    ("POST", "/fhir/{}"): "create",
    ("PUT", "/fhir/{}/{}"): "update",
    ("DELETE", "/fhir/{}/{}"): "delete",
}
_OF_SYSTEM = {("POST", "/fhir"): ("transaction", "batch"), ("GET", "/fhir/_history"): ("history-system",)}
_UPDATE_BY_IDENTIFIER = ("PUT", "/fhir/{}")
_OPERATION = re.compile(r"/fhir/(?P<resource_type>[A-Z][A-Za-z]+)/\{\}/\$(?P<name>[a-z-]+)")
_OF_FHIR = {("Patient", "everything"): f"{_TYPE}Patient-everything"}
_OF_ANOTHER_TYPE = {("Task", "story"): "servicerequest-story"}
_OF_ALL = {"_id": "token", "_lastUpdated": "date"}
_IN_RECORD = {"patient": "reference", "subject": "reference", **_OF_ALL}


class RouteAddress(NamedTuple):
    """One route: its method, and its path with `{}` for each parameter."""

    method: str
    path: str


def capability_statement(addresses: Iterable[RouteAddress], base: str, version: str, at: datetime) -> dict[str, Any]:
    """The statement of a server with these routes, whose FHIR base URL is `base`."""
    served = set(addresses)
    interactions = [code for address, code in _OF_RESOURCE.items() if address in served]
    system = [code for address, codes in _OF_SYSTEM.items() if address in served for code in codes]
    operations = [match for _, path in sorted(served) if (match := _OPERATION.fullmatch(path))]
    conditional = _UPDATE_BY_IDENTIFIER in served
    # What nobody can publish is not in the record either.
    types = sorted(resource_types() - refused_types().keys())
    resources = [_resource(each, interactions, operations, conditional) for each in types]
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
        "security": {"description": "A bearer token of the deployment's issuer, on every route but this one."},
        "resource": resources,
        "interaction": _codes(system),
    }
    return {name: part for name, part in rest.items() if part}


def _resource(
    resource_type: str, interactions: Sequence[str], operations: Sequence[re.Match[str]], conditional: bool
) -> dict[str, Any]:
    operated = operated_types().get(resource_type)
    interactions = [each for each in interactions if not operated or each not in operated.refused]
    own = [match["name"] for match in operations if match["resource_type"] == resource_type]
    searches = "search-type" in interactions
    resource = {
        "type": resource_type,
        "interaction": _codes(interactions),
        "versioning": "versioned",
        "readHistory": "vread" in interactions,
        "updateCreate": "update" in interactions,
        # By identifier, which is identity: a door without tables can keep no other condition.
        "conditionalCreate": "create" in interactions and not operated,
        "conditionalRead": "not-match" if "read" in interactions else "not-supported",
        "conditionalUpdate": conditional and not operated,
        "conditionalDelete": "not-supported",
        "searchInclude": include.known(resource_type) if searches else [],
        "searchRevInclude": include.known_to(resource_type) if searches else [],
        "searchParam": _searched(resource_type) if searches else [],
        "operation": [{"name": name, "definition": _definition(resource_type, name)} for name in own],
    }
    return {name: part for name, part in resource.items() if part != []}


def _definition(resource_type: str, name: str) -> str:
    """Where the operation is defined: by FHIR, or in schemas/fhir, under the type's name unless it is of a Patient."""
    ours = name if resource_type == "Patient" else f"{resource_type.lower()}-{name}"
    asked = (resource_type, name)
    return _OF_FHIR.get(asked, f"{_OURS}{_OF_ANOTHER_TYPE.get(asked, ours)}")


def _searched(resource_type: str) -> list[dict[str, str]]:
    known = {name: each.kind for name, each in search_parameters(resource_type).items()}
    kinds = {**(_OF_ALL if resource_type == "Patient" else _IN_RECORD), **known}
    return [{"name": name, "type": kind} for name, kind in kinds.items()]


def _codes(codes: Sequence[str]) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]


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


def _addresses(routes: list[BaseRoute]) -> Iterator[RouteAddress]:
    for route in routes:
        if isinstance(route, StarletteRoute):
            for method in route.methods or ():
                yield RouteAddress(method, _PARAMETER.sub("{}", route.path))


# What the interactions of the read API take and answer, as its description tells it.
#
# Which parameters there are comes from what reads them: here is only what each one means.

_WHOSE = "Whose record it is: an NHS number, Patient/<NHS number>, or the id of a source's Patient."
_SAYS = {
    "after": "A position (X-OneStory-Position) of a publish: the answer waits until it is visible.",
    "asOf": "An instant: the record as it was then.",
    "patient": _WHOSE,
    "subject": _WHOSE,
    "patient:Patient": _WHOSE,
    "subject:Patient": _WHOSE,
    "_count": f"Entries on a page: a whole number from 0, at most {MOST}, which is also the default.",
    "_cursor": "Where a page begins: taken from a next link as it is.",
    "_format": "Before the header Accept: json, or html where a page is written.",
    "_id": "Ids, separated by commas.",
    "_lastUpdated": "When Kafka had it: a date or an instant with a prefix, such as ge2026-01-31. May be repeated.",
    "_pretty": "Passed over.",
    "_since": "An instant: only what came since.",
    "_total": "Passed over: a total is always exact.",
    "_totalMethod": "Passed over: a total is always exact.",
    "_type": "Resource types, separated by commas.",
    **WHAT_IS,
}
_VALUES = {"_summary": SUMMARIES}
_LENIENT = Parameter("Prefer", "header", "handling=lenient passes over parameters that are not known, and says so.")
_KNOWN = Parameter("If-None-Match", "header", "The ETag that the caller has: 304 while nothing has changed.")
_TAG = {"ETag": "The version of the answer."}
_DIGEST = {RECORD_DIGEST: "The same for the same record, as the caller sees it."}
_DATED = {"Last-Modified": "When Kafka had it."}

_RESOURCE = Answer(200, "The resource.", FHIR_JSON, "Resource", {**_TAG, **_DATED})
_SEARCHSET = Answer(200, "A page of what was found: a searchset.", FHIR_JSON, "Bundle", {**_TAG, **_DIGEST})
_VERSIONS = Answer(200, "A page of versions: a history.", FHIR_JSON, "Bundle")
_OF_PAGE = {
    "Content-Security-Policy": "Of a page: a browser fetches, runs and sends nothing.",
    "X-Content-Type-Options": "Of a page: nosniff.",
}
_DOCUMENT = Answer(200, "An IPS document.", FHIR_JSON, "Bundle", {**_TAG, **_DIGEST, **_OF_PAGE, "Vary": "Accept"})
_FACTS = Answer(200, "Facts, or what became of them.", FHIR_JSON, "Parameters")
_STORY = Answer(200, "Two documents, and what changed between them.", FHIR_JSON, "Parameters")
_SOURCES = Answer(200, "One part for each source.", FHIR_JSON, "Parameters")
_NOT_MODIFIED = Answer(304, "The caller has this version.", headers=_TAG)


def described(routes: Sequence[Route]) -> list[Route]:
    """The routes, each with what it takes and answers."""
    about = _by_interaction()
    return [replace(route, about=about[route.method, route.interaction]) for route in routes]


def about_metadata() -> RouteDescription:
    """What the CapabilityStatement's route takes and answers."""
    return RouteDescription(
        "capabilities", answers=[Answer(200, "The CapabilityStatement.", FHIR_JSON, "CapabilityStatement")]
    )


def _by_interaction() -> dict[tuple[str, str], RouteDescription]:
    searched = _searched_route()
    return {
        ("GET", "read"): _about(_described(IN_READ), _RESOURCE, _NOT_MODIFIED),
        ("GET", "vread"): _about(_described(IN_READ), _RESOURCE, _NOT_MODIFIED),
        ("GET", "history-instance"): _about(_described(IN_HISTORY), _VERSIONS),
        ("GET", "history-type"): _about(_described(IN_PERSONS_HISTORY), _VERSIONS),
        ("GET", "history-system"): _about(_described(IN_PERSONS_HISTORY), _VERSIONS),
        ("GET", "search-type"): _about(searched, _SEARCHSET, _NOT_MODIFIED),
        ("POST", "search-type"): replace(
            _about([], _SEARCHSET, _NOT_MODIFIED), name="searchTypeByForm", body=_form(searched)
        ),
        ("GET", "$everything"): _about(_described(IN_EVERYTHING), _SEARCHSET, _NOT_MODIFIED),
        ("GET", "$summary"): _about(_described(IN_SUMMARY), _DOCUMENT, _NOT_MODIFIED),
        ("GET", "$merged"): _about(_described(IN_MERGED), _FACTS),
        ("GET", "$story"): _about(_described(IN_READ), _STORY),
        ("GET", "$story of a Task"): replace(_about(_described(IN_READ), _STORY), name="storyOfTask"),
        ("GET", "$freshness"): _about(_described(IN_READ), _SOURCES),
    }


def _about(parameters: Sequence[Parameter], *answers: Answer) -> RouteDescription:
    known = [_KNOWN] if _NOT_MODIFIED in answers else []
    return RouteDescription(parameters=[*parameters, _LENIENT, *known], answers=answers)


def _described(known: Iterable[str]) -> list[Parameter]:
    return [Parameter(name, "query", _SAYS[name], values=_VALUES.get(name, ())) for name in sorted(known)]


def _searched_route() -> list[Parameter]:
    """What some type or another is searched by: a route has one list, whatever the type in its address."""
    common, types = IN_SEARCH.union(NAMING, SHAPING), sorted(resource_types())
    told: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in types:
        for name, parameter in search_parameters(each).items():
            told[name][parameter.kind].append(each)
    by_type = [(name, _whose(kinds, len(types))) for name, kinds in sorted(told.items()) if name not in common]
    return [*_described(common), *[Parameter(name, "query", says) for name, says in by_type]]


def _whose(kinds: Mapping[str, Sequence[str]], all_types: int) -> str:
    """Such as `A date, of Condition, Procedure.`"""
    return " ".join(
        f"A {kind}, of {', '.join(types) if len(types) < all_types else 'any type'}." for kind, types in kinds.items()
    )


def _form(searched: Sequence[Parameter]) -> Body:
    fields = {each.name: {**each.schema, "description": each.description} for each in searched}
    return Body([FORM], {"type": "object", "properties": fields}, "The search, where no proxy logs it.")
