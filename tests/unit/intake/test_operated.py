"""Only operations make and change referrals. Intake does not treat a published request as a referral."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.intake.door import (
    AMINA,
    BEN,
    SOURCE,
    bundle,
    decide,
    person,
    place,
    post,
    posted,
    put,
    refused,
    shared_id,
    statement,
)
from tests.unit.intake.test_http import HttpDoor, issues

from onestory.intake.domain.request import KnownResource, PublisherClaims, Submission
from onestory.shared.errors import Forbidden, NotAllowed
from onestory.shared.events import REFERRAL_SYSTEM, Source

TEAM = {"reference": "HealthcareService/abcdefghijklmnopqrstuvwxyz"}
REFERRALS = Source("A81001", REFERRAL_SYSTEM)


@pytest.fixture
def door() -> HttpDoor:
    return HttpDoor()


def request(local_id: str = "s1", *performers: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """A ServiceRequest from a source."""
    said = {
        "resourceType": "ServiceRequest",
        "id": local_id,
        "status": "active",
        "intent": "order",
        "code": {"text": "District nursing"},
        "subject": {"reference": f"Patient/{AMINA}"},
        **elements,
    }
    return {**said, "performer": list(performers)} if performers else said


def task(local_id: str = "t1") -> dict[str, Any]:
    subject = {"reference": f"Patient/{AMINA}"}
    return {"resourceType": "Task", "id": local_id, "status": "requested", "intent": "order", "for": subject}


@pytest.mark.parametrize(
    ("method", "path", "allowed", "instead"),
    [
        ("POST", "/fhir/Task", "GET", "POST /fhir/ServiceRequest"),
        ("PUT", "/fhir/Task/t1", "GET", "$accept"),
        ("PUT", "/fhir/Task?identifier=https://a.example|1", "GET", "$accept"),
        ("DELETE", "/fhir/Task/t1", "GET", "$cancel"),
        ("DELETE", "/fhir/Task", "GET", "$cancel"),
        ("PUT", "/fhir/ServiceRequest/s1", "GET", "$cancel"),
        ("PUT", "/fhir/ServiceRequest?identifier=https://a.example|1", "GET, POST", "POST /fhir/ServiceRequest"),
        ("DELETE", "/fhir/ServiceRequest/s1", "GET", "$correct"),
        ("DELETE", "/fhir/ServiceRequest", "GET, POST", "$correct"),
        # Where the referral service does not run, a publisher must not believe that a person was referred.
        ("POST", "/fhir/ServiceRequest", "GET", "POST /fhir/ServiceRequest"),
    ],
)
def test_a_referral_is_no_statement_and_the_refusal_says_what_to_do(
    door: HttpDoor, method: str, path: str, allowed: str, instead: str
) -> None:
    body = task() if "Task" in path else request()

    answer = door.send(method, path, None if method == "DELETE" else body, If_Match='W/"1"')

    (issue,) = issues(answer)
    assert (answer.status_code, answer.headers["Allow"], issue["code"]) == (
        405,
        ", ".join(sorted({*allowed.split(", "), "HEAD", "OPTIONS"})),
        "not-supported",
    )
    assert instead in issue["diagnostics"]
    assert door.broker.sent == []


def test_in_a_bundle_they_are_statements_like_any_other() -> None:
    prepared = decide(post(posted("transaction", request(), task())))

    assert [entry.resource_type for entry in statement(prepared).entries] == ["ServiceRequest", "Task"]


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_a_request_that_looks_sent_is_told_to_be_none(door: HttpDoor, kind: str) -> None:
    answer = door.send("POST", "/fhir", posted(kind, request("s1", TEAM), request("s2", TEAM, status="completed")))

    looks_sent, history = [entry["response"] for entry in answer.json()["entry"]]
    (issue,) = looks_sent["outcome"]["issue"]
    assert (looks_sent["status"], issue["severity"]) == ("201 Created", "warning")
    assert "POST /fhir/ServiceRequest" in issue["diagnostics"]
    assert "outcome" not in history


@pytest.mark.parametrize(
    ("performer", "looks_sent"),
    [
        (TEAM, True),
        ({"reference": "https://elsewhere.example/fhir/HealthcareService/7"}, True),
        ({"type": "HealthcareService", "display": "District nurses"}, True),
        ({"identifier": {"system": "https://fhir.nhs.uk/Id/dos-service-id", "value": "2000"}}, True),
        ({"identifier": {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RX1"}}, False),
        ({"reference": "Organization/lab"}, False),
        ({"display": "The laboratory"}, False),
    ],
)
def test_only_a_request_of_a_team_looks_sent(door: HttpDoor, performer: dict[str, Any], looks_sent: bool) -> None:
    answer = door.send("POST", "/fhir", bundle("collection", request("s1", performer)))

    (entry,) = answer.json()["entry"]
    severities = [issue["severity"] for issue in entry["response"].get("outcome", {}).get("issue", ())]
    assert severities == (["warning"] if looks_sent else [])


def test_a_message_that_was_published_is_told_to_be_none_whoever_was_to_do_it(door: HttpDoor) -> None:
    header = {
        "resourceType": "MessageHeader",
        "id": "m1",
        "eventCoding": {
            "system": "https://a.example/message-events",
            "code": "request",
        },
        "source": {"endpoint": "https://a.example"},
        "focus": [{"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}],
    }

    answer = door.send("POST", "/fhir", bundle("message", header, request()))

    assert answer.status_code == 202, answer.text
    (warning,) = answer.json()["entry"][1]["response"]["outcome"]["issue"]
    assert "$process-message" in warning["diagnostics"]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("resource", [request(), task()])
def test_a_referral_made_here_is_not_overwritten_by_a_bundle_either(method: str, resource: dict[str, Any]) -> None:
    kind = resource["resourceType"]
    own = shared_id(AMINA, kind, "r1", REFERRALS)
    known = {own: KnownResource(person(AMINA), REFERRALS, kind, "r1")}
    entry: dict[str, Any] = {"request": {"method": method, "url": f"{kind}/{own}"}}
    if method == "PUT":
        entry["resource"] = {**resource, "id": own}

    error = refused(post({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}), known=known)

    assert isinstance(error, Forbidden)
    assert "$" in error.issues[0].diagnostics


@pytest.mark.parametrize("name", [REFERRAL_SYSTEM, REFERRAL_SYSTEM.upper()])
@pytest.mark.parametrize("where", ["token", "header", "tag"])
def test_nobody_speaks_as_the_system_that_says_referrals(where: str, name: str) -> None:
    tag = {"system": "https://onestory.nhs.uk/CodeSystem/source-system", "code": name}
    said = bundle("collection", request(), **({"meta": {"tag": [tag]}} if where == "tag" else {}))

    error = refused(
        post(said),
        system=name if where == "token" else SOURCE.system,
        said=PublisherClaims(system=name if where == "header" else None),
    )

    assert isinstance(error, Forbidden)


def test_the_person_of_a_referral_may_be_spoken_of_as_before() -> None:
    condition = {"resourceType": "Condition", "id": "c1", "subject": {"reference": f"Patient/{BEN}"}}

    assert len(decide(put(condition)).events) == 1


def test_the_refusal_stands_at_the_type() -> None:
    error = refused(replace(put(task()), method="PUT"))

    assert isinstance(error, NotAllowed)
    assert place(error) == "Task"
    assert isinstance(refused(Submission("DELETE", resource_type="ServiceRequest", resource_id="s1")), NotAllowed)
