"""The OpenAPI description of what is served: routes in, document out (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from onestory.shared.fhir.definitions import resource_types

FHIR_JSON = "application/fhir+json"
HTML = "text/html"
EVENTS = "text/event-stream"
_PARAMETER = re.compile(r"\{([^}]+)\}")
_WORD = re.compile(r"[A-Za-z0-9]+")
_BEARER = "bearer"
_CORRELATION = "A UUID that names the request in logs and answers. One is made where none came."
_TEXT = {"type": "string"}
_IN_PATH: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "resource_type": ("A resource type of FHIR R4, such as Condition.", {"$ref": "#/components/schemas/ResourceType"}),
    "id": ("The id of the resource. A person is read by NHS number too.", _TEXT),
    "team": ("The id of a team in the directory.", _TEXT),
    "ods": ("The ODS code of an organisation.", _TEXT),
    "version_id": ("The version: meta.versionId, or what ETag held.", _TEXT),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A header or query parameter that a caller may send, or, where `required`, must. `values`: it takes no others."""

    name: str
    where: Literal["header", "query"]
    description: str
    required: bool = False
    values: Sequence[str] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """Its value, as JSON Schema."""
        return {**_TEXT, "enum": [*self.values]} if self.values else _TEXT


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: in which media types, and the schema of it, as JSON Schema or by the name of a component."""

    media_types: Sequence[str]
    schema: str | Mapping[str, Any]
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that needs mention. `schema` is JSON Schema or the name of a component; without a media type there is
    no body.
    """

    status: int
    description: str
    media_type: str = ""
    schema: str | Mapping[str, Any] = ""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """What a route says of itself beside its address. Refusals are the same everywhere, and need no mention.

    `name` is the operationId, where the interaction alone would not be unique.
    """

    name: str = ""
    parameters: Sequence[Parameter] = ()
    body: Body | None = None
    answers: Sequence[Answer] = ()


NOTHING = RouteDescription()


@dataclass(frozen=True, slots=True)
class RouteOperation:
    """One route. `name` becomes its operationId unless it has one of its own; `is_open` needs no token.

    `html`: whoever prefers it gets a page instead of 200's own media type.
    """

    method: str
    path: str
    name: str
    summary: str
    about: RouteDescription
    is_open: bool = False
    html: bool = False


def document(title: str, version: str, operations: Iterable[RouteOperation]) -> dict[str, Any]:
    """The description, an OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "security": [{_BEARER: []}],
        "paths": paths,
        "components": {
            "securitySchemes": {_BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "headers": {"CorrelationId": {"description": _CORRELATION, "schema": _TEXT}},
            "parameters": {"CorrelationId": _sent(Parameter("X-Correlation-Id", "header", _CORRELATION))},
            "schemas": _schemas(),
            "responses": {
                "Refusal": {
                    "description": "Why not, and how to mend it.",
                    "headers": _headers({}),
                    "content": _content(FHIR_JSON, "OperationOutcome"),
                }
            },
        },
    }


def _operation(operation: RouteOperation) -> dict[str, Any]:
    about = operation.about
    said: dict[str, Any] = {
        "operationId": about.name or _camel(operation.name),
        "summary": operation.summary,
        "parameters": [
            *[_in_path(name) for name in _PARAMETER.findall(operation.path)],
            *[_sent(each) for each in about.parameters],
            {"$ref": "#/components/parameters/CorrelationId"},
        ],
        "responses": {
            **{str(answer.status): _answer(answer, html=operation.html) for answer in about.answers},
            "default": {"$ref": "#/components/responses/Refusal"},
        },
    }
    if about.body:
        said["requestBody"] = _body(about.body)
    if operation.is_open:
        said["security"] = []
    return said


def _in_path(name: str) -> dict[str, Any]:
    description, schema = _IN_PATH.get(name, (name, _TEXT))
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _sent(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
    }


def _body(body: Body) -> dict[str, Any]:
    content = {name: part for each in body.media_types for name, part in _content(each, body.schema).items()}
    return {"description": body.description, "required": True, "content": content}


def _answer(answer: Answer, *, html: bool) -> dict[str, Any]:
    said = {"description": answer.description, "headers": _headers(answer.headers or {})}
    if not answer.media_type:
        return said
    page = _content(HTML, _TEXT) if html and answer.status == 200 else {}
    return {**said, "content": {**_content(answer.media_type, answer.schema), **page}}


def _headers(described: Mapping[str, str]) -> dict[str, Any]:
    own = {name: {"description": says, "schema": _TEXT} for name, says in described.items()}
    return {**own, "X-Correlation-Id": {"$ref": "#/components/headers/CorrelationId"}}


def _content(media_type: str, schema: str | Mapping[str, Any]) -> dict[str, Any]:
    if not schema:
        return {media_type: {}}
    return {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema}}


def _schemas() -> dict[str, Any]:
    # FHIR's own schemas are large and elsewhere: here is what a client needs to tell answers apart.
    issues = {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["severity", "code"]}}
    return {
        "ResourceType": {**_TEXT, "enum": sorted(resource_types())},
        "Resource": _resource(_TEXT, "A resource of FHIR R4, http://hl7.org/fhir/R4/resourcelist.html"),
        "OperationOutcome": _only("OperationOutcome", issue=issues),
        **{each: _only(each) for each in ("Bundle", "CapabilityStatement", "Parameters")},
    }


def _only(resource_type: str, **required: Mapping[str, Any]) -> dict[str, Any]:
    described = f"http://hl7.org/fhir/R4/{resource_type.lower()}.html"
    return _resource({"const": resource_type}, described, **required)


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
