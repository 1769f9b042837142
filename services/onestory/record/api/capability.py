"""The CapabilityStatement: what this server does, told from the routes that it has.

FHIR R4, http://hl7.org/fhir/R4/capabilitystatement.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from onestory.record.domain.search import include
from onestory.shared.fhir.definitions import operated_types, refused_types, resource_types, search_parameters

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


class Address(NamedTuple):
    """One route: its method, and its path with `{}` for each parameter."""

    method: str
    path: str


def capability_statement(addresses: Iterable[Address], base: str, version: str, at: datetime) -> dict[str, Any]:
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
