"""`GET metadata`: the CapabilityStatement follows from the routes of the server.

FHIR R4, http://hl7.org/fhir/R4/capabilitystatement.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from onestory.record.search import include
from onestory.shared.fhir.definitions import (
    directory_types,
    is_about_a_person,
    operation_only_types,
    patient_compartment,
    refused_types,
    resource_types,
    search_parameters,
)
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.static_document import StaticDocument

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
_OPERATION_OF_ANY_TYPE = re.compile(r"/fhir/\{\}/\$(?P<name>[a-z-]+)")
_FHIR_DEFINITIONS = {("Patient", "everything"): f"{_FHIR_OPERATION}Patient-everything"}
# Operations that another type defines.
_SHARED_DEFINITIONS = {("Task", "story"): "servicerequest-story"}
_COMMON_PARAMETERS = {"_id": "token", "_lastUpdated": "date"}
_TEAM_SEARCH = ("GET", "/fhir/HealthcareService")
# The route for teams adds a parameter to those of FHIR.
_TEAM_PARAMETERS = {"HealthcareService": {"serves": "token"}}


class RouteAddress(NamedTuple):
    """The method and path of a route, with `{}` for each parameter of the path."""

    method: str
    path: str


class Capabilities:
    """The interaction capabilities, from the routes of the running application. The statement is encoded once."""

    def __init__(self, fhir: str) -> None:
        self._fhir = fhir
        self._started = datetime.now(UTC)
        self._document: StaticDocument | None = None

    async def __call__(self, request: Request) -> Response:
        if self._document is None:
            addresses = _addresses(request.app.routes)
            statement = capability_statement(addresses, self._fhir, version("onestory"), self._started)
            self._document = StaticDocument(orjson.dumps(statement), FHIR_JSON)
        return self._document.answer(request)


def _addresses(routes: list[BaseRoute]) -> Iterator[RouteAddress]:
    for route in routes:
        if isinstance(route, StarletteRoute):
            for method in (route.methods or set()) - {"HEAD"}:  # Starlette adds HEAD to GET
                yield RouteAddress(method, _PATH_PARAMETER.sub("{}", route.path))


def capability_statement(addresses: Iterable[RouteAddress], base: str, version: str, at: datetime) -> dict[str, Any]:
    """The CapabilityStatement of a server with these routes. `base` is the FHIR base URL."""
    served = set(addresses)
    interactions = [code for address, code in _RESOURCE_INTERACTIONS.items() if address in served]
    system = [code for address, codes in _SYSTEM_INTERACTIONS.items() if address in served for code in codes]
    # An operation has a route for GET and one for POST, and is listed once.
    paths = sorted({path for _, path in served})
    operations = [match for path in paths if (match := _OPERATION.fullmatch(path))]
    shared = [match["name"] for path in paths if (match := _OPERATION_OF_ANY_TYPE.fullmatch(path))]
    conditional = _CONDITIONAL_UPDATE in served
    own_parameters = _TEAM_PARAMETERS if _TEAM_SEARCH in served else {}
    # A type that cannot be published is not in the record either.
    types = sorted(resource_types() - refused_types().keys())
    resources = [
        _resource(name, interactions, [*_own(operations, name), *_of_any_type(shared)], conditional, own_parameters)
        for name in types
    ]
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
    resource_type: str,
    interactions: Sequence[str],
    operations: Sequence[dict[str, str]],
    conditional: bool,
    own_parameters: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    operation_only = operation_only_types().get(resource_type)
    interactions = [code for code in interactions if not operation_only or code not in operation_only.refused]
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
        "searchParam": _search_parameters(resource_type, own_parameters.get(resource_type, {})) if searches else [],
        "operation": operations,
    }
    return {name: part for name, part in resource.items() if part != []}


def _own(operations: Sequence[re.Match[str]], resource_type: str) -> list[dict[str, str]]:
    own = [match["name"] for match in operations if match["resource_type"] == resource_type]
    return [{"name": name, "definition": _definition(resource_type, name)} for name in own]


def _of_any_type(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name, "definition": f"{_FHIR_OPERATION}Resource-{name}"} for name in names]


def _definition(resource_type: str, name: str) -> str:
    """The canonical URL of the operation's definition: one of FHIR, or one of our own (in `schemas/fhir`)."""
    own_name = name if resource_type == "Patient" else f"{resource_type.lower()}-{name}"
    operation = (resource_type, name)
    return _FHIR_DEFINITIONS.get(operation, f"{_OWN_OPERATION}{_SHARED_DEFINITIONS.get(operation, own_name)}")


def _search_parameters(resource_type: str, own: Mapping[str, str]) -> list[dict[str, str]]:
    """The search parameters of a type. A type that is in no record and not in the directory is found by `_id` only."""
    known = {name: definition.kind for name, definition in search_parameters(resource_type).items()}
    person = dict.fromkeys(_person_parameters(resource_type), "reference")
    if not person and resource_type != "Patient" and resource_type not in directory_types():
        known = {}
    return [{"name": name, "type": kind} for name, kind in {**person, **_COMMON_PARAMETERS, **known, **own}.items()]


def _person_parameters(resource_type: str) -> Sequence[str]:
    """`patient`, and `subject` where the element of the person has this name, as in FHIR R4."""
    if resource_type == "Patient" or not is_about_a_person(resource_type):
        return ()
    return ("patient", "subject") if patient_compartment()[resource_type][0] == ("subject",) else ("patient",)


def _codes(codes: Sequence[str]) -> list[dict[str, str]]:
    return [{"code": code} for code in codes]
