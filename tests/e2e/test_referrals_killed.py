"""Relay, API, database and broker are killed, and each change of a referral still has exactly one effect.

ONESTORY_TEST_REFERRALS sets how many referrals are made.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from kafka import KafkaConsumer, TopicPartition
from tests.people import new_nhs_number
from tests.referrals import FHIR, REASON, new_team, service_request
from tests.stack import Services, Stack, own_services
from tests.waiting import until

from onestory.shared.events import ReferralChanged
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.schemas import REFERRAL_TOPIC, topics

REFERRALS = int(os.environ.get("ONESTORY_TEST_REFERRALS", "100"))
PEOPLE = 10
AT_ONCE = 8
CAUGHT_UP_S = 120.0
SURGERY, NURSES = "A81001", "RZ1"
WAYS = (("receive", "accept", "start", "complete"), ("reject", "redirect", "accept", "start", "hold", "resume", "fail"))
WITH_REASON = ("reject", "redirect", "hold", "fail")


@dataclass(slots=True)
class OnItsWay:
    """A referral, its planned actions, and the answer to each action."""

    person: str
    way: tuple[str, ...]
    referral_id: str = ""
    versions: list[str] = field(default_factory=list)
    """The ETags in the answers, in order."""


class Parties:
    """A surgery that refers, and nurses who work on the referrals. Requests without an answer repeat their key."""

    def __init__(self, services: Services, people: Sequence[str], teams: Sequence[str]) -> None:
        self._people, self._teams = people, teams
        self._clients = {
            each: httpx.AsyncClient(
                base_url=services.base_url,
                headers={"Authorization": f"Bearer {services.token(each)}"},
                timeout=30,
                trust_env=False,
            )
            for each in (SURGERY, NURSES)
        }
        self.answered, self.asked_again = 0, 0
        self.referrals: list[OnItsWay] = []

    async def work(self, count: int) -> None:
        """Take this many referrals from the request to the end, several at a time."""
        turns = iter(range(count))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._take_turns(turns))

    async def until(self, answered: int) -> None:
        """Wait for this many answers."""
        deadline = time.monotonic() + CAUGHT_UP_S
        while self.answered < answered:
            assert time.monotonic() < deadline, "so many were not answered"
            await asyncio.sleep(0.002)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def _take_turns(self, turns: Iterator[int]) -> None:
        for turn in turns:
            referral = OnItsWay(self._people[turn % len(self._people)], WAYS[turn % len(WAYS)])
            self.referrals.append(referral)
            await self._follow(referral)

    async def _follow(self, referral: OnItsWay) -> None:
        sent = await self._ask(SURGERY, "/fhir/ServiceRequest", service_request(referral.person, self._teams[0]), {})
        referral.referral_id = sent.json()["id"]
        task = sent.headers["Link"].partition("/fhir/Task/")[2].partition(">")[0]
        referral.versions.append(sent.headers["ETag"])
        for action in referral.way:
            said: list[dict[str, Any]] = [REASON] if action in WITH_REASON else []
            if action == "redirect":
                to = {"reference": f"HealthcareService/{self._teams[1]}"}
                said.append({"name": "recipient", "valueReference": to})
            body = {"resourceType": "Parameters", **({"parameter": said} if said else {})}
            who = SURGERY if action == "redirect" else NURSES
            known = {"If-Match": referral.versions[-1]}
            answer = await self._ask(who, f"/fhir/Task/{task}/${action}", body, known)
            # A redirection answers with the next Task.
            task = answer.json()["id"]
            referral.versions.append(answer.headers["ETag"])

    async def _ask(self, who: str, url: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        """Send the request, always with the same key, until there is an answer."""
        headers = {**FHIR, **headers, "Idempotency-Key": uuid.uuid4().hex}
        deadline, tries = time.monotonic() + CAUGHT_UP_S, 0
        while True:
            tries += 1
            try:
                answer = await self._clients[who].post(url, json=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code != 503:
                break
            assert time.monotonic() < deadline, "nobody answered"
            await asyncio.sleep(0.1)
        assert answer.status_code in (200, 201), answer.text
        self.answered += 1
        self.asked_again += tries > 1
        return answer


@dataclass(frozen=True, slots=True)
class Death:
    """How a process is killed, and how it starts again."""

    kill: Callable[[], None]
    revive: Callable[[], None]


def deaths(stack: Stack, services: Services) -> list[Death]:
    """Return the deaths in order."""
    return [
        Death(lambda: services.kill("refer"), lambda: die_again_over_the_outbox(services)),
        Death(lambda: services.kill("serve"), lambda: services.start("serve")),
        Death(stack.kill_postgres, stack.start_postgres),
        Death(stack.kill_kafka, stack.start_kafka),
        Death(lambda: services.kill("project"), lambda: services.start("project")),
    ]


def die_again_over_the_outbox(services: Services) -> None:
    """Start the relay on the events that piled up, kill it while it sends them, and start it again."""
    before = waiting(services)
    assert before > 0
    services.start("refer")
    until(lambda: waiting(services) != before, CAUGHT_UP_S)
    services.kill("refer")
    services.start("refer")


def waiting(services: Services) -> int:
    """Return how many events wait in the outbox."""
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute("select count(*) from referral.outbox").fetchone()
    assert row is not None
    return int(row[0])


async def under_fire(stack: Stack, services: Services, parties: Parties) -> None:
    """Kill one process halfway through each part, and start it again while the part goes on."""
    victims = deaths(stack, services)
    for victim in victims:
        before = parties.answered
        working = asyncio.create_task(parties.work(REFERRALS // len(victims)))
        await parties.until(before + REFERRALS // len(victims) * 2)
        await asyncio.to_thread(victim.kill)
        assert not working.done()
        await asyncio.to_thread(victim.revive)
        await working
    await parties.close()


def told(services: Services) -> list[tuple[bytes, ReferralChanged]]:
    """Return all events on `care.referral`, in the order of each partition, each with its bytes."""
    contract, found = create_codec(""), list[tuple[bytes, ReferralChanged]]()
    with closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer:
        numbers = range(topics()[REFERRAL_TOPIC].partitions)
        places = [TopicPartition(services.prefix + REFERRAL_TOPIC, number) for number in numbers]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for messages in consumer.poll(timeout_ms=1000).values():
                for message in messages:
                    event = contract.decode(message.value)
                    assert isinstance(event, ReferralChanged)
                    found.append((message.value, event))
    return found


def stated(services: Services) -> Counter[str]:
    """Return how many statements the record has of each change: one for each resource that it wrote."""
    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute(
            "select event_id::text, count(*) from record.statement where system = 'onestory-referral' group by 1"
        ).fetchall()
    return Counter(dict(rows))


@pytest.fixture(scope="module")
def aftermath(stack: Stack) -> Iterator[tuple[Services, Parties]]:
    """The services and parties after every process was killed and started again, and all actions were done."""
    with own_services(stack) as services:
        people = [new_nhs_number() for _ in range(PEOPLE)]
        services.register(*people)
        teams = [new_team(services, NURSES), new_team(services, NURSES)]

        async def happen() -> Parties:
            parties = Parties(services, people, teams)
            await under_fire(stack, services, parties)
            return parties

        parties = asyncio.run(happen())
        until(lambda: waiting(services) == 0, CAUGHT_UP_S)
        yield services, parties


def test_answers_were_lost_and_everything_was_done_all_the_same(aftermath: tuple[Services, Parties]) -> None:
    _, parties = aftermath

    assert parties.asked_again > 0
    assert len(parties.referrals) == REFERRALS // 5 * 5
    assert all(len(each.versions) == len(each.way) + 1 for each in parties.referrals)


def test_the_room_has_made_each_change_once(aftermath: tuple[Services, Parties]) -> None:
    services, parties = aftermath

    with psycopg.connect(services.postgres) as connection:
        rows = connection.execute(
            "select referral_id, array_agg(event_id::text order by version) from referral.change group by 1"
        ).fetchall()
        (open_ones,) = connection.execute(
            "select count(*) from referral.referral where is_open <> (status = 'failed')"
        ).fetchone() or (None,)

    known = {each.referral_id: [tag[3:-1] for tag in each.versions] for each in parties.referrals}
    assert dict(rows) == known
    assert open_ones == 0


def test_kafka_was_told_of_each_change_in_order_and_twice_only_under_the_same_id(
    aftermath: tuple[Services, Parties],
) -> None:
    services, parties = aftermath

    heard = told(services)

    by_id: dict[str, set[bytes]] = defaultdict(set)
    first: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for content, event in heard:
        if str(event.event_id) not in by_id:
            first[event.referral_id].append((event.version, str(event.event_id)))
        by_id[str(event.event_id)].add(content)
    assert {len(contents) for contents in by_id.values()} == {1}
    assert first == {
        each.referral_id: [(place, tag[3:-1]) for place, tag in enumerate(each.versions, 1)]
        for each in parties.referrals
    }


def test_the_record_has_each_change_once(aftermath: tuple[Services, Parties]) -> None:
    services, parties = aftermath
    entries = {str(event.event_id): len(event.entries) for _, event in told(services)}

    until(lambda: len(stated(services)) == len(entries), CAUGHT_UP_S)

    assert stated(services) == entries
    with services.client(SURGERY, network="harbour") as reader:
        for referral in parties.referrals[:: len(parties.referrals) // 10]:
            tasks = reader.get(f"/fhir/Task?patient={referral.person}&_count=200").json()["entry"]
            shown = {entry["resource"]["meta"]["versionId"] for entry in tasks}
            assert referral.versions[-1][3:-1] in shown
