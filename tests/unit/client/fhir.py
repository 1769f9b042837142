"""Small FHIR resources for the tests of the client."""

from __future__ import annotations

import json
from typing import Any

FIRST_PERSON = "9990000018"
SECOND_PERSON = "9990000026"


def patient(nhs_number: str = FIRST_PERSON, **fields: Any) -> dict[str, Any]:
    identifier = {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": nhs_number}
    return {"resourceType": "Patient", "identifier": [identifier], "name": [{"family": "Okonkwo"}], **fields}


def bundle(*resources: dict[str, Any], kind: str = "transaction", **fields: Any) -> dict[str, Any]:
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": kind, **fields, "entry": entries}


def tags(organisation: str, system: str) -> dict[str, Any]:
    return {
        "tag": [
            {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "code": organisation},
            {"system": "https://onestory.nhs.uk/CodeSystem/source-system", "code": system},
        ]
    }


def dump(resource: dict[str, Any]) -> bytes:
    return json.dumps(resource).encode()
