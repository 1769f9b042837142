"""Calls the public HTTP API of a stack as any organisation or user: people, referrals, lists and the directory."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

from onestory.client.directory_yaml import to_resources
from onestory.local.token import fetch_token
from onestory.sample.network import DEMOGRAPHICS, DIRECTORY
from onestory.shared.errors import Unavailable
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, is_nhs_number

Json = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")

_FHIR = {"Content-Type": "application/fhir+json"}
_PATIENCE_S = 60.0
_WORKERS = 4
_PAGE = 200
_BUNDLE_ENTRIES = 200


class ScenarioClient:
    """The API of one stack. Each organisation, or user of one, has a token and a connection of its own."""

    def __init__(self, base_url: str, issuer: str) -> None:
        self._base_url = base_url
        self._issuer = issuer
        self._clients: dict[tuple[str, str], httpx.Client] = {}
        first = secrets.randbelow(9_000_000) * 10
        self._numbers = (
            number for tail in itertools.count(first) if is_nhs_number(number := f"999{tail % 10_000_000:07d}")
        )

    def __enter__(self) -> ScenarioClient:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    def as_caller(self, organisation: str, user: str = "") -> httpx.Client:
        """The client of an organisation's system, or of a user of it."""
        key = (organisation, user)
        if key not in self._clients:
            token = fetch_token(organisation, role="R8000", network="", sub=user, issuer=self._issuer)
            self._clients[key] = httpx.Client(
                base_url=self._base_url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
            )
        return self._clients[key]

    def load_directory(self, document: Mapping[str, Any]) -> None:
        """Publish a directory in the form of `onestory directory load`, as the directory authority."""
        self._publish(DIRECTORY.ods, to_resources(dict(document), "scenario"), "transaction")

    def register(self, practices: Sequence[str]) -> list[str]:
        """Register a new person at each of these practices, with one statement of the practice. Returns NHS numbers."""
        numbers = [next(self._numbers) for _ in practices]
        self._publish(
            DEMOGRAPHICS.ods, [_patient(number, practice) for number, practice in zip(numbers, practices, strict=True)]
        )
        by_practice: dict[str, list[str]] = {}
        for number, practice in zip(numbers, practices, strict=True):
            by_practice.setdefault(practice, []).append(number)
        self.in_parallel(
            lambda practice: self._publish(practice, [_condition(number) for number in by_practice[practice]]),
            by_practice,
        )
        return numbers

    def _publish(self, organisation: str, resources: Sequence[Json], kind: str = "batch") -> None:
        for first in range(0, len(resources), _BUNDLE_ENTRIES):
            entries = [
                {
                    "fullUrl": f"https://scenario.example.org/fhir/{each['resourceType']}/{each['id']}",
                    "resource": each,
                    "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"},
                }
                for each in resources[first : first + _BUNDLE_ENTRIES]
            ]
            body = {"resourceType": "Bundle", "type": kind, "entry": entries}
            client = self.as_caller(organisation)
            answer = client.post("/fhir", content=json.dumps(body), headers={**_FHIR, "Prefer": "wait=20"})
            _require(answer)
            refused = [each for each in answer.json().get("entry", []) if each["response"]["status"][:1] != "2"]
            if refused:
                raise Unavailable(f"An entry was refused: {json.dumps(refused[0])[:300]}")

    def refer(self, practice: str, number: str, team: str, priority: str = "routine", user: str = "") -> str:
        """Refer a person to a team; returns the id of the Task."""
        body = {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "priority": priority,
            "code": {"text": "Assessment"},
            "reasonCode": [{"text": "Frailty"}],
            "subject": {"reference": f"Patient/{number}"},
            "performer": [{"reference": f"HealthcareService/{team}"}],
        }
        answer = self.as_caller(practice, user).post("/fhir/ServiceRequest", content=json.dumps(body), headers=_FHIR)
        _require(answer)
        return str(answer.headers["Link"]).partition("/fhir/Task/")[2].partition(">")[0]

    def act(self, organisation: str, task: str, action: str, user: str = "", **parameters: str) -> httpx.Response:
        """Run an operation on a Task. A parameter is sent with the FHIR type that its name needs.

        Answers the refusal of the read where the caller may not even read the Task.
        """
        client = self.as_caller(organisation, user)
        read = client.get(f"/fhir/Task/{task}")
        if not read.is_success:
            return read
        names = {"start": "valueDateTime", "category": "valueCode"}
        body = {
            "resourceType": "Parameters",
            "parameter": [{"name": name, names.get(name, "valueString"): value} for name, value in parameters.items()],
        }
        content = json.dumps(body if parameters else {"resourceType": "Parameters"})
        return client.post(
            f"/fhir/Task/{task}/${action}", content=content, headers={**_FHIR, "If-Match": read.headers["ETag"]}
        )

    def must_act(self, organisation: str, task: str, action: str, user: str = "", **parameters: str) -> None:
        """Run an operation that has to succeed."""
        _require(self.act(organisation, task, action, user, **parameters))

    def rows(self, organisation: str, address: str, user: str = "", **asked: str) -> list[Json]:
        """All rows of a worklist, such as `teams/<id>`."""
        return list(self._pages(organisation, f"/worklists/{address}", user, "rows", asked))

    def notices(self, organisation: str) -> list[Json]:
        """All notices to an organisation and its teams."""
        return list(self._pages(organisation, "/notices", "", "notices", {}))

    def _pages(self, organisation: str, path: str, user: str, part: str, asked: Mapping[str, str]) -> Iterator[Json]:
        client = self.as_caller(organisation, user)
        answer = client.get(path, params={"count": _PAGE, **asked})
        while True:
            if answer.status_code in (403, 404):
                return
            _require(answer)
            yield from answer.json()[part]
            if not answer.json().get("next"):
                return
            answer = client.get(answer.json()["next"])

    def handovers(self, organisation: str, user: str = "") -> list[Json]:
        """The handovers to an organisation, its teams, or a user."""
        answer = self.as_caller(organisation, user).get("/handovers", params={"count": _PAGE})
        _require(answer)
        return list(answer.json()["handovers"])

    def topology(self, at: str = "") -> Json:
        """The directory at a date; now without one."""
        answer = self.as_caller(DIRECTORY.ods).get("/directory/topology", params={"at": at} if at else {})
        _require(answer)
        found: Json = answer.json()
        return found

    def sees_record(self, organisation: str, number: str, user: str = "") -> bool:
        """Whether a caller sees what the practice states of a person."""
        answer = self.as_caller(organisation, user).get("/fhir/Condition", params={"patient": number})
        return answer.status_code == 200 and bool(answer.json().get("entry"))

    def team_ids(self, words: str) -> dict[str, str]:
        """The directory ids of the teams with these words in their names, by name."""
        found: dict[str, str] = {}
        answer = self.as_caller(DIRECTORY.ods).get(
            "/fhir/HealthcareService", params={"name": words, "active": "true", "_count": "100"}
        )
        _require(answer)
        for entry in answer.json().get("entry", []):
            found[entry["resource"]["name"]] = entry["resource"]["id"]
        return found

    def in_parallel(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """The results of `work` for each item, in their order, four at a time."""
        with ThreadPoolExecutor(_WORKERS) as pool:
            return list(pool.map(work, items))


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait up to a minute for a condition; return whether it came."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _require(answer: httpx.Response) -> None:
    if not answer.is_success:
        raise Unavailable(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text[:300]}"
        )


def _patient(number: str, practice: str) -> Json:
    return {
        "resourceType": "Patient",
        "id": f"pds-{number}",
        "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": number}],
        "name": [{"family": "Example", "given": ["Sam"]}],
        "birthDate": "1941-03-02",
        "generalPractitioner": [{"identifier": {"system": ODS_CODE_SYSTEM, "value": practice}}],
    }


def _condition(number: str) -> Json:
    return {
        "resourceType": "Condition",
        "id": f"frailty-{number}",
        "code": {"text": "Frailty"},
        "subject": {"reference": f"Patient/{number}"},
    }
