"""`$everything` of 30 resources: one worker, eight readers, with policy and audit, compared with a bare endpoint."""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

import httpx
from tests.bench import load, wire
from tests.bench.figures import Figure, percentile
from tests.stack import Services

from onestory.local.state import free_port

PEOPLE = 200
RESOURCES = 30
READS = 6_000
CONNECTIONS = 8


async def run(services: Services) -> list[Figure]:
    """Publish the people and read them in turn. The bare endpoint answers the same rows to the same client."""
    token = services.token(load.PRACTICE, network=load.NETWORK)
    people = await asyncio.to_thread(publish, services, token)
    address = urlsplit(services.base_url)
    host, port = str(address.hostname), int(address.port or 80)
    headers = {"Authorization": f"Bearer {token}"}
    requests = [wire.request("GET", f"/fhir/Patient/{number}/$everything", headers) for number in people]
    await wire.load(host, port, (requests * 10)[:1000], CONNECTIONS)
    seen = await wire.load(host, port, (requests * (READS // PEOPLE))[:READS], CONNECTIONS)
    assert set(seen.statuses) == {200}, seen.statuses
    raw = await bare(services.postgres)
    return [
        Figure(
            "everything",
            f"$everything of {RESOURCES}, {CONNECTIONS} readers",
            READS / seen.seconds,
            "req/s",
            raw,
            "the same rows concatenated by a bare endpoint",
        ),
        Figure("everything", "p50", percentile(seen.latencies, 0.5) * 1000, "ms"),
        Figure("everything", "p99", percentile(seen.latencies, 0.99) * 1000, "ms"),
    ]


def publish(services: Services, token: str) -> list[str]:
    """Publish the people, wait until they can be read, and return their NHS numbers."""
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/fhir+json",
        "Prefer": "return=minimal, wait=30",
        "X-Source-System": load.SYSTEM,
    }
    numbers = []
    with httpx.Client(base_url=services.base_url, headers=headers, timeout=60, trust_env=False) as http:
        # The last resource is the authority's Patient: it gives the practice's network access to the record.
        for number, body in load.bundles(PEOPLE, RESOURCES - 1):
            http.post("/fhir", content=body).raise_for_status()
            numbers.append(number)
    services.register(*numbers, practice=load.PRACTICE)
    return numbers


async def bare(postgres: str) -> float:
    """Return requests per second of `tests.bench.bare`: no token, no policy, no audit, no metrics."""
    port = free_port(set())
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.bare", postgres, str(port))
    try:
        await _answers(port)
        requests = [wire.request("GET", f"/{number}", {}) for number in range(PEOPLE)]
        await wire.load("127.0.0.1", port, requests * 3, CONNECTIONS)
        seen = await wire.load("127.0.0.1", port, (requests * (READS // PEOPLE))[:READS], CONNECTIONS)
        return READS / seen.seconds
    finally:
        server.terminate()
        await server.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                await http.get(f"http://127.0.0.1:{port}/0")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
