"""The time from publish to visible for a waiting publisher, at a steady rate of 100 events per second."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

from tests.bench import load, wire
from tests.bench.figures import Figure, percentile
from tests.stack import Services

RATE = 100
SECONDS = 20


async def run(services: Services) -> list[Figure]:
    """Open loop: send a request every 10 ms, without waiting for earlier answers."""
    token = services.token(load.PRACTICE, network=load.NETWORK)
    address = urlsplit(services.base_url)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/fhir+json",
        "Prefer": "return=minimal, wait=30",
        "X-Source-System": load.SYSTEM,
    }
    requests = [wire.request("POST", "/fhir", headers, body) for _, body in load.bundles(RATE * SECONDS, 2)]
    started = time.perf_counter()
    waiting = []
    for number, each in enumerate(requests):
        await asyncio.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        waiting.append(asyncio.create_task(wire.load(str(address.hostname), int(address.port or 80), [each], 1)))
    seen = await asyncio.gather(*waiting)
    assert all(set(each.statuses) == {200} for each in seen)
    latencies = [latency for each in seen for latency in each.latencies]
    return [
        Figure("delay", f"publish to visible at {RATE} events/s, p50", percentile(latencies, 0.5) * 1000, "ms"),
        Figure("delay", f"publish to visible at {RATE} events/s, p99", percentile(latencies, 0.99) * 1000, "ms"),
    ]
