"""Builds the OpenAPI 3.1 document from the routes (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from onestory.shared.fhir.definitions import resource_types
from onestory.shared.http.media_types import EVENT_STREAM as EVENT_STREAM
from onestory.shared.http.media_types import FHIR_JSON as FHIR_JSON
from onestory.shared.http.media_types import HTML as HTML
from onestory.shared.http.media_types import JSON

_PARAMETER = re.compile(r"\{([^}]+)\}")
_WORD = re.compile(r"[A-Za-z0-9]+")
_BEARER = "bearer"
_CORRELATION_TEXT = (
    "A UUID that identifies the request in logs and responses. The server makes one if the request has none."
)
_CORRELATION = ("header", "X-Correlation-Id")
_TEXT = {"type": "string"}
_FHIR_ID = {**_TEXT, "pattern": r"^[A-Za-z0-9\-.]{1,64}$"}
_UUID = {**_TEXT, "format": "uuid"}
_INSTANT = {**_TEXT, "format": "date-time"}
_ENTITY_TAGS = {**_TEXT, "pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'}
# Without a value, these two count as absent.
_CURSOR = {**_TEXT, "pattern": r"^[A-Za-z0-9_-]*$"}
_ENTITY_TAGS_OR_NONE = {**_TEXT, "pattern": rf"{_ENTITY_TAGS['pattern']}|^$"}
_ODS_CODE = {**_TEXT, "pattern": r"^[A-Za-z0-9]{1,20}$"}
_JSON_NAMES = ("json", JSON, FHIR_JSON)
_SCHEMAS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("header", "Idempotency-Key"): {**_TEXT, "minLength": 1, "maxLength": 255, "pattern": r"^[ -~]*[!-~][ -~]*$"},
    ("header", "If-Match"): _ENTITY_TAGS,
    ("header", "If-None-Match"): _ENTITY_TAGS_OR_NONE,
    ("header", "X-Request-Id"): _UUID,
    ("header", "X-Sequence"): {"type": "integer", "minimum": 0},
    ("query", "_cursor"): _CURSOR,
    ("query", "cursor"): _CURSOR,
    ("query", "_lastUpdated"): {
        **_TEXT,
        "pattern": r"^(eq|ne|lt|gt|le|ge|sa|eb)?[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9:]{5})?)?)?)?$",
    },
    ("query", "_since"): _INSTANT,
    ("query", "_type"): {**_TEXT, "pattern": r"^[A-Z][A-Za-z]+(,[A-Z][A-Za-z]+)*$"},
    ("query", "after"): {**_TEXT, "pattern": r"^[rdf][0-9]{1,6}-[0-9]{1,18}(\.[rdf][0-9]{1,6}-[0-9]{1,18})*$"},
    ("query", "patient:identifier"): {**_TEXT, "pattern": r"^https://fhir\.nhs\.uk/Id/nhs-number\|[0-9]{10}$"},
    ("query", "requester"): _ODS_CODE,
    ("query", "asOf"): _INSTANT,
    ("query", "since"): _INSTANT,
    ("query", "_format"): {**_TEXT, "enum": [*_JSON_NAMES]},
}
"""The form of the values of parameters that several routes have."""
_PATH_PARAMETERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "resource_type": ("A resource type of FHIR R4, such as Condition.", {"$ref": "#/components/schemas/ResourceType"}),
    "id": ("The id of the resource. For Patient an NHS number works too.", _FHIR_ID),
    "team": ("The id of a team in the directory.", _FHIR_ID),
    "ods": ("The ODS code of an organisation.", _ODS_CODE),
    "version_id": ("The version: meta.versionId, or the value of the ETag.", _FHIR_ID),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A header or query parameter.

    `values` lists all values that it accepts; empty: any text. `limits` has JSON Schema such as `count_schema`; without
    it the schema for the name counts, where there is one.
    """

    name: str
    where: Literal["header", "query"]
    description: str
    required: bool = False
    values: Sequence[str] = ()
    limits: Mapping[str, Any] | None = None

    @property
    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema of its value."""
        if self.values:
            return {**_TEXT, "enum": [*self.values]}
        return self.limits or _SCHEMAS.get((self.where, self.name), _TEXT)


def count_schema(least: int, most: int, default: int) -> Mapping[str, Any]:
    """Return the JSON Schema for the number of entries on a page."""
    return {"type": "integer", "minimum": least, "maximum": most, "default": default}


@dataclass(frozen=True, slots=True)
class BodyDescription:
    """A request body: its media types, and its schema as JSON Schema or as the name of a component."""

    media_types: Sequence[str]
    schema: str | Mapping[str, Any]
    description: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class ResponseDescription:
    """One response of a route. Without a media type it has no body.

    `schema` is JSON Schema or the name of a component. `headers` maps a header's name to its description.
    """

    status: int
    description: str
    media_type: str = ""
    schema: str | Mapping[str, Any] = ""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """The parameters, body and responses of a route. Error responses are the same everywhere and are not listed.

    `operation_id` is needed only where the interaction is not unique.
    """

    operation_id: str = ""
    parameters: Sequence[Parameter] = ()
    body: BodyDescription | None = None
    responses: Sequence[ResponseDescription] = ()


NO_DESCRIPTION = RouteDescription()


@dataclass(frozen=True, slots=True)
class RouteOperation:
    """One route in the document. `name` becomes its operationId unless the description has one.

    `is_open`: the route needs no token. `html`: a client that prefers HTML gets a page as the 200 response.
    """

    method: str
    path: str
    name: str
    summary: str
    description: RouteDescription
    is_open: bool = False
    html: bool = False

    def at(self, path: str, resource_type: str) -> RouteOperation:
        """Return the same operation at an address of one type, with a name of its own."""
        description = self.description
        if description.operation_id:
            description = replace(description, operation_id=f"{description.operation_id}{resource_type}")
        return replace(self, path=path, name=f"{self.name} {resource_type}", description=description)


def openapi_document(title: str, version: str, operations: Iterable[RouteOperation]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document as JSON values."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "security": [{_BEARER: []}],
        "paths": paths,
        "components": {
            "securitySchemes": {_BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "headers": {"CorrelationId": {"description": _CORRELATION_TEXT, "schema": _TEXT}},
            "parameters": {"CorrelationId": _parameter(Parameter("X-Correlation-Id", "header", _CORRELATION_TEXT))},
            "schemas": _schemas(),
            "responses": {
                "Refusal": {
                    "description": "The reason of the refusal, and its remedy.",
                    "headers": _headers({}),
                    "content": _content(FHIR_JSON, "OperationOutcome"),
                }
            },
        },
    }


def _operation(operation: RouteOperation) -> dict[str, Any]:
    description = operation.description
    described = {(parameter.where, parameter.name) for parameter in description.parameters}
    members: dict[str, Any] = {
        "operationId": description.operation_id or _camel(operation.name),
        "summary": operation.summary,
        "parameters": [
            *[_path_parameter(name) for name in _PARAMETER.findall(operation.path)],
            *[
                _parameter(_with_page(parameter) if operation.html else parameter)
                for parameter in description.parameters
            ],
            # A BaRS address requires the header, and describes it itself.
            *([] if _CORRELATION in described else [{"$ref": "#/components/parameters/CorrelationId"}]),
        ],
        "responses": {
            **{str(response.status): _response(response, html=operation.html) for response in description.responses},
            "default": {"$ref": "#/components/responses/Refusal"},
        },
    }
    if description.body:
        members["requestBody"] = _body(description.body)
    if operation.is_open:
        members["security"] = []
    return members


def _path_parameter(name: str) -> dict[str, Any]:
    description, schema = _PATH_PARAMETERS.get(name, (name, _TEXT))
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _with_page(parameter: Parameter) -> Parameter:
    is_format = (parameter.where, parameter.name) == ("query", "_format")
    return replace(parameter, values=[*_JSON_NAMES, "html", HTML]) if is_format else parameter


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }


def _body(body: BodyDescription) -> dict[str, Any]:
    content = {
        name: part for media_type in body.media_types for name, part in _content(media_type, body.schema).items()
    }
    return {"description": body.description, "required": body.required, "content": content}


def _response(response: ResponseDescription, *, html: bool) -> dict[str, Any]:
    members = {"description": response.description, "headers": _headers(response.headers or {})}
    if not response.media_type:
        return members
    page = _content(HTML, _TEXT) if html and response.status == 200 else {}
    return {**members, "content": {**_content(response.media_type, response.schema), **page}}


def _headers(descriptions: Mapping[str, str]) -> dict[str, Any]:
    headers = {name: {"description": text, "schema": _TEXT} for name, text in descriptions.items()}
    return {**headers, "X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}}


def _content(media_type: str, schema: str | Mapping[str, Any]) -> dict[str, Any]:
    if not schema:
        return {media_type: {}}
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema}}


def _schemas() -> dict[str, Any]:
    # FHIR publishes its own large schemas. These are small: a client can tell the responses apart by them.
    issues = {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["severity", "code"]}}
    return {
        "ResourceType": {**_TEXT, "enum": sorted(resource_types())},
        "Resource": _resource(_TEXT, "A resource of FHIR R4, http://hl7.org/fhir/R4/resourcelist.html"),
        "OperationOutcome": _schema_of("OperationOutcome", issue=issues),
        **{kind: _schema_of(kind) for kind in ("Bundle", "CapabilityStatement", "Parameters")},
    }


def _schema_of(resource_type: str, **required: Mapping[str, Any]) -> dict[str, Any]:
    description = f"http://hl7.org/fhir/R4/{resource_type.lower()}.html"
    return _resource({"const": resource_type}, description, **required)


def _resource(resource_type: Mapping[str, Any], description: str, **required: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "required": ["resourceType", *required],
        "properties": {"resourceType": resource_type, **required},
    }


def _camel(name: str) -> str:
    first, *others = _WORD.findall(name)
    return str(first) + "".join(word[:1].upper() + word[1:] for word in others)
