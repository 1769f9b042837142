"""`python -m tests.bench [name...]`: figures, and the raw limits of this machine measured in the same run."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from collections.abc import Awaitable, Callable

import psutil
from tests.bench import (
    clock,
    delay,
    everything,
    memory,
    person,
    process_message,
    projector,
    publish,
    rebuild,
    referral,
    search,
    summary,
    worklist,
)
from tests.bench.figures import Figure, show
from tests.stack import Services, embedded_stack, running_services

Bench = Callable[[Services], Awaitable[list[Figure]]]

BENCHES: dict[str, Bench] = {
    "publish": publish.run,
    "delay": delay.run,
    "everything": everything.run,
    "search": search.run,
    "summary": summary.run,
    "referral": referral.run,
    "worklist": worklist.run,
    "process_message": process_message.run,
    "projector": projector.run,
    "memory": memory.run,
    "person": person.run,
    "clock": clock.run,
    "rebuild": rebuild.run,
}


def main() -> None:
    """Start a new stack, run each bench on it, and print one table."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"benches to run: {', '.join(BENCHES)}; all when none is given")
    names = parser.parse_args().name or list(BENCHES)
    print(_machine())
    figures: list[Figure] = []
    with embedded_stack() as stack, running_services(stack) as services:
        for name in names:
            print(f"measuring {name} ...", flush=True)
            figures += asyncio.run(BENCHES[name](services))  # type: ignore[arg-type]
    show(figures)


def _machine() -> str:
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.2f} at the start"
    )


if __name__ == "__main__":
    main()
