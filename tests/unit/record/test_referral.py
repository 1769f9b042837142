"""The organisations that have a referral, by its status; and the people whose records are restricted."""

from __future__ import annotations

import json

import pytest

from onestory.record.person.labels import is_restricted
from onestory.record.projector.referral import responsible_organisations

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


@pytest.mark.parametrize("status", ["requested", "received", "accepted", "in-progress", "on-hold"])
def test_a_referral_is_with_its_holder_and_with_whom_it_has_come_to(status: str) -> None:
    assert responsible_organisations("RZ1", "A81001", status) == {"A81001", "RZ1"}


@pytest.mark.parametrize("status", ["draft", "rejected", "failed", "cancelled", "entered-in-error", "completed", "?"])
def test_who_has_not_got_it_or_has_given_it_back_does_not_have_it(status: str) -> None:
    assert responsible_organisations("RZ1", "A81001", status) == {"A81001"}
    assert responsible_organisations("RZ1", None, status) == set()


def _labelled(*labels: dict[str, str]) -> bytes:
    return json.dumps({"resourceType": "Patient", "meta": {"security": list(labels)}}).encode()


@pytest.mark.parametrize(
    "patient",
    [
        _labelled({"system": CONFIDENTIALITY, "code": "R"}),
        _labelled({"system": CONFIDENTIALITY, "code": "N"}, {"system": CONFIDENTIALITY, "code": "V"}),
        _labelled({"system": "http://hl7.org/fhir/v3/Confidentiality", "code": "V"}),
        _labelled({"code": "R"}),
        b'{"meta":{"security":"R"}}',
    ],
)
def test_restricted_people_are_known_by_any_spelling(patient: bytes) -> None:
    assert is_restricted(patient)


@pytest.mark.parametrize(
    "patient",
    [
        b"{}",
        b'{"meta":{}}',
        _labelled(),
        _labelled({"system": CONFIDENTIALITY, "code": "U"}, {"system": CONFIDENTIALITY, "code": "N"}),
        _labelled({"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "R"}),
    ],
)
def test_others_are_not(patient: bytes) -> None:
    assert not is_restricted(patient)
