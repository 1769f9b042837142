"""The memory of each process after the other benches."""

from __future__ import annotations

import psutil
from tests.bench.figures import Figure
from tests.stack import PROCESSES, Services


async def run(services: Services) -> list[Figure]:
    """Measure the resident set of each process of the stack, in MB of 1,000,000 bytes."""
    found = {name: services.pid(name) for name in PROCESSES}
    return [
        Figure("memory", f"{name}, resident", psutil.Process(pid).memory_info().rss / 1e6, "MB")
        for name, pid in found.items()
        if pid
    ]
