"""The CapabilityStatement matches the server: each listed interaction answers, and each route is listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.stack import Services

from onestory.shared.fhir.definitions import directory_types, is_about_a_person, refused_types
from onestory.shared.identity import NHS_NUMBER_SYSTEM
from onestory.shared.kafka.schemas import schemas_folder

SYSTEM = "https://practice.example.org/problems"


@dataclass
class Practice:
    """A practice that has published one problem of one person."""

    client: httpx.Client
    number: str
    problem: dict[str, Any]
    document: dict[str, Any]

    @property
    def local_id(self) -> str:
        return f"{self.number}-c"

    @property
    def address(self) -> str:
        return f"/fhir/Condition/{self.problem['id']}"

    def send(self, method: str, path: str, resource: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        return self.client.request(method, path, json=resource, headers={**SENT, **headers})

    def operate(self, method: str, path: str, *, identifier: bool = False) -> httpx.Response:
        """Send an operation; on the type, with the identifier of the person."""
        if method == "GET":
            params = {"identifier": f"{NHS_NUMBER_SYSTEM}|{self.number}"} if identifier else {}
            return self.client.get(path, params=params)
        named = {"name": "identifier", "valueIdentifier": {"system": NHS_NUMBER_SYSTEM, "value": self.number}}
        return self.client.post(
            path, json={"resourceType": "Parameters", **({"parameter": [named]} if identifier else {})}
        )

    def resource(self, local_id: str, **elements: Any) -> dict[str, Any]:
        return condition(self.number, local_id, **elements)

    def identified(self) -> dict[str, Any]:
        """A problem that has an identifier and no id."""
        resource = self.resource("", identifier=[{"system": SYSTEM, "value": self.number}])
        return {name: value for name, value in resource.items() if name != "id"}


@pytest.fixture
def practice(services: Services) -> Iterator[Practice]:
    with services.client("A81001", network="harbour") as client:
        number = new_nhs_number()
        letter = {"resourceType": "Binary", "id": f"{number}-b", "contentType": "text/plain", "data": "TGV0dGVy"}
        said = transaction(patient(number, f"{number}-p"), condition(number, f"{number}-c"), letter)
        client.post("/fhir", json=said, headers=SENT).raise_for_status()
        found = client.get(f"/fhir/Patient/{number}/$everything?_type=Binary,Condition").json()["entry"]
        document, problem = (entry["resource"] for entry in found)
        yield Practice(client, number, problem, document)


Trial = Callable[[Practice], httpx.Response]


def _version(practice: Practice) -> str:
    return str(practice.problem["meta"]["versionId"])


def _operation_trial(method: str, part: str, name: str) -> Trial:
    """Send an operation on a Patient, or on the type if `part` is empty."""
    return lambda p: p.operate(method, f"/fhir/Patient/{part.format(p.number)}${name}", identifier=not part)


# For each route: the interactions that the statement lists for it, the request, and the status of the answer.
TRIALS: dict[tuple[str, str], tuple[set[str], Trial, int]] = {
    ("POST", "/fhir"): (
        {"transaction", "batch"},
        lambda p: p.send("POST", "/fhir", transaction(p.resource("another"))),
        200,
    ),
    ("POST", "/fhir/{}"): ({"create"}, lambda p: p.send("POST", "/fhir/Condition", p.resource("created")), 201),
    ("PUT", "/fhir/{}/{}"): (
        {"update"},
        lambda p: p.send("PUT", f"/fhir/Condition/{p.local_id}", p.resource(p.local_id)),
        200,
    ),
    ("DELETE", "/fhir/{}/{}"): (
        {"delete"},
        lambda p: p.send("DELETE", f"/fhir/Condition/{p.local_id}?patient={p.number}"),
        204,
    ),
    ("GET", "/fhir/{}/{}"): ({"read"}, lambda p: p.send("GET", p.address), 200),
    ("GET", "/fhir/{}/{}/_history/{}"): (
        {"vread"},
        lambda p: p.send("GET", f"{p.address}/_history/{_version(p)}"),
        200,
    ),
    ("GET", "/fhir/Binary/{}"): ({"read"}, lambda p: p.send("GET", f"/fhir/Binary/{p.document['id']}"), 200),
    ("GET", "/fhir/Binary/{}/_history/{}"): (
        {"vread"},
        lambda p: p.send("GET", f"/fhir/Binary/{p.document['id']}/_history/{p.document['meta']['versionId']}"),
        200,
    ),
    ("GET", "/fhir/{}/{}/_history"): ({"history-instance"}, lambda p: p.send("GET", f"{p.address}/_history"), 200),
    ("GET", "/fhir/{}/_history"): (
        {"history-type"},
        lambda p: p.send("GET", f"/fhir/Condition/_history?patient={p.number}"),
        200,
    ),
    ("GET", "/fhir/_history"): ({"history-system"}, lambda p: p.send("GET", f"/fhir/_history?patient={p.number}"), 200),
    ("GET", "/fhir/{}"): ({"search-type"}, lambda p: p.send("GET", f"/fhir/Condition?patient={p.number}"), 200),
    ("POST", "/fhir/{}/_search"): (
        {"search-type"},
        lambda p: p.client.post("/fhir/Condition/_search", data={"patient": p.number}),
        200,
    ),
    ("POST", "/fhir/{}/$validate"): (
        {"validate"},
        lambda p: p.send("POST", "/fhir/Condition/$validate", p.resource("another")),
        200,
    ),
    ("POST", "/fhir/{}/{}/$validate"): (
        {"validate"},
        lambda p: p.send("POST", f"{p.address}/$validate", p.problem),
        200,
    ),
    ("GET", "/fhir/Patient/{}/{}"): (
        {"search-type"},
        lambda p: p.send("GET", f"/fhir/Patient/{p.number}/Condition?clinical-status:missing=true"),
        200,
    ),
    ("POST", "/fhir/Patient/{}/{}/_search"): (
        {"search-type"},
        lambda p: p.client.post(f"/fhir/Patient/{p.number}/Condition/_search", data={"_count": "1"}),
        200,
    ),
    **{
        (method, f"/fhir/Patient/{part}${name}"): ({name}, _operation_trial(method, part, name), 200)
        for name in ("everything", "freshness", "merged", "summary")
        for method in ("GET", "POST")
        for part in ("{}/", "")
    },
    ("PUT", "/fhir/{}"): (
        {"conditionalUpdate"},
        lambda p: p.send("PUT", f"/fhir/Condition?identifier={SYSTEM}|{p.number}", p.identified()),
        201,
    ),
}
# These routes are not listed: the statement itself, and a refusal that names the request to send instead.
# A Binary is written by the routes for any type.
UNLISTED = {
    ("GET", "/fhir/metadata"),
    ("DELETE", "/fhir/{}"),
    ("PUT", "/fhir/Binary/{}"),
    ("DELETE", "/fhir/Binary/{}"),
}
# Tests in tests/integration/referral_api cover the addresses that only the referral service serves.
REFERRALS = (
    "/fhir/Task",
    "/fhir/ServiceRequest",
    "/fhir/Communication/",
    "/fhir/HealthcareService",
    "/fhir/$process-message",
)


# The types whose search parameters are all tried: some of a record, and all of the directory.
TRIED = {"Patient", "Condition", "Observation"} | directory_types()


def listed(statement: dict[str, Any], resource_type: str) -> set[str]:
    """Every interaction, operation and conditional form that the statement lists for a type."""
    rest = statement["rest"][0]
    (resource,) = [each for each in rest["resource"] if each["type"] == resource_type]
    promised = {each["code"] for each in [*rest["interaction"], *resource["interaction"]]}
    promised |= {each["name"] for each in resource.get("operation", [])}
    return promised | {name for name in ("conditionalUpdate",) if resource[name]}


def routes(client: httpx.Client) -> set[tuple[str, str]]:
    """All routes below /fhir, with `{}` for each parameter."""
    paths: dict[str, dict[str, Any]] = client.get("/openapi.json").json()["paths"]
    return {
        (method.upper(), "/".join("{}" if part.startswith("{") else part for part in path.split("/")))
        for path, methods in paths.items()
        for method in methods
        if path.startswith("/fhir") and not path.startswith(REFERRALS)
    }


@pytest.mark.parametrize("route", sorted(TRIALS), ids=" ".join)
def test_every_interaction_that_is_listed_answers(practice: Practice, route: tuple[str, str]) -> None:
    interactions, trial, status = TRIALS[route]
    statement = practice.client.get("/fhir/metadata").json()

    answer = trial(practice)

    assert interactions <= listed(statement, "Patient")
    assert answer.status_code == status, answer.text


def test_nothing_is_listed_but_what_was_tried_and_every_route_was(practice: Practice) -> None:
    statement = practice.client.get("/fhir/metadata").json()

    promised = listed(statement, "Patient") | listed(statement, "Condition")

    assert promised == {name for interactions, _, _ in TRIALS.values() for name in interactions}
    assert routes(practice.client) == TRIALS.keys() | UNLISTED


def test_every_operation_that_is_served_is_listed_with_its_definition(practice: Practice) -> None:
    statement = practice.client.get("/fhir/metadata").json()
    ours = {
        json.loads(path.read_text())["url"] for path in (schemas_folder() / "fhir").glob("OperationDefinition-*.json")
    }

    listed = {
        (each["type"], operation["name"]): operation["definition"]
        for each in statement["rest"][0]["resource"]
        for operation in each.get("operation", ())
    }

    paths = practice.client.get("/openapi.json").json()["paths"]
    # A message belongs to no resource type. /metadata lists the accepted messages.
    parts = [path.split("/") for path in paths if path.startswith("/fhir/") and "/$" in path and "/fhir/$" not in path]
    own = {each for each in listed if each[1] != "validate"}
    assert own == {(part[2], part[-1].removeprefix("$")) for part in parts if part[-1] != "$validate"}
    assert {("Task", "accept"), ("Condition", "validate")} <= listed.keys()
    of_fhir = {
        f"http://hl7.org/fhir/OperationDefinition/{name}" for name in ("Patient-everything", "Resource-validate")
    }
    assert set(listed.values()) == ours | of_fhir


def test_a_condition_that_is_listed_is_kept_and_another_is_refused(practice: Practice) -> None:
    statement = practice.client.get("/fhir/metadata").json()
    (resource,) = [each for each in statement["rest"][0]["resource"] if each["type"] == "Condition"]
    conditions = {name: resource[name] for name in resource if name.startswith("conditional")}
    assert conditions == {
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": True,
        "conditionalDelete": "not-supported",
    }

    created = [
        practice.send(
            "POST",
            "/fhir/Condition",
            practice.identified(),
            **{"If-None-Exist": f"identifier={SYSTEM}|{practice.number}"},
        )
        for _ in range(2)
    ]
    known = practice.client.get(practice.address, headers={"If-None-Match": f'W/"{_version(practice)}"'})
    deleted = practice.send("DELETE", f"/fhir/Condition?identifier={SYSTEM}|{practice.number}")

    stale = practice.send("PUT", practice.address, practice.problem, **{"If-Match": 'W/"1"'})

    assert [answer.status_code for answer in created] == [201, 200]
    assert len({answer.headers["Location"] for answer in created}) == 1
    assert known.status_code == 304
    assert deleted.status_code == 400
    assert (resource["versioning"], resource["updateCreate"], stale.status_code) == ("versioned-update", True, 412)


def test_every_search_parameter_that_is_listed_answers(practice: Practice) -> None:
    statement = practice.client.get("/fhir/metadata").json()
    named = {"patient": practice.number, "subject": f"Patient/{practice.number}"}
    values = {
        "token": "true",
        "date": "ge2020",
        "reference": "Patient/1",
        "string": "x",
        "uri": "https://a.example",
        "quantity": "gt5||mg",
        "number": "0.5",
    }

    for resource in statement["rest"][0]["resource"]:
        resource_type = resource["type"]
        who = {"Patient": "identifier"}.get(resource_type, "patient")
        listed = {each["name"] for each in resource.get("searchParam", ())}
        whose = {who: practice.number} if who in listed and is_about_a_person(resource_type) else {}
        for parameter in resource.get("searchParam", ()) if resource_type in TRIED else ():
            name = parameter["name"]
            value = practice.number if name == who else named.get(name, values[parameter["type"]])
            answer = practice.client.get(f"/fhir/{resource_type}", params={**whose, name: value})
            assert answer.status_code == 200, (answer.url, answer.text)
        # A type that is in the directory is searched without a person, and declares none.
        assert (who in listed) == is_about_a_person(resource_type), resource_type


def test_a_type_that_nobody_can_publish_is_not_listed(practice: Practice) -> None:
    statement = practice.client.get("/fhir/metadata").json()

    types = {each["type"] for each in statement["rest"][0]["resource"]}

    assert types.isdisjoint(refused_types())
    assert {"Patient", "Condition", "Organization", "DocumentReference"} <= types


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/fhir/Condition/1"),
        ("GET", "/fhir"),
        ("POST", "/fhir/_search"),
        ("GET", "/fhir/Patient/1/$summary"),
        ("POST", "/fhir/Patient/$match"),
    ],
)
def test_what_is_not_listed_is_refused_as_fhir(practice: Practice, method: str, path: str) -> None:
    answer = practice.send(method, path, {"resourceType": "Parameters"} if method == "POST" else None)

    assert answer.status_code in (404, 405), answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
