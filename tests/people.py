"""People for tests: unique NHS numbers of the 999 range, and FHIR resources about these people."""

from __future__ import annotations

import itertools
import secrets
from typing import Any

from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, is_nhs_number

SNOMED = "http://snomed.info/sct"
# Test runs share one Kafka, so each run begins at a random number of the range.
_numbers = itertools.count(secrets.randbelow(9_000_000) * 10)


def new_nhs_number() -> str:
    """A valid NHS number of the 999 range. No other test of this session gets it."""
    return next(number for tail in _numbers if is_nhs_number(number := f"999{tail % 10_000_000:07d}"))


def patient(nhs_number: str, local_id: str, practice: str = "A81001", **elements: Any) -> dict[str, Any]:
    """A source's Patient with this number, registered at this practice."""
    return {
        "resourceType": "Patient",
        "id": local_id,
        "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": nhs_number}],
        "name": [{"family": "Okafor", "given": ["Amina"]}],
        "birthDate": "1941-03-02",
        "generalPractitioner": [{"identifier": {"system": ODS_CODE_SYSTEM, "value": practice}}],
        **elements,
    }


def condition(nhs_number: str, local_id: str, text: str = "Heart failure", **elements: Any) -> dict[str, Any]:
    """A Condition of this person."""
    return {
        "resourceType": "Condition",
        "id": local_id,
        "code": {"coding": [{"system": SNOMED, "code": "84114007", "display": "Heart failure"}], "text": text},
        "subject": {"reference": f"Patient/{nhs_number}"},
        **elements,
    }


def said_at(resource: dict[str, Any], instant: str) -> dict[str, Any]:
    """The same resource, with this instant as `meta.lastUpdated`."""
    return {**resource, "meta": {**resource.get("meta", {}), "lastUpdated": instant}}


def transaction(*resources: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """A transaction Bundle that puts each resource under its own id."""
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries, **elements}
