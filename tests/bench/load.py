"""The input of the benches: transaction Bundles of 25 resources of some 700 bytes, each about one invented person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from tests.people import SNOMED, new_nhs_number, patient

RESOURCES = 25
PRACTICE, SYSTEM, NETWORK = "A81001", "emis-web", "harbour"

_PADDING = "Seen at home with her daughter; walks with a frame, sleeps well, asks for large print. " * 3


def bundles(count: int, resources: int = RESOURCES) -> Iterator[tuple[str, bytes]]:
    """Yield the NHS number and transaction Bundle for each of `count` people."""
    for _ in range(count):
        nhs_number = new_nhs_number()
        yield nhs_number, bundle(nhs_number, resources)


def bundle(nhs_number: str, resources: int) -> bytes:
    """Return a Bundle with a Patient and observations of this person, `resources` in all."""
    person = patient(nhs_number, f"p-{nhs_number}", PRACTICE)
    entries = [_entry(person), *(_entry(_observation(nhs_number, number)) for number in range(1, resources))]
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _entry(resource: dict[str, Any]) -> dict[str, Any]:
    return {"resource": resource, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}}


def _observation(nhs_number: str, number: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"o-{nhs_number}-{number}",
        "meta": {"lastUpdated": f"2026-10-{number % 28 + 1:02d}T09:30:00Z"},
        "status": "final",
        "code": {"coding": [{"system": SNOMED, "code": "75367002", "display": "Blood pressure"}], "text": "BP"},
        "subject": {"reference": f"Patient/{nhs_number}"},
        "effectiveDateTime": "2026-10-01T09:30:00+00:00",
        "valueQuantity": {
            "value": 120 + number,
            "unit": "mm[Hg]",
            "system": "http://unitsofmeasure.org",
            "code": "mm[Hg]",
        },
        "note": [{"text": _PADDING}],
    }
