"""`$process-message`: published referrals of new people, as fast as one sender and several senders send them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

import psycopg
from tests.bars import SENDER, message, new_service
from tests.bench import wire
from tests.bench.figures import Figure, percentile
from tests.people import new_nhs_number
from tests.stack import Services

MESSAGES = 400
CONNECTIONS = 4
WARM = 40
_NAMES = ("REFREQ01", "REFREQ03", "VALREQ01")
_WHAT = "published requests of 18 to 33 kB"


async def run(services: Services) -> list[Figure]:
    """Measure messages and latencies. The standard asks for 90% under 2.1 s, and all under 5 s."""
    service = new_service(services)
    address = urlsplit(services.base_url)
    host, port = str(address.hostname), int(address.port or 80)
    await wire.load(host, port, _requests(services, service, WARM), CONNECTIONS)
    alone = await wire.load(host, port, _requests(services, service, MESSAGES // 2), 1)
    together = await wire.load(host, port, _requests(services, service, MESSAGES), CONNECTIONS)
    assert {*alone.statuses, *together.statuses} == {200}, together.statuses
    raw = _commits(services, MESSAGES)
    return [
        Figure(
            "process_message",
            f"{_WHAT}, {CONNECTIONS} connections",
            MESSAGES / together.seconds,
            "req/s",
            1 / percentile(raw, 0.5),
            "commits/s of one row of that size, one connection",
        ),
        *_latencies("one connection", alone.latencies),
        *_latencies(f"{CONNECTIONS} connections", together.latencies),
        Figure("process_message", "the raw commit, p50", percentile(raw, 0.5) * 1000, "ms"),
        Figure("process_message", "the raw commit, p99", percentile(raw, 0.99) * 1000, "ms"),
    ]


def _latencies(how: str, seconds: Sequence[float]) -> list[Figure]:
    return [
        Figure("process_message", f"{how}, p{share:.0%}".rstrip("%"), percentile(seconds, share) * 1000, "ms")
        for share in (0.5, 0.9, 0.99)
    ]


def _requests(services: Services, service: str, count: int) -> list[bytes]:
    said = [message(name, "NUMBER", service) for name in _NAMES]
    headers = {
        "Authorization": f"Bearer {services.token(SENDER)}",
        "Content-Type": "application/fhir+json",
    }
    return [
        wire.request(
            "POST",
            "/$process-message",
            headers | {"X-Request-Id": str(uuid.uuid4())},
            json.dumps(said[place % len(said)]).replace("NUMBER", new_nhs_number()).encode(),
        )
        for place in range(count)
    ]


def _commits(services: Services, count: int) -> list[float]:
    """Return the seconds of each transaction that writes one row of the size of a message, and nothing else."""
    row, seconds = b"x" * 30_000, []
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        connection.execute("create table if not exists public.bench_message (id uuid primary key, content bytea)")
        for _ in range(count):
            began = time.perf_counter()
            connection.execute("insert into public.bench_message values (%s, %s)", [uuid.uuid4(), row])
            seconds.append(time.perf_counter() - began)
    return seconds
