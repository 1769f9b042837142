"""`onestory down`: stops every process of the embedded stack."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from onestory.local import kafka, postgres, processes, state

OWN_PROCESSES = ("serve", "summarise", "project", "refer", "issuer")
STOP_ORDER = (*OWN_PROCESSES, "kafka", "postgres")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`down` has no options."""


def run(arguments: argparse.Namespace) -> int:
    """Stop everything, and print what was stopped. The exit code is 0, also when nothing ran."""
    state.require_packages()
    home = state.find_home()
    if not home.exists():
        print(f"There is no embedded stack in {home}.")
        return 0
    with state.stack_lock(home):
        stopped = stop_all(home, STOP_ORDER)
    print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")
    return 0


def stop_all(home: Path, names: Collection[str]) -> list[str]:
    """Stop these processes, each before those that it needs. Returns the names of those that ran."""
    with _signals_ignored():
        stopped = processes.stop(home, [name for name in OWN_PROCESSES if name in names])
        engines = [engine for engine in (kafka, postgres) if engine.NAME in names]
        with ThreadPoolExecutor() as pool:
            for ended in pool.map(lambda engine: engine.stop(home), engines):
                stopped += ended
    return stopped


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignores SIGINT and SIGTERM: a second, impatient Ctrl-C must not leave half of the stack running."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
