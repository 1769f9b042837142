"""The parameters of an operation: from the query, or from a Parameters resource in the body of a POST.

FHIR R4, http://hl7.org/fhir/R4/operations.html#request. The values become texts, as the query has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from onestory.record.search.parameters import RequestParameters
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.validate import validate

_MAX_PARAMETERS = 100
_PRIMITIVES = {
    *("valueString", "valueCode", "valueId", "valueUri", "valueUrl", "valueCanonical", "valueOid", "valueUuid"),
    *("valueDate", "valueDateTime", "valueInstant", "valueMarkdown"),
    *("valueInteger", "valuePositiveInt", "valueUnsignedInt"),
}


def parse_operation_parameters(body: bytes) -> RequestParameters:
    """The names and values in a Parameters resource; none in an empty body.

    Raises `Malformed` for other JSON, and `Unprocessable` for a resource that is not valid or has an unknown value.
    """
    if not body.strip():
        return []
    if issues := validate(body):
        raise Unprocessable(issues[0].diagnostics, issues=issues)
    resource = orjson.loads(body)
    if resource.get("resourceType") != "Parameters":
        raise Malformed("The body of an operation must be a Parameters resource.", expression="Parameters")
    listed = resource.get("parameter", [])
    if len(listed) > _MAX_PARAMETERS:
        raise Malformed(f"Parameters has too many parameters. Send at most {_MAX_PARAMETERS}.", code="too-costly")
    return list(_pairs(listed))


def _pairs(listed: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for index, parameter in enumerate(listed):
        text = _text(parameter)
        if text is None:
            raise Unprocessable(
                "This parameter has no value that the operation can read. Send a string, code, date, instant, integer, "
                "boolean, Identifier or Reference.",
                code="not-supported",
                expression=f"Parameters.parameter[{index}]",
            )
        yield parameter["name"], text


def _text(parameter: dict[str, Any]) -> str | None:
    for name, value in parameter.items():
        if name in _PRIMITIVES:
            return str(value)
        if name == "valueBoolean":
            return "true" if value else "false"
        if name == "valueReference":
            return str(value["reference"]) if "reference" in value else _token(value.get("identifier", {}))
        if name == "valueIdentifier":
            return _token(value)
    return None


def _token(identifier: dict[str, Any]) -> str | None:
    """The Identifier as `system|value`; None without a value."""
    if not identifier.get("value"):
        return None
    return f"{identifier.get('system', '')}|{identifier['value']}" if identifier.get("system") else identifier["value"]
