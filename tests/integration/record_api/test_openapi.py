"""The OpenAPI description is valid and matches the server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.stack import Services

from onestory.record.provenance.api import TARGET_SEARCH_PARAMETERS
from onestory.record.search.person_parameters import PERSON_PARAMETERS
from onestory.shared.fhir.definitions import is_about_a_person, resource_types, search_parameters

NOT_SUPPORTED = "501"
METHODS = ("get", "post", "put", "delete")
BY_KIND = {
    "token": "true",
    "date": "ge2020",
    "reference": "Patient/1",
    "string": "x",
    "uri": "https://a.example",
    "quantity": "gt5||mg",
    "number": "0.5",
}
OF_TRANSPORT = {"content-length", "content-type", "cache-control", "date"}
SEARCH = "/fhir/{resource_type}"


@dataclass
class Reader:
    """A practice's client that follows the API description.

    It reads one person, and published a problem and a document of theirs.
    """

    client: httpx.Client
    number: str
    published: httpx.Response
    problem: dict[str, Any]
    document: dict[str, Any]

    def description(self) -> dict[str, Any]:
        described: dict[str, Any] = self.client.get("/openapi.json").json()
        return described

    def address(self, path: str) -> str:
        """The path with its parameters filled in."""
        resource = self.document if path.startswith("/fhir/Binary/") else self.problem
        shared_id, version = resource["id"], resource["meta"]["versionId"]
        here = {"resource_type": "Condition", "version_id": version}
        here["id"] = self.number if path.startswith("/fhir/Patient/") else shared_id
        return re.sub(r"\{(\w+)\}", lambda match: here[match[1]], path)

    def value(self, name: str) -> str:
        """A value that the parameter accepts, for every resource type."""
        now = datetime.now(UTC) - timedelta(seconds=1)
        values = {
            **dict.fromkeys(("asOf", "_since", "_lastUpdated"), now.isoformat()),
            **dict.fromkeys((*PERSON_PARAMETERS, "identifier"), self.number),
            **dict.fromkeys(("start", "end"), "2026-11-22"),
            "profile": "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips",
            "_sort": "_lastUpdated",
            "_type": "Condition",
            "_include": "Condition:encounter",
            "_revinclude": "Provenance:target",
            "_summary": "true",
            "after": self.published.headers["X-OneStory-Position"],
            "_format": "json",
            "copy": "person",
        }
        return values.get(name, "1")


@pytest.fixture
def reader(services: Services) -> Iterator[Reader]:
    with services.client("A81001", network="harbour") as client:
        number = new_nhs_number()
        letter = {"resourceType": "Binary", "id": f"{number}-b", "contentType": "text/plain", "data": "TGV0dGVy"}
        said = transaction(patient(number, f"{number}-p"), condition(number, f"{number}-c"), letter)
        published = client.post("/fhir", json=said, headers=SENT).raise_for_status()
        found = client.get(f"/fhir/Patient/{number}/$everything?_type=Binary,Condition").json()["entry"]
        document, problem = (entry["resource"] for entry in found)
        yield Reader(client, number, published, problem, document)


def in_query(operation: dict[str, Any]) -> list[str]:
    return [each["name"] for each in operation["parameters"] if each.get("in") == "query"]


# Tests in tests/integration/referral_api cover the addresses that only the referral service serves.
REFERRALS = ("/fhir/Task", "/fhir/ServiceRequest", "/fhir/HealthcareService", "/fhir/Communication/")


def reads(description: dict[str, Any]) -> dict[str, list[str]]:
    """The record's GET paths that need a token, each with its query parameters."""
    asked = {path: methods["get"] for path, methods in description["paths"].items() if "get" in methods}
    record = {
        path: operation
        for path, operation in asked.items()
        if path.startswith("/fhir") and not path.startswith(REFERRALS)
    }
    return {path: in_query(operation) for path, operation in record.items() if "security" not in operation}


def assert_taken(name: str, answer: httpx.Response) -> None:
    """Check that the answer is 200. Only `_cursor` is refused, because a valid cursor comes only from its own list."""
    assert answer.status_code == (400 if name == "_cursor" else 200), (answer.url, answer.text)
    assert "is not supported" not in answer.text, answer.url


def test_the_description_is_openapi(reader: Reader) -> None:
    openapi_spec_validator.validate(reader.description())


def test_every_operation_has_a_name_of_its_own_and_tells_its_answers(reader: Reader) -> None:
    paths = reader.description()["paths"]
    operations = [paths[path][method] for path in paths for method in METHODS if method in paths[path]]

    names = [each["operationId"] for each in operations]
    silent = {each["operationId"] for each in operations if not any(code < "3" for code in each["responses"])}
    not_supported = {each["operationId"] for each in operations if NOT_SUPPORTED in each["responses"]}

    assert len({*names}) == len(names)
    assert silent == {"deleteBySearchHealthcareService", "deleteBySearch"} | not_supported
    assert all(name.startswith("bars") for name in not_supported)


def test_every_parameter_of_a_read_is_taken_and_no_other(reader: Reader) -> None:
    for path, names in reads(reader.description()).items():
        whose = whose_record(path, reader)
        for name in names if path != SEARCH else []:
            answer = reader.client.get(reader.address(path), params={**whose, name: reader.value(name)})
            assert_taken(name, answer)

        refused = reader.client.get(reader.address(path), params={**whose, "colour": "blue"})
        assert refused.status_code == 400, path
        assert "is not supported" in refused.text, path
        assert path == SEARCH or set(names) <= named_in(refused), path


def named_in(refused: httpx.Response) -> set[str]:
    """The words of a refusal, in which it names what can be sent instead."""
    return set(re.findall(r"[A-Za-z_:.-]*[A-Za-z]", refused.json()["issue"][0]["diagnostics"]))


def whose_record(path: str, reader: Reader) -> dict[str, str]:
    """The parameter that names the person, where the path does not."""
    if "{id}" in path:
        return {}
    return {"identifier" if "/$" in path else "patient": reader.number}


def test_every_parameter_of_a_search_is_taken_for_some_type(reader: Reader) -> None:
    names = reads(reader.description())[SEARCH]
    types = [*sorted(resource_types() - {"Patient"}), "Patient"]

    for name in names:
        resource_type = next((each for each in types if name in search_parameters(each)), "Condition")
        known = search_parameters(resource_type).get(name)
        who = "identifier" if resource_type == "Patient" else "patient"
        whose = {who: reader.number} if is_about_a_person(resource_type) else {}
        value = BY_KIND[known.kind] if known else reader.value(name)
        answer = reader.client.get(f"/fhir/{resource_type}", params={**whose, name: value})
        assert_taken(name, answer)

    assert {*names} >= {name for each in types for name in search_parameters(each)} | TARGET_SEARCH_PARAMETERS


def test_a_search_takes_the_same_by_form(reader: Reader) -> None:
    description = reader.description()

    (form,) = description["paths"]["/fhir/{resource_type}/_search"]["post"]["requestBody"]["content"].values()

    assert [*form["schema"]["properties"]] == reads(description)[SEARCH]


def test_the_headers_and_the_form_of_an_answer_are_described(reader: Reader) -> None:
    description, client = reader.description(), reader.client
    paths = description["paths"]

    created = client.post("/fhir/Condition", json=condition(reader.number, "created"), headers=SENT)
    page = client.get(f"/fhir/Patient/{reader.number}/$summary", headers={"Accept": "text/html"})
    answers = [(paths["/fhir"]["post"], reader.published), (paths[SEARCH]["post"], created)]
    answers.append((paths["/fhir/Patient/{id}/$summary"]["get"], page))
    for path in reads(description):
        whose = whose_record(path, reader)
        answers.append((paths[path]["get"], client.get(reader.address(path), params=whose)))

    for operation, answer in answers:
        described = operation["responses"][str(answer.status_code)]
        assert {*answer.headers} - OF_TRANSPORT <= {name.lower() for name in described["headers"]}
        media_type = answer.headers.get("Content-Type", "").partition(";")[0]
        assert not answer.content or {media_type, "*/*"} & described["content"].keys()


def test_nothing_that_is_made_up_by_the_description_breaks_the_server(reader: Reader) -> None:
    headers = {"Authorization": reader.client.headers["Authorization"]}
    schema = schemathesis.openapi.from_dict(reader.description())
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]

    # This test does not read a stream of events to its end.
    for each in schema.exclude(path_regex="/events$").get_all_operations():
        assert isinstance(each, Ok)
        operation = each.ok()
        if NOT_SUPPORTED in operation.definition.raw["responses"]:
            # Its answer is a server error by the rules of HTTP, and the only one that it has.
            continue

        @settings(max_examples=5, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
        @given(case=operation.as_strategy())
        def is_answered(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(base_url=str(reader.client.base_url), headers=headers, checks=checks)

        is_answered()
