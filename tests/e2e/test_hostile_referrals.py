"""Fuzzed and hostile requests that make or change referrals are done or refused with a reason, with no other effect.

ONESTORY_TEST_HOSTILE_REFERRALS sets how many requests of each kind are sent.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from tests.hostile.mutation import garbled, mutated, written
from tests.hostile.odd_requests import ODD_HEADERS
from tests.hostile.odd_values import ODD, SHARED_FORM, SQL
from tests.hostile.reads import ASCII, ODD_VALUES
from tests.hostile.wire import Answer, Request, exchange, unfair
from tests.people import new_nhs_number
from tests.referrals import REASON, new_team, read, refer, service_request, task_of
from tests.stack import Services

TRIED = int(os.environ.get("ONESTORY_TEST_HOSTILE_REFERRALS", "250"))
SEED = int(os.environ.get("ONESTORY_TEST_SEED", "20261127"))
SURGERY, NURSES = "A81HST", "RZH"
SAID = "Quincebury"
"""A word in everything that is sent: in no refusal."""
OPERATIONS = (
    *("request", "receive", "accept", "reject", "start", "hold", "resume", "book", "complete", "fail", "cancel"),
    *("redirect", "correct", "claim", "release", "message", "convert", "accept ", "Accept", "%00", "x" * 300),
)
TAGS = (
    "",
    "*",
    'W/""',
    '"x"',
    'W/"1"',
    "é",
    SQL,
    'W/"' + "9" * 5_000 + '"',
    'W/"01a21d55-02e2-714e-a9e0-af7f8d8522d9"',
)
IDS = ("", "..", "%00", "x", "x" * 300, SHARED_FORM, "é", "a/b", "1' or '1'='1")
PARAMETERS: tuple[dict[str, Any], ...] = (
    REASON,
    {"name": "reason", "valueString": SAID},
    {"name": "businessStatus", "valueCode": "BOOKED"},
    {"name": "until", "valueInstant": "2999-01-01T00:00:00Z"},
    {"name": "until", "valueInstant": "9999-12-31T23:59:59+14:00"},
    {"name": "until", "valueDateTime": "2999"},
    {"name": "output", "valueReference": {"reference": f"Appointment/{SAID}"}},
    {"name": "outcome", "valueString": SAID},
    {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{SAID}"}},
    {"name": "recipient", "valueReference": {"reference": "HealthcareService/%00"}},
    {"name": SAID, "valueString": SAID},
)


@dataclass(frozen=True, slots=True)
class Target:
    """The referral that the hostile requests attack, and the headers of its parties."""

    services: Services
    team: str
    surgery: dict[str, str]
    nurses: dict[str, str]
    task_id: str
    tag: str


@pytest.fixture(scope="module")
def target(services: Services) -> Target:
    team = new_team(services, NURSES)
    with services.client(SURGERY) as surgery:
        sent = refer(surgery, service_request(new_nhs_number(), team))
    headers = {
        org: {"Host": "x", "Authorization": f"Bearer {services.token(org)}", "Content-Type": "application/fhir+json"}
        for org in (SURGERY, NURSES)
    }
    return Target(services, team, headers[SURGERY], headers[NURSES], task_of(sent), sent.headers["ETag"])


def made(services: Services) -> int:
    """Return how many referrals the surgery has made."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(
            "select count(*) from referral.referral where requester_organisation = %s", [SURGERY]
        ).fetchone()
    assert row is not None
    return int(row[0])


def complaints(services: Services, requests: Iterator[Request]) -> tuple[list[str], list[Answer]]:
    """Send the requests, and return the faults of the answers and the answers."""
    wrong, answers = list[str](), list[Answer]()
    for request in requests:
        answer = exchange(services.base_url, request)
        answers.append(answer)
        complaint = unfair(request, answer)
        if not complaint and not answer.taken and answer.status != 412 and SAID.encode() in answer.body:
            complaint = "the refusal quotes what was sent"
        if complaint:
            wrong.append(f"{complaint}: {request.method} {request.path[:80]} {request.body[:300]!r}")
    return wrong, answers


def bodies(said: Callable[[], dict[str, Any]], chance: random.Random) -> Iterator[bytes]:
    """Yield the resource with a random change in its elements, or in its text."""
    for number in range(TRIED):
        yield garbled(written(said()), chance) if number % 4 == 0 else written(mutated(said(), chance))


def odd(headers: dict[str, str], chance: random.Random) -> dict[str, str]:
    """Return the headers, one time in five with a header that no client should send."""
    return headers if chance.random() < 0.8 else {**headers, **dict([chance.choice(ODD_HEADERS)])}


def test_a_hostile_referral_is_made_or_refused_with_a_reason(services: Services, target: Target) -> None:
    chance, before = random.Random(SEED), made(services)

    def said() -> dict[str, Any]:
        return service_request(new_nhs_number(), target.team, note=[{"text": SAID}], performerType={"text": SAID})

    wrong, answers = complaints(
        services,
        (
            Request("refer", "POST", "/fhir/ServiceRequest", odd(target.surgery, chance), each)
            for each in bodies(said, chance)
        ),
    )

    assert not wrong, f"{len(wrong)} of {TRIED}:\n" + "\n".join(wrong[:10])
    new = sum(answer.status == 201 for answer in answers)
    assert made(services) == before + new
    assert TRIED / 20 < new < TRIED * 19 / 20


def test_a_hostile_operation_is_refused_with_a_reason_and_changes_nothing(services: Services, target: Target) -> None:
    chance = random.Random(SEED + 1)

    def requests() -> Iterator[Request]:
        def said() -> dict[str, Any]:
            some = [chance.choice(PARAMETERS) for _ in range(chance.randrange(4))]
            return {"resourceType": "Parameters", "parameter": some or [{"name": SAID}]}

        for body in bodies(said, chance):
            # A request that is right except for one thing: the version, the id, or the caller.
            tag, task = target.tag, target.task_id
            match chance.randrange(3):
                case 0:
                    tag = chance.choice(TAGS)
                case 1:
                    task = chance.choice(IDS)
                case _:
                    tag = 'W/"01a21d55-02e2-714e-a9e0-af7f8d8522d9"'
            headers = odd({**(target.nurses if chance.random() < 0.7 else target.surgery), "If-Match": tag}, chance)
            path = f"/fhir/Task/{task}/${chance.choice(OPERATIONS)}".replace(" ", "%20").encode().decode("latin-1")
            yield Request("operate", "POST", path, headers, body)

    wrong, answers = complaints(services, requests())

    assert not wrong, f"{len(wrong)} of {TRIED}:\n" + "\n".join(wrong[:10])
    assert {400, 404, 412, 422, 428} <= {answer.status for answer in answers}
    assert not any(answer.taken for answer in answers)
    with services.client(NURSES) as nurses:
        assert read(nurses, target.task_id).headers["ETag"] == target.tag


def test_what_is_said_with_an_operation_may_be_anything_and_is_then_refused_at_its_place(
    services: Services, target: Target
) -> None:
    with services.client(NURSES) as nurses:
        for value in ODD:
            body = {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueCodeableConcept": value}]}
            answer = _reject(nurses, target, written(body))
            assert answer.status_code in (400, 412, 422), (json.dumps(value)[:100], answer.text[:300])


def _reject(nurses: httpx.Client, target: Target, body: bytes) -> httpx.Response:
    headers = {"Content-Type": "application/fhir+json", "If-Match": 'W/"01a21d55-02e2-714e-a9e0-af7f8d8522d9"'}
    return nurses.post(f"/fhir/Task/{target.task_id}/$reject", content=body, headers=headers)


ADDRESSES = (
    "/fhir/Task/{}",
    "/fhir/ServiceRequest/{}",
    "/fhir/Task/{}/$messages",
    "/fhir/Task?owner=HealthcareService/{}",
    "/fhir/HealthcareService?name={}",
    "/fhir/HealthcareService?serves={}&_count={}&_cursor={}",
    "/worklists/teams/{}",
    "/worklists/teams/{}/events",
    "/worklists/organisations/{}",
    "/worklists/mine?_cursor={}",
    "/worklists/breaches?team={}",
    "/notices?team={}&_cursor={}",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_odd_address_is_answered_or_refused_with_a_reason(services: Services, target: Target, address: str) -> None:
    for value in (*IDS, *ODD_VALUES):
        path = quote(address.replace("{}", value), safe=ASCII)
        request = Request("read", "GET", path, target.surgery)

        answer = exchange(services.base_url, request)

        assert not unfair(request, answer), (path, answer)
