"""How a command that starts processes is interrupted: once, so that what it does to leave nothing running is not."""

from __future__ import annotations

import signal
from types import FrameType


def once() -> None:
    """From now on the first Ctrl-C or SIGTERM raises `KeyboardInterrupt`; all that follow change nothing."""
    interrupted = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
