"""Searches in a long record, and for people by name: one reader after another, with policy and audit."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
from tests.bench import load, wire
from tests.bench.figures import Figure, percentile
from tests.people import new_nhs_number, patient, transaction
from tests.stack import Services

ENTRIES = 2_000
NAMESAKES = 10
NAME = "Benchfield"
READS = 100
BY_NAME = f"/fhir/Patient?name=amina+{NAME}&birthdate=1952-05-06"


async def run(services: Services) -> list[Figure]:
    """Search one person of many entries, and a few people who share a name and a birth date."""
    token = services.token(load.PRACTICE, network=load.NETWORK)
    number = await asyncio.to_thread(_publish, services, token)
    record = f"/fhir/Observation?patient={number}"
    asked = {
        f"code and date among {ENTRIES:,} entries, 20 on a page": f"{record}&code=75367002&date=ge2026&_count=20",
        f"{ENTRIES:,} entries by date, 20 on a page": f"{record}&_sort=-date&_count=20",
        f"{NAMESAKES} people by name and day of birth": BY_NAME,
    }
    return [await _measured(services, token, what, path) for what, path in asked.items()]


async def _measured(services: Services, token: str, what: str, path: str) -> Figure:
    address = urlsplit(services.base_url)
    request = wire.request("GET", path, {"Authorization": f"Bearer {token}"})
    seen = await wire.load(str(address.hostname), int(address.port or 80), [request] * READS, 1)
    assert set(seen.statuses) == {200}, (what, seen.statuses)
    return Figure("search", f"{what}, p50", percentile(seen.latencies, 0.5) * 1000, "ms")


def _publish(services: Services, token: str) -> str:
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/fhir+json",
        "Prefer": "return=minimal, wait=30",
        "X-Source-System": load.SYSTEM,
    }
    with httpx.Client(base_url=services.base_url, headers=headers, timeout=60, trust_env=False) as http:
        ((number, body),) = load.bundles(1, ENTRIES)
        http.post("/fhir", content=body).raise_for_status()
        for _ in range(NAMESAKES):
            http.post("/fhir", json=transaction(_namesake())).raise_for_status()
    return number


def _namesake() -> dict[str, Any]:
    number = new_nhs_number()
    return patient(
        number, f"p-{number}", load.PRACTICE, birthDate="1952-05-06", name=[{"family": NAME, "given": ["Amina"]}]
    )
