"""Waiting is polling with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(come: Callable[[], bool], seconds: float = 60) -> None:
    """Return once it has come; fails the test when it does not."""
    deadline = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
