"""The operation `$validate`: checks a resource as a publish does first, and publishes nothing.

http://hl7.org/fhir/R4/resource-operation-validate.html. It checks FHIR R4 only. It does not look for the person, so a
valid resource may still be refused when it is published.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from onestory.intake.domain.bundle import ABSENT, resource_type_of
from onestory.shared.errors import Issue, Malformed, NotFound
from onestory.shared.fhir.definitions import resource_types
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.fhir.validate import is_fhir_id, validate
from onestory.shared.http.openapi import FHIR_JSON, BodyDescription, ResponseDescription, RouteDescription
from onestory.shared.http.request import MEDIA_TYPES, read_body
from onestory.shared.policy import Caller
from onestory.shared.worker_processes import LARGE_BODY, WorkerProcesses

_VALID = Issue("informational", "The resource is valid FHIR R4. Nothing was published.", severity="information")


class _Parameter(msgspec.Struct):
    name: str
    resource: msgspec.Raw = ABSENT


class _Parameters(msgspec.Struct):
    parameter: list[_Parameter] = []


class ValidateOperation:
    """`POST [type]/$validate` and `POST [type]/[id]/$validate`, with the resource or with Parameters."""

    def __init__(self, max_body_bytes: int, workers: WorkerProcesses) -> None:
        self._max_body_bytes = max_body_bytes
        self._workers = workers

    async def __call__(self, request: Request, caller: Caller) -> Response:
        """An OperationOutcome with all faults. Raises `Malformed` for a body without a resource of this type."""
        resource_type = request.path_params["resource_type"]
        if resource_type not in resource_types():
            raise NotFound("FHIR R4 has no such resource type.", code="not-supported")
        if not is_fhir_id(request.path_params.get("id", "any")):
            raise NotFound("The id in the URL has a form that FHIR R4 does not allow. Send another one.", code="value")
        body = await read_body(request, self._max_body_bytes)
        if len(body) > LARGE_BODY:
            name = f"{caller.organisation}/{caller.system}"
            issues = await self._workers.run(name, _issues, body, resource_type)
        else:
            issues = _issues(body, resource_type)
        return Response(operation_outcome(issues), media_type=FHIR_JSON)


def _issues(body: bytes, resource_type: str) -> list[Issue]:
    issues = validate(body)
    if not issues and resource_type != "Parameters" and resource_type_of(body) == "Parameters":
        body = _resource_in(body)
        issues = validate(body)
    if issues:
        return list(issues)
    if resource_type_of(body) != resource_type:
        raise Malformed("The type in the URL differs from resourceType. Send the same type.", expression="Resource")
    return [_VALID]


def _resource_in(body: bytes) -> bytes:
    parameters = msgspec.json.decode(body, type=_Parameters).parameter
    for parameter in parameters:
        if parameter.name == "resource" and parameter.resource is not ABSENT:
            return bytes(parameter.resource)
    raise Malformed(
        "Parameters has no parameter with the name resource. Send one with the resource to validate.",
        code="required",
        expression="Parameters.parameter",
    )


def describe_validate(name: str) -> RouteDescription:
    """Return the OpenAPI description of a route of `$validate` with this operationId."""
    return RouteDescription(
        name,
        body=BodyDescription(MEDIA_TYPES, "Resource", "The resource, or Parameters with it as `resource`."),
        responses=[ResponseDescription(200, "The faults, or one information.", FHIR_JSON, "OperationOutcome")],
    )
