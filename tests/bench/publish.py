"""The rate from HTTP publish to readable: Bundles of 25 over 4 connections, with all processes on the same cores."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from kafka import KafkaProducer
from tests.bench import load, wire
from tests.bench.figures import Figure, percentile
from tests.stack import Services

CONNECTIONS = 4
BUNDLES = 1_600
WARM_UP = 100


async def run(services: Services) -> list[Figure]:
    """Publish, wait until the last Bundle is readable, then send as many bytes to Kafka and do nothing else."""
    token = services.token(load.PRACTICE, network=load.NETWORK)
    requests = [_request(token, body) for _, body in load.bundles(WARM_UP + BUNDLES)]
    address = urlsplit(services.base_url)
    host, port = str(address.hostname), int(address.port or 80)
    warm = await wire.load(host, port, requests[:WARM_UP], CONNECTIONS, b"X-OneStory-Position")
    await _readable(services, token, host, port, warm.headers)
    started = time.perf_counter()
    seen = await wire.load(host, port, requests[WARM_UP:], CONNECTIONS, b"X-OneStory-Position")
    await _readable(services, token, host, port, seen.headers)
    readable_s = time.perf_counter() - started
    assert set(seen.statuses) == {200}, seen.statuses
    raw = await asyncio.to_thread(_raw_kafka, services.kafka, len(requests[-1]), BUNDLES)
    resources = BUNDLES * load.RESOURCES
    return [
        Figure("publish", "HTTP publish to readable", resources / readable_s, "resources/s"),
        Figure("publish", "HTTP publish acknowledged", resources / seen.seconds, "resources/s"),
        Figure(
            "publish",
            f"Bundles of {load.RESOURCES}, {CONNECTIONS} connections",
            BUNDLES / seen.seconds,
            "bundles/s",
            raw,
            "kafka-python, acks=all, as many bytes",
        ),
        Figure("publish", "p50 of a publish", percentile(seen.latencies, 0.5) * 1000, "ms"),
        Figure("publish", "p99 of a publish", percentile(seen.latencies, 0.99) * 1000, "ms"),
    ]


def _request(token: str, body: bytes) -> bytes:
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/fhir+json",
        "Prefer": "return=minimal",
        "X-Source-System": load.SYSTEM,
    }
    return wire.request("POST", "/fhir", headers, body)


async def _readable(services: Services, token: str, host: str, port: int, positions: list[str]) -> None:
    """Return when the highest position of each partition is visible to reads."""
    highest: dict[str, int] = {}
    for part in ".".join(positions).split("."):
        partition, _, offset = part.partition("-")
        highest[partition] = max(int(offset), highest.get(partition, 0))
    after = ".".join(f"{partition}-{offset}" for partition, offset in highest.items())
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        target = f"/fhir/Organization/{'a' * 26}?after={after}"
        answer = await wire.load(host, port, [wire.request("GET", target, headers)], 1)
        if set(answer.statuses) == {404}:  # visible; 404 means only that the organisation does not exist
            return


def _raw_kafka(bootstrap: str, size: int, count: int) -> float:
    """Return messages of this size per second into the access topic's broker, four at a time, and nothing else."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", compression_type="lz4", max_request_size=17_000_000, batch_size=262_144
    )
    value = load.bundle("9990000018", load.RESOURCES)[:size]
    producer.send("care.parked", value).get(10)
    started = time.perf_counter()
    for first in range(0, count, CONNECTIONS):
        sent = [producer.send("care.parked", value) for _ in range(first, min(first + CONNECTIONS, count))]
        for each in sent:
            each.get(30)
    seconds = time.perf_counter() - started
    producer.close()
    return count / seconds
