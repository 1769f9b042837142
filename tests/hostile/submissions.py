"""Hostile submissions to intake: mutated FHIR, garbled JSON, and requests that no client should send."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.contract.shared_data import DATA
from tests.hostile.mutation import Json, garbled, mutated, written
from tests.hostile.odd_requests import ODD_ADDRESSES, ODD_HEADERS, PACKINGS
from tests.hostile.wire import Request
from tests.people import condition, new_nhs_number, patient, transaction

ORGANISATION = "HOSTILE"
_LARGEST_EXAMPLE = 60_000
# Published examples are about other people. They are changed and sent with the NHS numbers that they have.
_EXAMPLES = (
    "ips/Bundle-IPS-examples-Bundle-01.json",
    "bars-messages",
    "nhs-frameworks",
    "pathology",
    "uk-patient-summary",
)


class Submissions:
    """As many hostile submissions as are needed. The same seed gives the same ones, except for NHS numbers."""

    def __init__(self, seed: int, authorization: str) -> None:
        self._chance = random.Random(seed)
        self._authorization = authorization
        self._examples = [json.loads(path.read_bytes()) for path in _examples()]

    def __call__(self, count: int) -> Iterator[Request]:
        ways = (self._of_bundle, self._of_resource, self._of_text, self._of_request, self._of_packing)
        for _ in range(count):
            yield self._chance.choices(ways, (50, 12, 16, 14, 8))[0]()

    def _of_bundle(self) -> Request:
        bundle = mutated(self._bundle(), self._chance)
        return replace(self._post("mutated Bundle", written(bundle)), places=True)

    def _of_resource(self) -> Request:
        person, own = new_nhs_number(), f"r{self._chance.randrange(10**9)}"
        resource = self._chance.choice((patient(person, own), condition(person, own), _rich(person, own)))
        changed = mutated(resource, self._chance)
        kind = self._chance.choice((resource["resourceType"], resource["resourceType"], "Observation", "Patient"))
        path = f"/fhir/{kind}" if self._chance.random() < 0.4 else f"/fhir/{kind}/{own}"
        method = "POST" if path.count("/") == 2 else "PUT"
        return replace(self._post("mutated resource", written(changed)), method=method, path=path, places=True)

    def _of_text(self) -> Request:
        bundle = self._bundle()
        if self._chance.random() < 0.3:
            bundle = mutated(bundle, self._chance)
        return self._post("garbled text", garbled(written(bundle), self._chance))

    def _of_request(self) -> Request:
        whole = self._post("odd request", written(self._bundle()))
        odd = self._chance.choice(ODD_HEADERS)
        if self._chance.random() < 0.75:
            return replace(
                whole, what=f"odd header {odd[0]}: {odd[1][:40]!r}", headers={**whole.headers, odd[0]: odd[1]}
            )
        method, path = self._chance.choice(ODD_ADDRESSES)
        return replace(whole, what=f"odd address {method} {path[:60]}", method=method, path=path)

    def _of_packing(self) -> Request:
        body = written(self._bundle())
        how = self._chance.choice(list(PACKINGS))
        encoding, packed = PACKINGS[how](body)
        request = self._post(how, packed)
        return replace(request, headers={**request.headers, "Content-Encoding": encoding})

    def _post(self, what: str, body: bytes) -> Request:
        return Request(what, "POST", "/fhir", {**self._headers(), "Content-Type": "application/fhir+json"}, body)

    def _headers(self) -> dict[str, str]:
        headers = {"Host": "x", "Authorization": self._authorization, "X-Source-System": "hostile"}
        if self._chance.random() < 0.2:
            headers["Prefer"] = self._chance.choice(
                ("wait=5", "return=representation", "return=OperationOutcome", "wait=1, return=representation")
            )
        if self._chance.random() < 0.1:
            headers["Idempotency-Key"] = f"key-{self._chance.randrange(40)}"
        return headers

    def _bundle(self) -> Json:
        if self._examples and self._chance.random() < 0.25:
            return self._chance.choice(self._examples)
        person, other = new_nhs_number(), new_nhs_number()
        own = f"h{self._chance.randrange(10**9)}"
        bundle = transaction(patient(person, f"{own}p"), condition(person, f"{own}c"), _rich(person, f"{own}o"))
        match self._chance.randrange(5):
            case 0:
                more = transaction(patient(other, f"{own}p2"), condition(other, f"{own}c2"), _organisation(own))
                return {**bundle, "type": "batch", "entry": bundle["entry"] + more["entry"]}
            case 1:
                entries = [{"fullUrl": _full_url(each), "resource": each["resource"]} for each in bundle["entry"]]
                return {**bundle, "type": "collection", "entry": entries}
            case 2:
                gone = {"request": {"method": "DELETE", "url": f"Condition/{own}c9?patient={person}"}}
                return {**bundle, "entry": [*bundle["entry"], gone]}
            case 3:
                return transaction(_organisation(own))
            case _:
                return bundle


def _examples() -> Sequence[Path]:
    paths = [DATA / name for name in _EXAMPLES]
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*.json")))]
    return [file for file in files if file.stat().st_size < _LARGEST_EXAMPLE and b'"Bundle"' in file.read_bytes()[:200]]


def _full_url(entry: Json) -> str:
    return f"https://example.org/fhir/{entry['request']['url']}"


def _organisation(own: str) -> Json:
    return {"resourceType": "Organization", "id": f"{own}g", "name": "Okafor and daughters"}


def _rich(person: str, own: str) -> Json:
    """An Observation with an example of every kind of element that intake reads."""
    return {
        "resourceType": "Observation",
        "id": own,
        "meta": {
            "lastUpdated": "2026-01-01T00:00:00Z",
            "tag": [{"system": "https://onestory.nhs.uk/CodeSystem/source-system", "code": "hostile"}],
        },
        "contained": [{"resourceType": "Practitioner", "id": "d", "name": [{"family": "Okafor"}]}],
        "identifier": [{"system": "https://example.org/id", "value": own}],
        "status": "final",
        "code": {"text": "Weight"},
        "subject": {"reference": f"Patient/{person}"},
        "performer": [{"reference": "#d"}, {"reference": "Practitioner?identifier=https://example.org|7"}],
        "valueQuantity": {"value": 1.50, "unit": "kg"},
        "effectiveDateTime": "2026-01-01",
    }
