"""The OpenAPI 3.1 description of the API, made from the routes."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from onestory.shared.http.app import Route
from onestory.shared.http.methods import described_operations
from onestory.shared.http.openapi import (
    FHIR_JSON,
    HTML,
    BodyDescription,
    Parameter,
    ResponseDescription,
    RouteDescription,
    RouteOperation,
    count_schema,
    openapi_document,
)
from onestory.shared.policy import Caller

GREETING = RouteDescription(
    parameters=[Parameter("loud", "query", "How.", values=("yes", "no")), Parameter("X-Whom", "header", "Whom.", True)],
    body=BodyDescription([FHIR_JSON, "application/json"], "Resource", "What to say."),
    responses=[
        ResponseDescription(200, "Said.", FHIR_JSON, "Bundle", {"ETag": "Which."}),
        ResponseDescription(204, "Nothing was said."),
    ],
)


def described(*operations: RouteOperation) -> dict[str, dict[str, dict[str, object]]]:
    paths: dict[str, dict[str, dict[str, object]]] = openapi_document("Test", "1", operations)["paths"]
    return paths


def test_an_operation_tells_what_it_takes() -> None:
    paths = described(RouteOperation("PUT", "/hello/{id}", "say-hello", "greet", GREETING))

    said = paths["/hello/{id}"]["put"]
    assert said["operationId"] == "sayHello"
    assert said["summary"] == "greet"
    assert said["parameters"] == [
        {
            "name": "id",
            "in": "path",
            "required": True,
            "description": "The id of the resource. For Patient an NHS number works too.",
            "schema": {"type": "string", "pattern": r"^[A-Za-z0-9\-.]{1,64}$"},
        },
        {
            "name": "loud",
            "in": "query",
            "required": False,
            "description": "How.",
            "schema": {"type": "string", "enum": ["yes", "no"]},
        },
        {"name": "X-Whom", "in": "header", "required": True, "description": "Whom.", "schema": {"type": "string"}},
        {"$ref": "#/components/parameters/CorrelationId"},
    ]
    resource = {"schema": {"$ref": "#/components/schemas/Resource"}}
    assert said["requestBody"] == {
        "description": "What to say.",
        "required": True,
        "content": {FHIR_JSON: resource, "application/json": resource},
    }


def test_an_operation_tells_what_it_answers_and_that_it_may_refuse() -> None:
    paths = described(RouteOperation("GET", "/hello", "greet", "greet", GREETING, html=True))

    correlation = {"$ref": "#/components/headers/CorrelationId"}
    tag = {"description": "Which.", "schema": {"type": "string"}}
    assert paths["/hello"]["get"]["responses"] == {
        "200": {
            "description": "Said.",
            "headers": {"ETag": tag, "X-Correlation-Id": correlation},
            "content": {
                FHIR_JSON: {"schema": {"$ref": "#/components/schemas/Bundle"}},
                HTML: {"schema": {"type": "string"}},
            },
        },
        "204": {"description": "Nothing was said.", "headers": {"X-Correlation-Id": correlation}},
        "default": {"$ref": "#/components/responses/Refusal"},
    }


def test_only_what_is_open_needs_no_token() -> None:
    nothing = RouteDescription()

    paths = described(
        RouteOperation("GET", "/closed", "closed", "", nothing),
        RouteOperation("GET", "/open", "open", "", nothing, is_open=True),
    )

    assert "security" not in paths["/closed"]["get"]
    assert paths["/open"]["get"]["security"] == []
    assert openapi_document("Test", "1", [])["security"] == [{"bearer": []}]


def schemas_of(*parameters: Parameter, html: bool = False) -> dict[str, object]:
    operation = RouteOperation("GET", "/hello", "hello", "", RouteDescription(parameters=parameters), html=html)
    described = openapi_document("Test", "1", [operation])["paths"]["/hello"]["get"]["parameters"]
    return {each["name"]: each["schema"] for each in described if "name" in each}


def test_a_parameter_states_its_form_and_its_limits() -> None:
    schemas = schemas_of(
        Parameter("_since", "query", "When."),
        Parameter("_count", "query", "How many.", limits=count_schema(1, 200, 50)),
        Parameter("X-Request-Id", "header", "A UUID."),
        Parameter("colour", "query", "Any text."),
    )

    assert schemas == {
        "_since": {"type": "string", "format": "date-time"},
        "_count": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
        "X-Request-Id": {"type": "string", "format": "uuid"},
        "colour": {"type": "string"},
    }


def test_a_page_is_a_format_only_of_routes_that_have_one() -> None:
    wanted = Parameter("_format", "query", "The format.")

    json_names = ["json", "application/json", "application/fhir+json"]
    assert schemas_of(wanted) == {"_format": {"type": "string", "enum": json_names}}
    assert schemas_of(wanted, html=True) == {"_format": {"type": "string", "enum": [*json_names, "html", "text/html"]}}


def test_a_cursor_or_an_entity_tag_without_a_value_counts_as_absent() -> None:
    parameters = [Parameter("_cursor", "query", "Next."), Parameter("If-None-Match", "header", "Known.")]
    patterns = [str(parameter.schema["pattern"]) for parameter in parameters]

    assert all(re.search(pattern, "") for pattern in patterns)
    assert re.search(patterns[1], 'W/"1", "2"')
    assert not re.search(patterns[1], "1")
    assert not re.search(patterns[0], "a b")


async def no_answer(_request: Request, _caller: Caller) -> Response:
    raise AssertionError


def test_an_address_of_one_type_has_the_methods_of_any_type_too() -> None:
    served = [
        Route("GET", "/fhir/{resource_type}/{id}", no_answer, "read", description=RouteDescription("readOne")),
        Route("DELETE", "/fhir/{resource_type}/{id}", no_answer, "delete"),
        Route("GET", "/fhir/Binary/{id}", no_answer, "read Binary"),
        Route("GET", "/fhir/Binary/{id}/$raw", no_answer, "$raw"),
        Route("DELETE", "/fhir/Task/{id}", no_answer, "delete Task"),
        Route("GET", "/fhir/other/{id}", no_answer, "other"),
    ]

    paths = openapi_document("Test", "1", described_operations(served))["paths"]

    assert {path: {*methods} for path, methods in paths.items()} == {
        "/fhir/{resource_type}/{id}": {"get", "delete"},
        "/fhir/Binary/{id}": {"get", "delete"},
        "/fhir/Binary/{id}/$raw": {"get"},
        "/fhir/Task/{id}": {"get", "delete"},
        "/fhir/other/{id}": {"get"},
    }
    operation_ids = [each["operationId"] for methods in paths.values() for each in methods.values()]
    assert len({*operation_ids}) == len(operation_ids)
    assert [each.get("name") for each in paths["/fhir/Task/{id}"]["get"]["parameters"]] == ["id", None]
