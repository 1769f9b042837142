"""The time of a rebuild, compared with a bare COPY of the same rows into PostgreSQL in the same run.

Statements are published and projected. Then `onestory rebuild record` builds a new generation, compares all of it and
switches to it. ONESTORY_BENCH_ENTRIES sets the least number of entries; 1,000,000 when it is not set.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import NamedTuple

import psutil
import psycopg
from tests.bench import projector
from tests.bench.figures import Figure
from tests.stack import Services

from onestory.local import up

ENTRIES = int(os.environ.get("ONESTORY_BENCH_ENTRIES", "1000000"))
PATIENCE_S = 1200


class Took(NamedTuple):
    """Seconds from start to end of the command, and its peak memory."""

    seconds: float
    most_bytes: int


async def run(services: Services) -> list[Figure]:
    """Fill the record and rebuild it."""
    return await asyncio.to_thread(_measure, services)


def _measure(services: Services) -> list[Figure]:
    services.stop("summarise")
    before, statements = projector.done(services.postgres), -(-ENTRIES // projector.ENTRIES)
    projector.publish(services, statements)
    _until_done(services, before + statements)
    held = _entries(services)
    raw = projector.copy_rate(services.postgres)
    took = _rebuilt(services)
    services.start("summarise")
    what = f"{held:,} entries"
    return [
        Figure("rebuild", f"{what}: built, compared, taken over", took.seconds, "s"),
        Figure("rebuild", what, held / took.seconds, "entries/s", raw, "bare COPY of the same rows, one connection"),
        Figure("rebuild", f"{what}: memory of the command, at most", took.most_bytes / 1e6, "MB"),
    ]


def _rebuilt(services: Services) -> Took:
    told = up.process_environment("command", services.home, services.stack)
    began, most = time.monotonic(), 0
    process = subprocess.Popen([sys.executable, "-m", "onestory", "rebuild", "record"], env=told)
    while process.poll() is None:
        try:
            most = max(most, psutil.Process(process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.1)
    if process.wait():
        raise RuntimeError("The rebuild failed.")
    return Took(time.monotonic() - began, most)


def _entries(services: Services) -> int:
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute("select count(*) from record.statement").fetchone()
    assert row is not None
    return int(row[0])


def _until_done(services: Services, messages: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while projector.done(services.postgres) < messages:
        if time.monotonic() > deadline:
            raise TimeoutError("The projector did not finish.")
        time.sleep(0.1)
