"""The CapabilityStatement names what the routes answer, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import fhirkit
import orjson

from onestory.record.read.metadata import RouteAddress, capability_statement
from onestory.record.search.filters import SearchParameter, supported_parameter
from onestory.record.search.include import parse_include


def stated(*addresses: RouteAddress) -> dict[str, Any]:
    statement = capability_statement(
        addresses, "https://care.example.org/fhir", "1.0", datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert fhirkit.validate(orjson.dumps(statement).decode()) == []
    rest: dict[str, Any] = statement["rest"][0]
    return rest


def test_what_has_no_route_is_not_promised() -> None:
    rest = stated(RouteAddress("GET", "/fhir/{}/{}"))

    (patient,) = [each for each in rest["resource"] if each["type"] == "Patient"]
    assert patient["interaction"] == [{"code": "read"}]
    assert "searchParam" not in patient
    assert "operation" not in patient
    assert "interaction" not in rest


def test_what_has_a_route_is_promised() -> None:
    rest = stated(
        RouteAddress("POST", "/fhir"),
        RouteAddress("PUT", "/fhir/{}/{}"),
        RouteAddress("GET", "/fhir/{}"),
        RouteAddress("GET", "/fhir/Patient/{}/$everything"),
        RouteAddress("POST", "/fhir/Patient/{}/$everything"),
        RouteAddress("GET", "/fhir/Patient/$everything"),
        RouteAddress("GET", "/fhir/{}/_history"),
        RouteAddress("GET", "/fhir/_history"),
    )

    (patient,) = [each for each in rest["resource"] if each["type"] == "Patient"]
    assert [each["code"] for each in rest["interaction"]] == ["transaction", "batch", "history-system"]
    assert [each["code"] for each in patient["interaction"]] == ["history-type", "search-type", "update"]
    assert {"identifier", "_id", "_lastUpdated", "family", "birthdate"} <= {
        each["name"] for each in patient["searchParam"]
    }
    assert [each["name"] for each in patient["operation"]] == ["everything"]


def test_a_referral_is_changed_by_operations_and_nothing_else_is_promised() -> None:
    rest = stated(RouteAddress("POST", "/fhir/{}"), RouteAddress("PUT", "/fhir/{}/{}"), RouteAddress("PUT", "/fhir/{}"))

    resources = {each["type"]: each for each in rest["resource"]}
    assert "interaction" not in resources["Task"]
    assert resources["ServiceRequest"]["interaction"] == [{"code": "create"}]
    for kind in ("Task", "ServiceRequest"):
        promised = {
            name for name in ("updateCreate", "conditionalCreate", "conditionalUpdate") if resources[kind][name]
        }
        assert promised == set()


def test_the_search_parameters_of_a_type_are_those_that_are_answered() -> None:
    rest = stated(RouteAddress("GET", "/fhir/{}"))

    (condition,) = [each for each in rest["resource"] if each["type"] == "Condition"]
    promised = {each["name"]: each["type"] for each in condition["searchParam"]}
    assert promised["clinical-status"] == "token"
    assert promised["patient"] == "reference"
    assert "date" not in promised
    for name in promised.keys() - {"patient", "subject", "_id", "_lastUpdated"}:
        assert isinstance(supported_parameter("Condition", name, "https://care.example.org/fhir"), SearchParameter)
    for name in condition["searchInclude"]:
        assert parse_include(name, "Condition")
    for name in condition["searchRevInclude"]:
        assert parse_include(name, "Condition")


def test_an_operation_of_every_type_is_listed_for_each() -> None:
    rest = stated(RouteAddress("POST", "/fhir/{}/$validate"), RouteAddress("POST", "/fhir/{}/{}/$validate"))

    assert {tuple(operation["name"] for operation in each["operation"]) for each in rest["resource"]} == {("validate",)}


def test_the_person_is_a_parameter_of_types_about_a_person_only() -> None:
    teams = RouteAddress("GET", "/fhir/HealthcareService")
    rest, with_teams = stated(RouteAddress("GET", "/fhir/{}")), stated(RouteAddress("GET", "/fhir/{}"), teams)

    names = {each["type"]: {one["name"] for one in each["searchParam"]} for each in rest["resource"]}
    assert {"patient", "subject"} <= names["Condition"]
    assert names["AllergyIntolerance"] & {"patient", "subject"} == {"patient"}
    for resource_type in ("Organization", "Practitioner", "Location", "HealthcareService", "Medication", "Binary"):
        assert names[resource_type].isdisjoint({"patient", "subject"})
        assert {"_id", "_lastUpdated"} <= names[resource_type]
    assert {"identifier", "name", "active"} <= names["HealthcareService"]
    (service,) = [each for each in with_teams["resource"] if each["type"] == "HealthcareService"]
    assert {one["name"] for one in service["searchParam"]} == names["HealthcareService"] | {"serves"}
