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

from onestory.shared.fhir.definitions import refused_types
from onestory.shared.kafka.schemas import schemas_folder

SYSTEM = "https://practice.example.org/problems"


@dataclass
class Practice:
    """A practice that has published one problem of one person."""

    client: httpx.Client
    number: str
    problem: dict[str, Any]

    @property
    def local_id(self) -> str:
        return f"{self.number}-c"

    @property
    def address(self) -> str:
        return f"/fhir/Condition/{self.problem['id']}"

    def send(self, method: str, path: str, resource: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        return self.client.request(method, path, json=resource, headers={**SENT, **headers})

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
        said = transaction(patient(number, f"{number}-p"), condition(number, f"{number}-c"))
        client.post("/fhir", json=said, headers=SENT).raise_for_status()
        found = client.get(f"/fhir/Condition?patient={number}").json()["entry"][0]["resource"]
        yield Practice(client, number, found)


Trial = Callable[[Practice], httpx.Response]


def _version(practice: Practice) -> str:
    return str(practice.problem["meta"]["versionId"])


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
    ("GET", "/fhir/Patient/{}/$everything"): (
        {"everything"},
        lambda p: p.send("GET", f"/fhir/Patient/{p.number}/$everything"),
        200,
    ),
    ("GET", "/fhir/Patient/{}/$freshness"): (
        {"freshness"},
        lambda p: p.send("GET", f"/fhir/Patient/{p.number}/$freshness"),
        200,
    ),
    ("GET", "/fhir/Patient/{}/$merged"): (
        {"merged"},
        lambda p: p.send("GET", f"/fhir/Patient/{p.number}/$merged"),
        200,
    ),
    ("GET", "/fhir/Patient/{}/$summary"): (
        {"summary"},
        lambda p: p.send("GET", f"/fhir/Patient/{p.number}/$summary"),
        200,
    ),
    ("PUT", "/fhir/{}"): (
        {"conditionalUpdate"},
        lambda p: p.send("PUT", f"/fhir/Condition?identifier={SYSTEM}|{p.number}", p.identified()),
        201,
    ),
}
# These routes are not listed: the statement itself, and a refusal that names the request to send instead.
UNLISTED = {("GET", "/fhir/metadata"), ("DELETE", "/fhir/{}")}
# Tests in tests/integration/referral_api cover the addresses that only the referral service serves.
REFERRALS = (
    "/fhir/Task",
    "/fhir/ServiceRequest",
    "/fhir/Communication/",
    "/fhir/HealthcareService",
    "/fhir/$process-message",
)


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
    assert listed.keys() == {(part[2], part[-1].removeprefix("$")) for part in parts}
    assert ("Task", "accept") in listed
    assert set(listed.values()) == ours | {"http://hl7.org/fhir/OperationDefinition/Patient-everything"}


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


def test_every_search_parameter_that_is_listed_is_known(practice: Practice) -> None:
    statement = practice.client.get("/fhir/metadata").json()
    named = {"patient": practice.number, "subject": f"Patient/{practice.number}", "identifier": practice.number}
    values = {"token": "1", "date": "ge2020", "reference": "1", "string": "x"}

    for resource_type in ("Patient", "Condition", "Organization"):
        (resource,) = [each for each in statement["rest"][0]["resource"] if each["type"] == resource_type]
        who = "identifier" if resource_type == "Patient" else "patient"
        for parameter in resource["searchParam"]:
            value = named.get(parameter["name"], values[parameter["type"]])
            asked = {who: practice.number, parameter["name"]: value}
            assert practice.client.get(f"/fhir/{resource_type}", params=asked).status_code == 200


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
