"""An urgent request whose clinical status lacks its system is taken with a warning; any other one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.bars import one, published, resources
from tests.contract.shared_data import needs_shared_data

from onestory.referral.bars.repair import parse_repaired, with_status_systems

pytestmark = needs_shared_data

Json = dict[str, Any]
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def stat(**condition: Any) -> Json:
    """A published request for an ambulance, with these elements in its Condition."""
    said = published("REFREQ8A")
    for resource in resources(said):
        resource.pop("_id", None)
    one(said, "Condition").update(condition)
    return said


def encoded(said: Json) -> bytes:
    return json.dumps(said).encode()


def test_a_stat_request_without_the_system_is_taken_with_a_warning() -> None:
    said = stat(
        clinicalStatus={"coding": [{"code": "active"}]}, verificationStatus={"coding": [{"code": "provisional"}]}
    )

    parsed = parse_repaired(encoded(said))

    condition = one(json.loads(parsed.body), "Condition")
    assert condition["clinicalStatus"] == {"coding": [{"code": "active", "system": _CLINICAL}]}
    assert [(warning.severity, warning.code) for warning in parsed.warnings] == [("warning", "incomplete")] * 2
    assert parsed.warnings[0].expression.endswith(".clinicalStatus.coding.system")
    assert parsed.message.first_entry("Condition") is not None


@pytest.mark.parametrize("name", ["REFREQ03", "REFREQ01"])
def test_a_request_that_is_less_urgent_is_left_to_be_refused(name: str) -> None:
    said = published(name)
    kind = "Condition" if name == "REFREQ03" else "AllergyIntolerance"
    one(said, kind)["clinicalStatus"] = {"coding": [{"code": "active"}]}

    parsed = parse_repaired(encoded(said))

    assert (parsed.body, parsed.warnings) == (encoded(said), ())


@pytest.mark.parametrize(
    "status",
    [
        {"coding": [{"code": "ill"}]},
        {"coding": [{"code": "active", "system": "http://example.org/own"}]},
        {"coding": "active"},
        {"text": "active"},
        [],
    ],
)
def test_nothing_else_is_repaired(status: Any) -> None:
    body = encoded(stat(clinicalStatus=status))

    assert with_status_systems(body) == (body, [])


def test_all_other_bytes_stay_as_they_are() -> None:
    text = json.dumps(stat(clinicalStatus={"coding": [{"code": "active"}]}))
    body = text.replace(
        '"resourceType": "Observation"', '"resourceType": "Observation", "valueQuantity": {"value": 1.00}'
    )

    repaired, warnings = with_status_systems(body.encode())

    assert len(warnings) == 1
    assert b'"value": 1.00' in repaired
    assert with_status_systems(repaired) == (repaired, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"clinicalStatus"',
        b'["clinicalStatus"]',
        b'{"entry":"clinicalStatus"}',
        b'{"entry":[{"clinicalStatus":{}}]}',
        b'{"entry":[{"resource":{"clinicalStatus":{}}}]}',
    ],
)
def test_a_body_that_is_no_bundle_is_left_to_the_parser(body: bytes) -> None:
    assert with_status_systems(body) == (body, [])
