"""Memory of each process after what the other benches did to it."""

from __future__ import annotations

import psutil
from tests.bench.figures import Figure
from tests.stack import PROCESSES, Services


async def run(services: Services) -> list[Figure]:
    """Resident set of each of our processes, in MB of 1,000,000 bytes."""
    found = {name: services.pid(name) for name in PROCESSES}
    return [
        Figure("memory", f"{name}, resident", psutil.Process(pid).memory_info().rss / 1e6, "MB")
        for name, pid in found.items()
        if pid
    ]
