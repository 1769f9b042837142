"""`$summary` of 30 resources: one worker, eight readers. Also the time from a change to `care.summary`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import psycopg
from kafka import KafkaConsumer, TopicPartition
from tests.bench import everything, load, wire
from tests.bench.figures import Figure, percentile
from tests.stack import Services

from onestory.local.token import fetch_token
from onestory.shared.kafka.schemas import SUMMARY_TOPIC, topics

RATE = 10
CHANGES = 100
PATIENCE_S = 60.0
_WAITING = """
    (select 1 from record.person_state where due_since is not null limit 1)
    union all (select 1 from record.outbox limit 1)"""


async def run(services: Services) -> list[Figure]:
    """Publish the people and read their summaries in turn. Then change a person every tenth of a second."""
    token = services.token(load.PRACTICE, network=load.NETWORK)
    people = await asyncio.to_thread(everything.publish, services, token)
    address = urlsplit(services.base_url)
    host, port = str(address.hostname), int(address.port or 80)
    headers = {"Authorization": f"Bearer {token}"}
    requests = [wire.request("GET", f"/fhir/Patient/{number}/$summary", headers) for number in people]
    await wire.load(host, port, requests, everything.CONNECTIONS)
    reads = (requests * (everything.READS // len(people)))[: everything.READS]
    seen = await wire.load(host, port, reads, everything.CONNECTIONS)
    assert set(seen.statuses) == {200}, seen.statuses
    raw = await everything.bare(services.postgres)
    await asyncio.to_thread(_caught_up, services)
    with ThreadPoolExecutor(1) as pool:
        delays = await asyncio.get_running_loop().run_in_executor(pool, _delays, services)
    return [
        Figure(
            "summary",
            f"$summary of {everything.RESOURCES}, prebuilt, {everything.CONNECTIONS} readers",
            everything.READS / seen.seconds,
            "req/s",
            raw,
            "the entries concatenated by a bare endpoint",
        ),
        Figure("summary", "p50", percentile(seen.latencies, 0.5) * 1000, "ms"),
        Figure("summary", "p99", percentile(seen.latencies, 0.99) * 1000, "ms"),
        Figure("summary", f"published to care.summary at {RATE} people/s, p50", percentile(delays, 0.5) * 1000, "ms"),
        Figure("summary", f"published to care.summary at {RATE} people/s, p99", percentile(delays, 0.99) * 1000, "ms"),
    ]


def _caught_up(services: Services) -> None:
    """Wait until no summary is left to make or send, because those of other benches would disturb this one."""
    deadline = time.perf_counter() + 10 * PATIENCE_S
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        while connection.execute(_WAITING).fetchone():
            assert time.perf_counter() < deadline, "the summariser does not catch up"
            time.sleep(0.5)


def _delays(services: Services) -> Sequence[float]:
    """Return the seconds from each publish to its summary, each of a new person."""
    told: dict[bytes, float] = {}
    arrived: dict[bytes, float] = {}
    headers = {
        "Authorization": f"Bearer {fetch_token(load.PRACTICE, role='R8000', issuer=services.stack.issuer)}",
        "Content-Type": "application/fhir+json",
    }
    with (
        closing(KafkaConsumer(bootstrap_servers=services.kafka)) as consumer,
        httpx.Client(base_url=services.base_url, headers=headers, timeout=60, trust_env=False) as http,
    ):
        places = [TopicPartition(SUMMARY_TOPIC, number) for number in range(topics()[SUMMARY_TOPIC].partitions)]
        consumer.assign(places)
        consumer.seek_to_end(*places)
        for place in places:
            consumer.position(place)
        for _, body in load.bundles(CHANGES, everything.RESOURCES):
            began = time.perf_counter()
            answer = http.post("/fhir", content=body).raise_for_status()
            key = answer.json()["entry"][0]["response"]["location"].partition("Patient/")[2].partition("-")[0]
            told[key.encode()] = began
            while time.perf_counter() < began + 1 / RATE:
                _take(consumer, arrived, 10)
        deadline = time.perf_counter() + PATIENCE_S
        while told.keys() - arrived.keys() and time.perf_counter() < deadline:
            _take(consumer, arrived, 100)
    assert not told.keys() - arrived.keys(), "not every summary was published"
    return [arrived[key] - began for key, began in told.items()]


def _take(consumer: KafkaConsumer, arrived: dict[bytes, float], timeout_ms: int) -> None:
    for messages in consumer.poll(timeout_ms=timeout_ms).values():
        for message in messages:
            arrived.setdefault(message.key, time.perf_counter())
