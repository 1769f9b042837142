"""The person whom a ServiceRequest is about: an NHS number, and never the id of a Patient of another server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.referral.made import PHYSIO

from onestory.referral.lifecycle.creation import ReferralRequest, parse_service_request
from onestory.shared.errors import Unprocessable
from onestory.shared.identity import NHS_NUMBER_SYSTEM

NUMBER = "9000000009"
BASE = "https://onestory.example/fhir"


def parsed(subject: dict[str, Any]) -> ReferralRequest:
    request = {"resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": subject}
    return parse_service_request(
        {**request, "performer": [{"reference": f"HealthcareService/{PHYSIO.team}"}]}, base_url=BASE
    )


@pytest.mark.parametrize(
    "reference",
    [
        f"Patient/{NUMBER}",
        f"{BASE}/Patient/{NUMBER}",
        f"https://int.api.service.nhs.uk/personal-demographics/FHIR/R4/Patient/{NUMBER}",
    ],
)
def test_a_reference_names_the_person(reference: str) -> None:
    assert parsed({"reference": reference}).person.value == NUMBER


@pytest.mark.parametrize(
    "reference",
    [
        f"http://b.example/fhir/Patient/{NUMBER}",
        f"http://b.example/Patient/Patient/{NUMBER}",
        f"urn:uuid:Patient/{NUMBER}",
        "Patient/1",
    ],
)
def test_a_patient_of_another_server_is_no_person(reference: str) -> None:
    number = {"system": NHS_NUMBER_SYSTEM, "value": NUMBER}

    for subject in ({"reference": reference}, {"reference": reference, "identifier": number}):
        with pytest.raises(Unprocessable) as raised:
            parsed(subject)
        assert raised.value.issues[0].expression == "ServiceRequest.subject"
