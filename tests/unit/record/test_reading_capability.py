"""The CapabilityStatement says what the routes are, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import fhirkit
import orjson

from onestory.record.api.capability import Address, capability_statement


def stated(*addresses: Address) -> dict[str, Any]:
    statement = capability_statement(
        addresses, "https://care.example.org/fhir", "1.0", datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert fhirkit.validate(orjson.dumps(statement).decode()) == []
    rest: dict[str, Any] = statement["rest"][0]
    return rest


def test_what_has_no_route_is_not_promised() -> None:
    rest = stated(Address("GET", "/fhir/{}/{}"))

    (patient,) = [each for each in rest["resource"] if each["type"] == "Patient"]
    assert patient["interaction"] == [{"code": "read"}]
    assert "searchParam" not in patient
    assert "operation" not in patient
    assert "interaction" not in rest


def test_what_has_a_route_is_promised() -> None:
    rest = stated(
        Address("POST", "/fhir"),
        Address("PUT", "/fhir/{}/{}"),
        Address("GET", "/fhir/{}"),
        Address("GET", "/fhir/Patient/{}/$everything"),
    )

    (patient,) = [each for each in rest["resource"] if each["type"] == "Patient"]
    assert [each["code"] for each in rest["interaction"]] == ["transaction", "batch"]
    assert [each["code"] for each in patient["interaction"]] == ["search-type", "update"]
    assert [each["name"] for each in patient["searchParam"]] == ["identifier", "_id", "_lastUpdated"]
    assert [each["name"] for each in patient["operation"]] == ["everything"]
