"""Tests with the marker `alone` run while no other test of the same run is running.

The tests of one run may be spread over several processes. Two locked files keep them apart. Each test holds a shared
lock on the second file, and a test that is `alone` holds both files exclusively. The first file keeps new tests from
starting meanwhile.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, alone: bool) -> Iterator[None]:
    """Wait until this test may run, and hold the locks until the block ends."""
    with ExitStack() as closing:
        gate, tests = (closing.enter_context((folder / name).open("ab")) for name in ("gate.lock", "tests.lock"))
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(tests, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not alone:
            fcntl.flock(gate, fcntl.LOCK_UN)
        yield
