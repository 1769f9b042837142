"""Wait for a condition by polling with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(come: Callable[[], bool], seconds: float = 60) -> None:
    """Return once `come` returns true. Fails the test after this many seconds."""
    deadline = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)
