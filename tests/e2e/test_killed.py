"""Promises 1 and 2: processes are killed in the middle of a stream, and the record equals that of a quiet run.

ONESTORY_TEST_STATEMENTS sets how many statements the stream has.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString, Self

import httpx
import psycopg
import pytest
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.stack import Services, Stack, own_services

from onestory.client.publisher import Publisher
from onestory.client.submission import Receipt
from onestory.intake.domain.bundle import COMPLETE_TYPE_TAG
from onestory.local import up
from onestory.sample.network import DEMOGRAPHICS
from onestory.shared.errors import Unavailable
from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier

STATEMENTS = int(os.environ.get("ONESTORY_TEST_STATEMENTS", "2000"))
ORGANISATIONS = ("A81001", "RZ1", "990")
SYSTEM = "ehr"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
AT_ONCE = 16
CAUGHT_UP_S = 120.0


@dataclass(frozen=True, slots=True)
class Statement:
    """One organisation's submission, its idempotency key, and the resources that it states."""

    organisation: str
    key: str
    content: bytes
    speaks_of: tuple[tuple[str, str, str], ...]
    """Type, NHS number and local id of each."""


class Author:
    """Writes statements; the same people always give the same statements."""

    def __init__(self, people: Sequence[str]) -> None:
        self.people = people
        self._chance = random.Random(20261)

    def statements(self, number: int) -> list[Statement]:
        """Register every person; then add corrections, moves to another person, retractions and whole lists."""
        registered = [self._registration(place, person) for place, person in enumerate(self.people)]
        problems = number // 12
        kinds = (self._problem, self._problem, self._problem, self._several, self._retraction, self._whole_list)
        said = [
            self._chance.choice(kinds)(place, [str(each) for each in self._chance.sample(range(problems), 3)])
            for place in range(len(registered), number)
        ]
        return registered + said

    def _registration(self, place: int, person: str) -> Statement:
        resource = said_at(patient(person, f"p-{person}", "A81001"), _instant(place))
        return _statement(DEMOGRAPHICS.ods, place, resource, [("Patient", person, f"p-{person}")])

    def _problem(self, place: int, ids: Sequence[str]) -> Statement:
        person = self._whose(ids[0])
        resource = said_at(condition(person, ids[0], f"As of statement {place}"), _instant(place))
        return self._say(place, resource, person, ids[:1])

    def _several(self, place: int, ids: Sequence[str], **elements: Any) -> Statement:
        person = self._whose(ids[0])
        resources = [condition(person, each, f"As of statement {place}") for each in ids]
        return self._say(place, transaction(*resources, timestamp=_instant(place), **elements), person, ids)

    def _retraction(self, place: int, ids: Sequence[str]) -> Statement:
        person = self._whose(ids[0])
        request = {"method": "DELETE", "url": f"Condition/{ids[0]}?patient={person}"}
        bundle = {**transaction(timestamp=_instant(place)), "entry": [{"request": request}]}
        return self._say(place, bundle, person, ids[:1])

    def _whole_list(self, place: int, ids: Sequence[str]) -> Statement:
        return self._several(place, ids, meta={"tag": [{"system": COMPLETE_TYPE_TAG, "code": "Condition"}]})

    def _say(self, place: int, resource: dict[str, Any], person: str, ids: Sequence[str]) -> Statement:
        organisation = self._chance.choice(ORGANISATIONS)
        return _statement(organisation, place, resource, [("Condition", person, each) for each in ids])

    def _whose(self, local_id: str) -> str:
        """Return the resource's person: mostly the same one, sometimes another, as if it was filed wrongly."""
        usual = self.people[int(local_id) % len(self.people)]
        return usual if self._chance.random() < 0.8 else self._chance.choice(self.people)


def _statement(
    organisation: str, place: int, resource: dict[str, Any], speaks_of: Sequence[tuple[str, str, str]]
) -> Statement:
    return Statement(organisation, f"statement-{place}", json.dumps(resource).encode(), tuple(speaks_of))


def _instant(place: int) -> str:
    return (BEGAN + timedelta(seconds=place)).isoformat()


@dataclass(slots=True)
class Stream:
    """Publishes statements in turn, and stops at a gate until it opens."""

    statements: Sequence[Statement]
    gates: dict[int, asyncio.Event] = field(default_factory=dict)
    """A place in the stream, and the event that must be set before the stream goes on there."""
    acknowledged: list[tuple[Statement, Receipt]] = field(default_factory=list)

    async def publish(self, services: Services) -> None:
        """Publish all statements, several at a time. A request without an answer is sent again with the same key."""
        turns = iter(enumerate(self.statements))
        async with AsyncExitStack() as closing:
            publishers = {
                each: await closing.enter_async_context(
                    Publisher(services.base_url, services.token(each), system=SYSTEM)
                )
                for each in (DEMOGRAPHICS.ods, *ORGANISATIONS)
            }
            async with asyncio.TaskGroup() as tasks:
                for _ in range(AT_ONCE):
                    tasks.create_task(self._take_turns(turns, publishers))

    async def _take_turns(self, turns: Iterator[tuple[int, Statement]], publishers: dict[str, Publisher]) -> None:
        for place, statement in turns:
            for gate, opened in self.gates.items():
                if place >= gate:
                    await opened.wait()
            publisher = publishers[statement.organisation]
            receipt = await publisher.publish(statement.content, idempotency_key=statement.key)
            assert receipt.accepted, receipt
            assert not receipt.refusals
            self.acknowledged.append((statement, receipt))

    async def until(self, acknowledged: int) -> None:
        """Wait for this many acknowledgements."""
        deadline = time.monotonic() + CAUGHT_UP_S
        while len(self.acknowledged) < acknowledged:
            assert time.monotonic() < deadline, "so many were not acknowledged"
            await asyncio.sleep(0.002)

    def token(self) -> str:
        """Return the position token of all acknowledged statements."""
        last: dict[str, int] = {}
        for _, receipt in self.acknowledged:
            for part in receipt.position.split("."):
                partition, _, offset = part.partition("-")
                last[partition] = max(int(offset), last.get(partition, 0))
        return ".".join(f"{partition}-{offset}" for partition, offset in sorted(last.items()))


@dataclass(frozen=True, slots=True)
class Death:
    """How a process is killed, and how it starts again: at once, or when published messages have piled up."""

    kill: Callable[[], None]
    revive: Callable[[], None]
    piles_up: bool = False


def deaths(stack: Stack, services: Services) -> list[Death]:
    """Return the deaths in the order of the stream."""
    return [
        Death(lambda: services.kill("project"), lambda: die_again_over_a_batch(services), piles_up=True),
        Death(lambda: services.kill("serve"), lambda: services.start("serve")),
        Death(stack.kill_kafka, stack.start_kafka),
    ]


def die_again_over_a_batch(services: Services) -> None:
    """Start the projector on the messages that piled up, kill it while it writes them, and start it again."""
    before = read_by_projector(services)
    with ThreadPoolExecutor(1) as beside:
        starting = beside.submit(services.start, "project")
        deadline = time.monotonic() + CAUGHT_UP_S
        while read_by_projector(services) == before:
            assert time.monotonic() < deadline, "the projector read nothing"
        services.kill("project")
        with suppress(Unavailable):  # it may have died before it was ready
            starting.result()
    services.start("project")


async def publish_under_fire(stack: Stack, services: Services, stream: Stream) -> None:
    """Kill one process halfway through each part, and start it again while the rest of the part is published."""
    victims = deaths(stack, services)
    part = len(stream.statements) // len(victims)
    stream.gates = {(place + 1) * part: asyncio.Event() for place in range(len(victims))}
    publishing = asyncio.create_task(stream.publish(services))
    for (end, gate), victim in zip(stream.gates.items(), victims, strict=True):
        await stream.until(end - part // 2)
        await asyncio.to_thread(victim.kill)
        assert not publishing.done()
        if victim.piles_up:
            await stream.until(end)
        await asyncio.to_thread(victim.revive)
        gate.set()
    await publishing


class Reader:
    """Reads the record of each person as their practice."""

    def __init__(self, services: Services) -> None:
        headers = {"Authorization": f"Bearer {services.token('A81001', network='harbour')}"}
        self._client = httpx.AsyncClient(base_url=services.base_url, headers=headers, timeout=30, trust_env=False)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def digests(self, people: Sequence[str], after: str) -> list[str]:
        """Return the digest of each person's record, once the record has reached the position `after`."""
        await self._await(f"/fhir/Patient/{people[0]}?after={after}")
        answers = await asyncio.gather(*[self._get(f"/fhir/Patient/{each}/$everything") for each in people])
        return [answer.headers.get("X-OneStory-Record-Digest", f"none: {answer.status_code}") for answer in answers]

    async def unreadable(self, acknowledged: Sequence[tuple[Statement, Receipt]], keys: Keys) -> list[str]:
        """Return the versions that were acknowledged to a publisher but cannot be read."""
        urls = sorted({url for statement, receipt in acknowledged for url in _versions(statement, receipt, keys)})
        answers = await asyncio.gather(*[self._get(url) for url in urls])
        # A version that is a retraction answers 410.
        return [url for url, answer in zip(urls, answers, strict=True) if answer.status_code not in (200, 410)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def _await(self, url: str) -> None:
        deadline = time.monotonic() + CAUGHT_UP_S
        while (answer := await self._get(url)).status_code == 503:
            assert time.monotonic() < deadline, answer.text
        assert answer.status_code == 200, answer.text

    async def _get(self, url: str) -> httpx.Response:
        async with self._turns:
            return await self._client.get(url)


def _versions(statement: Statement, receipt: Receipt, keys: Keys) -> Iterator[str]:
    for kind, person, local_id in statement.speaks_of:
        person_key = keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, person))
        shared_id = keys.shared_id(person_key, statement.organisation, SYSTEM, kind, local_id)
        yield f"/fhir/{kind}/{shared_id}/_history/{receipt.event_ids[0]}"


async def undisturbed(services: Services, statements: Sequence[Statement], people: Sequence[str]) -> list[str]:
    """Return the digests after each statement was published once, in order."""
    stream = Stream(statements)
    await stream.publish(services)
    async with Reader(services) as reader:
        return await reader.digests(people, stream.token())


async def disturbed(
    stack: Stack, services: Services, statements: Sequence[Statement], people: Sequence[str], keys: Keys
) -> tuple[list[str], list[str]]:
    """Publish shuffled and repeated statements while processes are killed; return digests and missing versions."""
    chance = random.Random(4)
    said = [*statements, *chance.sample(statements, len(statements) // 4)]
    stream = Stream(chance.sample(said, len(said)))
    await publish_under_fire(stack, services, stream)
    async with Reader(services) as reader:
        digests = await reader.digests(people, stream.token())
        return digests, await reader.unreadable(stream.acknowledged, keys)


def parked(services: Services) -> int:
    """Return how many messages are parked."""
    return _number(services, "select count(*) from record.parked")


def read_by_projector(services: Services) -> int:
    """Return how many messages the record's positions have passed."""
    return _number(services, "select coalesce(sum(next_offset), 0)::bigint from record.position")


def _number(services: Services, query: LiteralString) -> int:
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def keys(services: Services, monkeypatch: pytest.MonkeyPatch) -> Keys:
    """One key secret for both runs, so that ids are the same."""
    secret = up.process_environment("serve", services.home, services.stack)["ONESTORY_KEY_SECRET"]
    monkeypatch.setenv("ONESTORY_KEY_SECRET", secret)
    return Keys(secret.encode())


def test_nothing_acknowledged_is_lost_and_the_record_is_that_of_an_undisturbed_run(
    stack: Stack, services: Services, keys: Keys
) -> None:
    people = [new_nhs_number() for _ in range(STATEMENTS // 30)]
    statements = Author(people).statements(STATEMENTS)
    expected = asyncio.run(undisturbed(services, statements, people))

    with own_services(stack) as under_fire:
        found, missing = asyncio.run(disturbed(stack, under_fire, statements, people, keys))

        assert missing == []
        assert found == expected
        assert parked(under_fire) == 0

    # No record is empty and no two are equal, so the comparison above could fail.
    assert len(set(expected)) == len(people)
