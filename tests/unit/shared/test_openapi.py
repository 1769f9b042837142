"""The OpenAPI 3.1 description of the API, made from the routes."""

from __future__ import annotations

from onestory.shared.http.openapi import (
    FHIR_JSON,
    HTML,
    BodyDescription,
    Parameter,
    ResponseDescription,
    RouteDescription,
    RouteOperation,
    openapi_document,
)

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
            "schema": {"type": "string"},
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
