"""What the referral room does again and again without being asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from onestory.shared.errors import Unavailable

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 2.0

log = structlog.get_logger()


async def until_stopped(tick: Callable[[datetime], Awaitable[int]], every_s: float, stop: threading.Event) -> None:
    """Tick with the time that it is then. PostgreSQL may go away and come back."""
    pause_s = _FIRST_PAUSE_S
    while not stop.is_set():
        try:
            await tick(datetime.now(UTC))
            pause_s = _FIRST_PAUSE_S
            await asyncio.to_thread(stop.wait, every_s)
        except Unavailable as error:
            log.warning("tick_waits", because=type(error).__name__, again_in_s=pause_s)
            await asyncio.to_thread(stop.wait, pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
