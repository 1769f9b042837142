"""`onestory down`: stop the embedded stack and leave nothing of it running."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from onestory.local import kafka, postgres, processes, state

OURS = ("serve", "summarise", "project", "refer", "issuer")
ALL = (*OURS, "kafka", "postgres")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`down` has no options."""


def run(arguments: argparse.Namespace) -> int:
    """Stop everything, and say what ran. Exit code 0, also when nothing did."""
    state.require()
    home = state.find_home()
    if not home.exists():
        print(f"There is no embedded stack in {home}.")
        return 0
    with state.only_one(home):
        stopped = stop_all(home, ALL)
    print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")
    return 0


def stop_all(home: Path, names: Collection[str]) -> list[str]:
    """Stop these processes, those first that need the others; gives those that lived."""
    with _undisturbed():
        stopped = processes.stop(home, [name for name in OURS if name in names])
        engines = [engine for engine in (kafka, postgres) if engine.NAME in names]
        with ThreadPoolExecutor() as pool:
            for ended in pool.map(lambda engine: engine.stop(home), engines):
                stopped += ended
    return stopped


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C, of somebody who finds that stopping takes long, must not leave half of it running."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
